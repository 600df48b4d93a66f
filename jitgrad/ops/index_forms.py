"""Takes an index apart: into the basic part, and what index arrays and masks do to the rest.

While a body is traced, integers and bounds of slices may be traced as well; these become steps from
the basic part to what is read of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import index as as_integer
from typing import Any

import numpy as np

from jitgrad.core.bind import Boxed, active_trace, box
from jitgrad.core.dtypes import is_supported
from jitgrad.core.errors import IndexingError
from jitgrad.core.extents import Extent, has_extents
from jitgrad.core.spec import Shape
from jitgrad.ops.shape import broadcast_to, reshape_to
from jitgrad.ops.slicing import NEW, Entry, Index, whole_axis
from jitgrad.ops.spans import span
from jitgrad.ops.steps import Step
from jitgrad.ops.taking import take


@dataclass(frozen=True, slots=True)
class Advanced:
    """What index arrays do to the part that the basic indices left.

    Parameters
    ----------
    indices : array or Tensor of integers, shape (k, ...)
        One array for each indexed axis, broadcast and stacked.
    axes : tuple of int
        The axes, of the part, that they index.
    """

    indices: Any
    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """An index that was taken apart.

    Parameters
    ----------
    basic : Index
        What is picked at first.
    steps : tuple of Step
        What is read of it where integers or bounds of slices are traced.
    advanced : Advanced or None
        What index arrays read of that.
    """

    basic: Index
    steps: tuple[Step, ...] = ()
    advanced: Advanced | None = None


def split_index(x: Any, index: Any) -> Split:
    """Return the basic part of `index`, and what the rest of it does to that part of `x`.

    Raises
    ------
    IndexingError
        If there are too many indices, one is out of range, or of a type that can't be an index.
    """
    shape = tuple(x.shape)
    if type(index) is int and shape and type(shape[0]) is int:
        return Split((_at(index, 0, shape[0]), *map(whole_axis, shape[1:])))
    items = [_classify(item) for item in (index if isinstance(index, tuple) else (index,))]
    items = _expand_ellipsis(items, shape)
    if any(isinstance(item, np.ndarray | Boxed | _Bounds) for item in items):
        return _split_traced(items, shape)
    return Split(_basic(items, shape))


def _classify(item: Any) -> Any:
    """Return an index as an int, slice, None, Ellipsis, or an array or Tensor with its dtype.

    Masks become arrays: the shape of what they pick depends on their values.
    """
    if isinstance(item, slice):
        return _classify_slice(item)
    if item is None or item is Ellipsis or type(item) is int:
        return item
    if isinstance(item, Extent):
        return item.length
    if isinstance(item, bool | np.bool_):
        return np.asarray(item)
    if isinstance(item, int | np.integer):
        return int(item)
    if isinstance(item, Boxed):
        return _classify_tensor(item)
    if isinstance(item, list | tuple | np.ndarray | range):
        return _index_array(_array_of(item))
    try:
        return as_integer(item)
    except TypeError:
        raise _wrong_type(type(item).__name__) from None


def _classify_tensor(item: Any) -> Any:
    if item.dtype.kind == "b":
        return item.numpy()
    if item.dtype.kind not in "iu":
        raise _wrong_type(f"a Tensor of dtype {item.dtype}")
    trace = active_trace()
    if not item.shape and (trace is None or trace.has_values):
        # The value of a traced index is asked for here.
        return int(item)
    if trace is None:
        return item.numpy()
    counted = getattr(item, "_counted", None)
    return item if counted is None else counted


@dataclass(frozen=True, slots=True)
class _Bounds:
    """A slice with a traced bound, or of an axis whose size is not known.

    Parameters
    ----------
    start, stop : Tensor, int or None
        The bounds.
    step : int
        The step.
    """

    start: Any
    stop: Any
    step: int


def _classify_slice(item: slice) -> Any:
    trace = active_trace()
    bounds = [b.length if isinstance(b, Extent) else b for b in (item.start, item.stop)]
    if trace is None or trace.has_values or not any(isinstance(b, Boxed) for b in bounds):
        return item
    for bound in bounds:
        if isinstance(bound, Boxed) and (bound.dtype.kind not in "iu" or bound.shape):  # type: ignore[attr-defined]
            raise IndexingError(
                f"index: a Tensor {bound.spec} can't bound a slice",  # type: ignore[attr-defined]
                why="the bounds of a slice must be integers",
            )
    step = 1 if item.step is None else as_integer(item.step)
    if not step:
        raise IndexingError("index: the step of a slice is 0")
    start, stop = [b if b is None or isinstance(b, Boxed) else as_integer(b) for b in bounds]
    return _Bounds(start, stop, step)


def _array_of(item: Any) -> Any:
    if isinstance(item, list | tuple):
        item = [i.tolist() if isinstance(i, Boxed) else i for i in item]  # type: ignore[attr-defined]
    try:
        array = np.asarray(item)
    except (ValueError, TypeError):
        raise _wrong_type("a nested list that is no array") from None
    return array.astype(np.int64) if array.size == 0 and array.dtype.kind == "f" else array


def _index_array(array: Any) -> Any:
    if array.dtype.kind not in "iub":
        raise _wrong_type(f"an array of dtype {array.dtype}")
    if not array.ndim and array.dtype.kind != "b":
        return int(array)
    return array if is_supported(array.dtype) else array.astype(np.int64)


def _wrong_type(what: str) -> IndexingError:
    return IndexingError(
        f"index: {what} can't be an index",
        why="an index is an integer, a slice, None, Ellipsis, or an array of integers or booleans",
    )


def _consumed(item: Any) -> int:
    """Return how many axes an index is for."""
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, np.ndarray) and item.dtype.kind == "b":
        return item.ndim
    return 1


def _expand_ellipsis(items: list[Any], shape: Shape) -> list[Any]:
    """Return `items` with full slices in the Ellipsis's place, or at the end."""
    missing = len(shape) - sum(map(_consumed, items))
    if missing < 0:
        raise IndexingError(
            f"index: too many indices for a Tensor of shape {shape}",
            why=f"it has {len(shape)} axes, the index is for {len(shape) - missing}",
        )
    places = [n for n, item in enumerate(items) if item is Ellipsis]
    if len(places) > 1:
        raise IndexingError("index: there is more than one Ellipsis")
    place = places[0] if places else len(items)
    items = [*items[:place], *[slice(None)] * missing, *items[place + 1 :]]
    return _on_extents(items, shape) if has_extents(shape) else items


