"""What `import jitgrad` gives."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

import jitgrad
from jitgrad.core.public import FUNCTIONS

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def test_the_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    assert jitgrad.__version__ == project["version"]


@pytest.mark.parametrize(
    "name", ["jitgrad", "jitgrad.autograd", "jitgrad.linalg", "jitgrad.special", "jitgrad.testing"]
)
def test_every_exported_name_exists(name: str) -> None:
    module = importlib.import_module(name)
    assert [entry for entry in module.__all__ if not hasattr(module, entry)] == []


def test_every_public_function_is_where_its_namespace_says() -> None:
    for entry in FUNCTIONS.values():
        if entry.namespace == "Tensor":
            continue
        module = importlib.import_module(f"jitgrad.{entry.namespace}".rstrip("."))
        assert getattr(module, entry.name) is entry.function


def test_every_method_is_one_of_tensors() -> None:
    for entry in FUNCTIONS.values():
        if entry.method:
            assert hasattr(jitgrad.Tensor, entry.name)
        if entry.inplace:
            assert hasattr(jitgrad.Tensor, f"{entry.name}_")


def test_dtypes_have_pytorchs_short_names() -> None:
    short = (jitgrad.bool, jitgrad.int, jitgrad.long, jitgrad.float, jitgrad.double)
    assert [dtype.name for dtype in short] == ["bool", "int32", "int64", "float32", "float64"]


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'jitgrad' has no attribute 'tangent_of'"):
        jitgrad.tangent_of  # noqa: B018 - reading it is the test
    with pytest.raises(AttributeError, match="linalg has no function tangent_of"):
        jitgrad.linalg.tangent_of  # noqa: B018 - reading it is the test
