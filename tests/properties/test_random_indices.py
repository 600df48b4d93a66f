"""Random indices read and write what NumPy's do, eager and compiled, and gradients follow them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jitgrad

Array = np.ndarray[Any, Any]

# More of them by hand: JITGRAD_INDICES=2000 pytest tests/properties/test_random_indices.py
COUNT = int(os.environ.get("JITGRAD_INDICES", "0"))


@dataclass(frozen=True)
class Access:
    """An index into an array, reached through a view of it."""

    shape: tuple[int, ...]
    views: tuple[Any, ...]
    index: Any
    source_shape: tuple[int, ...]

    def part(self, array: Any) -> Any:
        """Return the view of `array` that is indexed."""
        for view in self.views:
            array = array[view]
        return array


@st.composite
def accesses(draw: st.DrawFn) -> Access:
    """Return a shape, up to two views, an index, and a shape that broadcasts to what it names."""
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=4)))
    part, views = np.zeros(shape), []
    for _ in range(draw(st.integers(0, 2))):
        view = _index(draw, part.shape, advanced=False)
        if part[view].ndim:
            views.append(view)
            part = part[view]
    index = _index(draw, part.shape, advanced=True)
    found = np.shape(part[index])
    kept = found[draw(st.integers(0, len(found))) :]
    source = tuple(1 if draw(st.booleans()) else n for n in kept)
    return Access(shape, tuple(views), index, source)


def _index(draw: st.DrawFn, shape: tuple[int, ...], advanced: bool) -> Any:
    items: list[Any] = []
    axis, arrays = 0, draw(st.sampled_from([(), (2,), (3,), (1, 2), (2, 1)]))
    count = draw(st.integers(0, len(shape)))
    kinds = ["number", "slice", "slice", "none", *["array", "mask"] * advanced]
    while axis < count:
        kind, size = draw(st.sampled_from(kinds)), shape[axis]
        if kind == "none":
            items.append(None)
            continue
        if kind == "mask":
            extent = shape[axis : axis + draw(st.integers(1, len(shape) - axis))]
            mask = np.array(draw(_lists(st.booleans(), extent)), dtype=bool).reshape(extent)
            kinds = [k for k in kinds if k not in ("array", "mask")]
            items.append(mask)
            axis += mask.ndim
            continue
        if size == 0 or kind == "slice":
            bounds = st.none() | st.integers(-size - 1, size + 1)
            step = draw(st.sampled_from([None, 1, 2, -1, -2]))
            items.append(slice(draw(bounds), draw(bounds), step))
        elif kind == "number":
            items.append(draw(st.integers(-size, size - 1)))
        else:
            kinds = [k for k in kinds if k != "mask"]
            elements = draw(_lists(st.integers(-size, size - 1), arrays))
            items.append(np.array(elements, dtype=np.int64).reshape(arrays))
        axis += 1
    if draw(st.booleans()):
        place = draw(st.integers(0, len(items)))
        if axis == len(shape) or place == len(items):
            items.insert(place, Ellipsis)
    return items[0] if len(items) == 1 and draw(st.booleans()) else tuple(items)


def _lists(element: Any, shape: tuple[int, ...]) -> Any:
    count = int(np.prod(shape))
    return st.lists(element, min_size=count, max_size=count)


def read(access: Access, x: Any, v: Any) -> Any:
    """Read what the index names."""
    return access.part(x)[access.index] * 2.0


def write(access: Access, x: Any, v: Any) -> Any:
    """Write to it."""
    y = x * 1.0
    access.part(y)[access.index] = v
    return y * 2.0


def update(access: Access, x: Any, v: Any) -> Any:
    """Add to it in place."""
    y = x * 1.0
    part = access.part(y)
    part[access.index] += v
    return y * 2.0


def _reference(
    operation: Any, access: Access, x: Array, v: Array, ct: Array
) -> tuple[Array, Array]:
    """Return the gradients by `x` and `v`, from which element of either each result is made."""
    dx, dv = np.zeros_like(x), np.zeros_like(v)
    places = np.arange(x.size).reshape(x.shape)
    if operation is read:
        np.add.at(dx.reshape(-1), np.asarray(access.part(places)[access.index]), ct * 2.0)
        return dx, dv
    # Elements that were written hold the number of the element of `v` that came last.
    writers = np.full(x.shape, -1)
    access.part(writers)[access.index] = np.arange(v.size).reshape(v.shape)
    written = writers >= 0
    dx[...] = ct * 2.0
    if operation is write:
        dx[written] = 0.0
    np.add.at(dv.reshape(-1), writers[written], 2.0 * ct[written])
    return dx, dv


def _check(operation: Any, access: Access, compiled: bool) -> None:
    rng = np.random.default_rng(0)
    x, v = rng.standard_normal(access.shape), rng.standard_normal(access.source_shape)
    expected = operation(access, x, v)
    tensors = [jitgrad.from_numpy(a.copy()).requires_grad_() for a in (x, v)]

    def function(x: Any, v: Any) -> Any:
        return operation(access, x, v)

    result = (jitgrad.compile(function) if compiled else function)(*tensors)
    np.testing.assert_array_equal(result.detach().numpy(), expected)
    ct = rng.standard_normal(np.shape(expected))
    found = jitgrad.autograd.grad(result, tensors, jitgrad.from_numpy(ct), allow_unused=True)
    for given_, wanted in zip(found, _reference(operation, access, x, v, ct), strict=True):
        array = np.zeros_like(wanted) if given_ is None else given_.numpy()
        np.testing.assert_allclose(array, wanted, rtol=1e-13, atol=1e-13)


_settings = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


@pytest.mark.parametrize("operation", [read, write, update])
@settings(max_examples=COUNT or 150, **_settings)
@given(access=accesses())
def test_random_index_does_what_it_does_in_numpy(operation: Any, access: Access) -> None:
    _check(operation, access, compiled=False)


@pytest.mark.parametrize("operation", [read, write, update])
@settings(max_examples=COUNT or 15, **_settings)
@given(access=accesses())
def test_compiled_random_index_does_what_it_does_in_numpy(operation: Any, access: Access) -> None:
    _check(operation, access, compiled=True)