def _on_extents(items: list[Any], shape: Shape) -> list[Any]:
    """Return `items` with what depends on a size that is not known as something traced."""
    found = []
    axis = 0
    for item in items:
        size = shape[axis] if axis < len(shape) else 0
        if isinstance(size, Extent):
            if type(item) is int:
                item = np.asarray(item) if item >= 0 else size.length + item
            elif isinstance(item, slice) and item != slice(None):
                item = _Bounds(item.start, item.stop, 1 if item.step is None else item.step)
        found.append(item)
        axis += _consumed(item)
    return found


def _basic(items: list[Any], shape: Shape) -> Index:
    entries: list[Entry] = []
    axis = 0
    for item in items:
        if item is None:
            entries.append(NEW)
            continue
        size = shape[axis]
        entries.append(_range(item, size) if isinstance(item, slice) else _at(item, axis, size))
        axis += 1
    return tuple(entries)


def _at(item: int, axis: int, size: int) -> Entry:
    if not -size <= item < size:
        raise _out_of_range(item, axis, size)
    return ("at", item + size if item < 0 else item)


def _out_of_range(item: int, axis: int, size: int) -> IndexingError:
    return IndexingError(
        f"index: {item} is out of range for axis {axis} of size {size}",
        why=f"indices of that axis go from {-size} to {size - 1}" if size else "the axis is empty",
    )


def _range(item: slice, size: int) -> Entry:
    if item.start is None and item.stop is None and item.step is None:
        return whole_axis(size)
    try:
        start, stop, step = item.indices(size)
    except ValueError:
        raise IndexingError("index: the step of a slice is 0") from None
    except TypeError:
        raise IndexingError(
            f"index: {item} can't be an index", why="the bounds of a slice must be integers"
        ) from None
    count = len(range(start, stop, step))
    return ("range", start, step, count) if count else ("range", 0, 1, 0)


