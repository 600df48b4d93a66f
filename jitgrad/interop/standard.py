"""Tensors tell where the functions of the array API standard are that take them."""

from __future__ import annotations

import importlib
from typing import Any

from jitgrad.core.errors import ArgumentError
from jitgrad.core.public import publish
from jitgrad.tensor.tensor import Tensor

_VERSIONS = ("2021.12", "2022.12", "2023.12")


def namespace_of(x: Tensor, *, api_version: str | None = None) -> Any:
    """Return the module with the standard's functions: `jitgrad.array_api`."""
    if api_version is not None and api_version not in _VERSIONS:
        raise ArgumentError(
            f"__array_namespace__: there is no version {api_version!r}",
            why=f"the versions are {', '.join(_VERSIONS)}",
        )
    # Loaded when it is asked for.
    return importlib.import_module("jitgrad.array_api")


publish(namespace_of, "__array_namespace__", namespace="Tensor")
