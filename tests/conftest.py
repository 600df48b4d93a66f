"""What holds for every test: a compile cache of its own, seeds, the default dtype."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import hypothesis
import numpy as np
import pytest

# Compiling takes seconds the first time and nothing the next, so a deadline would fail by chance.
hypothesis.settings.register_profile("default", deadline=None)
# The same cases in every run: a change is judged by what it changed.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")

_cache_directory: str | None = None


def pytest_configure(config: pytest.Config) -> None:
    global _cache_directory
    if hasattr(config, "workerinput"):
        return  # a worker of xdist inherits the variable, so that what one compiles serves all
    _cache_directory = tempfile.mkdtemp(prefix="jitgrad-tests-")
    os.environ["JITGRAD_CACHE_DIR"] = _cache_directory


def pytest_unconfigure() -> None:
    if _cache_directory is not None:
        shutil.rmtree(_cache_directory, ignore_errors=True)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _initial_state() -> Iterator[None]:
    # imported here: at the head of this file the variable above would not be set yet
    import jitgrad

    # the first tests come before these functions: a missing one is nothing to reset
    manual_seed = getattr(jitgrad, "manual_seed", None)
    set_default_dtype = getattr(jitgrad, "set_default_dtype", None)

    if manual_seed is not None:
        manual_seed(0)
    yield
    if set_default_dtype is not None:
        set_default_dtype(np.float32)
