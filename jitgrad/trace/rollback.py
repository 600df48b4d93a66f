"""What a function may change while it is traced: remembered before, compared and undone after.

A trace is a run of the user's function. If the function changes anything by itself (a counter, a
list, an attribute), kernels alone can't do its work: the change is undone, and the plain function
runs in its place.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.core.bind import Boxed
from jitgrad.tensor.modes import modes
from jitgrad.trace.library import is_library_class
from jitgrad.trace.reads import Reads, slots_of

_MISSING = object()


class Snapshot:
    """The state of everything that a function was found to read.

    Parameters
    ----------
    reads : Reads
        What the scan found.
    captured : sequence
        The Tensors and arrays that are there now.
    """

    def __init__(self, reads: Reads, captured: Sequence[Any]) -> None:
        self._kept: list[tuple[str, Any, Any, Callable[[Any], Any], Callable[..., None]]] = []
        self._modes = (modes.grad, modes.inference)
        for thing in [*reads.objects, *captured]:
            self._keep(thing)
        for thing in reads.roots.values():
            if isinstance(thing, types.CellType):
                self._add("a closure variable", thing, _cell_content, _set_cell)
        names = {(id(namespace), name): (namespace, name) for namespace, name in reads.stored}
        self._names = [(space, name, space.get(name, _MISSING)) for space, name in names.values()]

    def _keep(self, thing: Any) -> None:
        kind = type(thing).__name__
        if isinstance(thing, Boxed):
            self._add("a Tensor", thing, _tensor_state, _set_tensor_state)
        elif isinstance(thing, np.ndarray):
            if thing.flags.writeable:
                self._add("an array", thing, np.copy, _set_array)
        elif isinstance(thing, (list, deque)):
            self._add(f"a {kind}", thing, list, _set_items)
        elif isinstance(thing, (dict, set)):
            self._add(f"a {kind}", thing, type(thing).copy, _set_all)
        elif isinstance(thing, type):
            if not is_library_class(thing):
                self._add(f"the class {thing.__name__}", thing, _class_state, _set_attributes)
        elif not isinstance(thing, (types.ModuleType, tuple, frozenset)):
            if isinstance(getattr(thing, "__dict__", None), dict):
                self._add(f"an attribute of a {kind}", thing, _attributes, _set_all_attributes)
            if any(slots_of(type(thing))) and not is_library_class(type(thing)):
                self._add(f"an attribute of a {kind}", thing, _in_slots, _set_slots)

    def _add(
        self, what: str, thing: Any, read: Callable[[Any], Any], write: Callable[..., None]
    ) -> None:
        self._kept.append((what, thing, read(thing), read, write))

    def what_changed(self) -> str:
        """Return in words what is no longer as it was; ``""`` if everything is."""
        if self._modes != (modes.grad, modes.inference):
            return "it leaves the grad mode changed"
        for namespace, name, before in self._names:
            if namespace.get(name, _MISSING) is not before:
                return f"it assigns to the global `{name}`"
        for what, thing, before, read, _ in self._kept:
            if not _unchanged(before, read(thing)):
                return f"it changes {what} outside itself"
        return ""

    def restore(self) -> None:
        """Make everything what it was."""
        modes.grad, modes.inference = self._modes
        for namespace, name, before in self._names:
            if before is _MISSING:
                namespace.pop(name, None)
            elif namespace.get(name, _MISSING) is not before:
                namespace[name] = before
        for _, thing, before, read, write in self._kept:
            if not _unchanged(before, read(thing)):
                write(thing, before)


def _unchanged(before: Any, now: Any) -> bool:
    """Return whether two contents consist of the same objects, or equal elements of arrays."""
    if isinstance(before, np.ndarray):
        return bool(before.tobytes() == now.tobytes())
    if isinstance(before, dict):
        return len(before) == len(now) and all(
            a is b and before[a] is now[b] for a, b in zip(before, now, strict=True)
        )
    if isinstance(before, (list, tuple)):
        return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))
    if isinstance(before, set):
        return bool(before == now)
    return before is now


def _tensor_state(tensor: Any) -> Any:
    return (tensor._requires_grad, tensor._grad, tensor._node)


def _set_tensor_state(tensor: Any, state: Any) -> None:
    tensor._requires_grad, tensor._grad, tensor._node = state


def _set_array(array: Any, content: Any) -> None:
    np.copyto(array, content)


def _set_items(thing: Any, items: list[Any]) -> None:
    thing.clear()
    thing.extend(items)


def _set_all(thing: Any, content: Any) -> None:
    thing.clear()
    thing.update(content)


def _cell_content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _MISSING


def _set_cell(cell: types.CellType, content: Any) -> None:
    if content is _MISSING:
        del cell.cell_contents
    else:
        cell.cell_contents = content


def _class_state(cls: type) -> dict[str, Any]:
    return {name: item for name, item in vars(cls).items() if not name.startswith("_abc_")}


def _set_attributes(thing: Any, attributes: dict[str, Any]) -> None:
    now = _class_state(thing)
    for name in now.keys() - attributes.keys():
        delattr(thing, name)
    for name, item in attributes.items():
        if now.get(name, _MISSING) is not item:
            setattr(thing, name, item)


def _attributes(thing: Any) -> dict[str, Any]:
    # What a compiled function keeps for itself is none of the user's state.
    private = hasattr(thing, "__wrapped__") and type(thing).__module__.startswith("jitgrad.")
    return {n: v for n, v in vars(thing).items() if not (private and n.startswith("_"))}


def _set_all_attributes(thing: Any, attributes: dict[str, Any]) -> None:
    now = vars(thing)
    for name in _attributes(thing).keys() - attributes.keys():
        del now[name]
    now.update(attributes)


def _in_slots(thing: Any) -> dict[str, Any]:
    names = [n for n in slots_of(type(thing)) if not n.startswith("__")]
    return {name: getattr(thing, name) for name in names if hasattr(thing, name)}


def _set_slots(thing: Any, attributes: dict[str, Any]) -> None:
    for name in _in_slots(thing).keys() - attributes.keys():
        object.__delattr__(thing, name)
    for name, item in attributes.items():
        object.__setattr__(thing, name, item)