def _split_traced(items: list[Any], shape: Shape) -> Split:
    """Return the basic part, in which indexed axes are whole, and what comes after it.

    As in NumPy an integer beside an index array is an index array itself.
    """
    has_arrays = any(isinstance(item, np.ndarray | Boxed) for item in items)
    spans: list[tuple[int, _Bounds, int]] = []
    entries: list[Entry] = []
    arrays: list[Any] = []
    axes: list[int] = []
    axis = 0
    place = 0

    def indexed(array: Any, entry: Entry) -> None:
        nonlocal place
        arrays.append(array)
        axes.append(place)
        entries.append(entry)
        place += 1

    for item in items:
        if item is None:
            entries.append(NEW)
            place += 1
        elif isinstance(item, slice):
            entries.append(_range(item, shape[axis]))
            axis += 1
            place += 1
        elif isinstance(item, _Bounds):
            entries.append(whole_axis(shape[axis]))
            spans.append((place, item, shape[axis]))
            axis += 1
            place += 1
        elif type(item) is int and not has_arrays:
            entries.append(_at(item, axis, shape[axis]))
            axis += 1
        elif isinstance(item, np.ndarray) and item.dtype.kind == "b":
            if not item.ndim:
                indexed(np.zeros(int(item), np.int64), NEW)
            else:
                check_mask(item, axis, shape)
            for array in np.nonzero(item) if item.ndim else ():
                indexed(array, whole_axis(shape[axis]))
                axis += 1
        else:
            if isinstance(item, int):
                item = np.asarray(_at(item, axis, shape[axis])[1])
            indexed(item, whole_axis(shape[axis]))
            axis += 1
    if not arrays:
        return Split(tuple(entries), _spans(spans, ()))
    advanced = Advanced(stack_indices(arrays), tuple(axes))
    if advanced.indices.ndim > 1:
        return Split(tuple(entries), _spans(spans, ()), advanced)
    # Nothing but integers: the part that they leave comes first, it is the smaller one.
    element = Step(take, (advanced.indices,), {"axes": advanced.axes})
    return Split(tuple(entries), (element, *_spans(spans, advanced.axes)))


def _spans(spans: list[tuple[int, _Bounds, int]], taken: tuple[int, ...]) -> tuple[Step, ...]:
    """Return the steps of slices along axes of a part of which the axes `taken` are gone."""
    trace: Any = active_trace()
    steps = []
    for place, bounds, size in spans:
        axis = place - sum(other < place for other in taken)
        start, count = trace.part(bounds.start, bounds.stop, bounds.step, size)
        params = {"axis": axis, "step": bounds.step, "size": count}
        steps.append(Step(span, (start,), params))
    return tuple(steps)


def check_mask(mask: Any, axis: int, shape: Shape) -> None:
    """Check that a mask is as long as the axes that it is for, from `axis` on.

    Raises
    ------
    IndexingError
        If it is not.
    """
    for a, size in enumerate(mask.shape, start=axis):
        if shape[a] != size:
            raise IndexingError(
                f"index: a mask of shape {mask.shape} does not fit a Tensor of shape {shape}",
                why=f"axis {a} has size {shape[a]}, the mask has {size} there",
            )


def stack_indices(arrays: list[Any]) -> Any:
    """Return index arrays broadcast together and stacked along a new first axis.

    Raises
    ------
    IndexingError
        If their shapes do not broadcast.
    """
    if len(arrays) == 1:
        only = arrays[0]
        return only[None] if isinstance(only, np.ndarray) else reshape_to(only, (1, *only.shape))
    try:
        shape = np.broadcast_shapes(*[tuple(array.shape) for array in arrays])
    except ValueError:
        raise IndexingError(
            "index: the shapes of the index arrays do not broadcast: "
            + ", ".join(str(tuple(array.shape)) for array in arrays)
        ) from None
    if all(isinstance(array, np.ndarray) for array in arrays):
        return np.stack([np.broadcast_to(array, shape) for array in arrays])
    from jitgrad.ops.joining import cat

    return cat([reshape_to(broadcast_to(box(a), shape), (1, *shape)) for a in arrays], 0)
