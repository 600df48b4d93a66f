"""What operations record for `backward`: nodes that know the way back to their inputs."""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import active_trace
from jitgrad.core.dtypes import is_floating, python_dtype
from jitgrad.core.errors import GradientError
from jitgrad.core.location import Location, user_location
from jitgrad.core.primitive import Primitive
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Value
from jitgrad.ops.derivatives import input_cotangents, names_needed
from jitgrad.tensor.hooks import AFTER_NODE, BEFORE_NODE, Hook, HookHandle
from jitgrad.tensor.modes import modes

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import Tensor

# Inputs are recorded before outputs, so these numbers order the reverse sweep.
next_number = itertools.count().__next__

Edge = tuple["TapeNode", int]

# The same few specs come again and again, and making one costs more than finding it.
_spec = functools.lru_cache(maxsize=4096)(Spec)


class Storage:
    """What a Tensor shares with its views: a count of the in-place changes."""

    # Defaults of the class: most Tensors are never changed.
    version: int = 0
    # Whether something was kept of it for `backward`, which a change would make unusable.
    saved: bool = False
    # The operation that changed it last since then, and the user's line.
    changed_by: tuple[str, Location | None] | None = None
    # Whether it is that of an array in a trace, where a change makes another value: what was saved
    # before is not overwritten.
    keeps_values: bool = False

    def change(self, operation: str) -> None:
        """Count a change that `operation` makes at the user's line that is running."""
        self.version += 1
        if self.saved:
            self.changed_by = (operation, user_location())

    def last_change(self) -> str:
        """Return in words which operation changed it last, and where; ``""`` if nobody knows."""
        if self.changed_by is None:
            return ""
        operation, location = self.changed_by
        return f", by {operation}" + (f" at {location.describe()}" if location else "")


class StorageWhenAsked:
    """A Tensor's storage until it has one: most Tensors are gone before anything asks for it."""

    def __get__(self, tensor: Any, owner: type) -> Storage:
        # In one step, since several threads may ask at once.
        storage: Storage = vars(tensor).setdefault("_storage", Storage())
        return storage


class TapeNode:
    """One recorded operation: `grad_fn` of what it computed.

    Parameters
    ----------
    name : str
        What `grad_fn` shows, as in PyTorch: ``"AddBackward0"``.
    edges : tuple
        For each input the node and the number of its output that the input is, or None where
        the input needs no gradient.
    out_specs : tuple of Spec
        Shape and dtype of each output.
    """

    __slots__ = ("__weakref__", "edges", "hooks", "name_", "number", "out_specs")

    # Whether outputs that no cotangent reached get zeros, if another output got one.
    materialize = True
    # What carries a gradient of 1 past the sweep into the leaves, given the node; see `backward`.
    into_leaves: Callable[..., bool] | None = None

    def __init__(self, name: str, edges: Sequence[Edge | None], out_specs: Sequence[Spec]) -> None:
        self.name_ = name
        self.edges = edges
        self.out_specs = out_specs
        self.hooks: dict[int, list[Hook]] | None = None
        # Inputs are recorded before outputs, so this number orders the reverse sweep.
        self.number = next_number()

    def name(self) -> str:
        """Return the name, as in PyTorch."""
        return self.name_

    def rename(self, name: str) -> None:
        """Show `name` from now on: that of the composite whose last operation this is."""
        self.name_ = name

    @property
    def next_functions(self) -> tuple[tuple[TapeNode | None, int], ...]:
        """For each input the node that computed it and the number of that node's output."""
        return tuple([(None, 0) if edge is None else edge for edge in self.edges])

    def __repr__(self) -> str:
        return f"<{self.name_} object at {id(self):#x}>"

    def input_cotangents(self, cts: list[Any], keep: bool) -> Sequence[Any]:
        """Return the cotangent of each input (None where there is no edge).

        Parameters
        ----------
        cts : list of Tensor or None
            Cotangents of the outputs.
        keep : bool
            Whether what was saved must stay for another sweep.
        """
        raise NotImplementedError

    def add_hook(self, slot: int, hook: Hook) -> list[Hook]:
        """Let `hook` see, and replace, the cotangent of output number `slot`."""
        if self.hooks is None:
            self.hooks = {}
        hooks = self.hooks.setdefault(slot, [])
        hooks.append(hook)
        return hooks

    def register_hook(self, hook: Hook) -> HookHandle:
        """Call `hook` after cotangents were carried back through this operation.

        Parameters
        ----------
        hook : callable
            ``hook(grad_inputs, grad_outputs)`` with tuples of Tensors (or None) for the inputs and
            for the outputs of the operation. What it returns, if not None, replaces the first.

        Returns
        -------
        HookHandle
            Its ``remove()`` takes the hook away.
        """
        return HookHandle(self.add_hook(AFTER_NODE, hook), hook)

    def register_prehook(self, hook: Hook) -> HookHandle:
        """Call `hook` before cotangents are carried back through this operation.

        Parameters
        ----------
        hook : callable
            ``hook(grad_outputs)`` with a tuple of Tensors (or None). What it returns, if not None,
            replaces it.

        Returns
        -------
        HookHandle
            Its ``remove()`` takes the hook away.
        """
        return HookHandle(self.add_hook(BEFORE_NODE, hook), hook)


class AccumulateGrad(TapeNode):
    """Where the sweep ends: adds a cotangent to the ``.grad`` of a leaf."""

    __slots__ = ("_leaf",)

    def __init__(self, leaf: Tensor) -> None:
        super().__init__("AccumulateGrad", (), ())
        # The leaf holds this node. Were it held in turn, they would be freed only by the garbage
        # collector; and nobody can ask a leaf that is gone for its gradient.
        self._leaf = weakref.ref(leaf)
        # Last of all: a leaf's contributions are complete only when no other node is left.
        self.number = -1

    @property
    def variable(self) -> Tensor | None:
        """The leaf, as PyTorch names it; None where it is gone."""
        return self._leaf()

    def input_cotangents(self, cts: list[Any], keep: bool) -> Sequence[Any]:
        """Return nothing: a leaf has no inputs."""
        return ()


class Packed:
    """A value in the form that the user keeps it in; see `saved_tensors_hooks`.

    Parameters
    ----------
    form : object
        What the user's function made of it.
    unpack : callable
        Makes a Tensor of that again.
    spec : Spec
        Shape and dtype that it must have.
    """

    __slots__ = ("form", "spec", "unpack")

    def __init__(self, form: Any, unpack: Callable[[Any], Any], spec: Spec) -> None:
        self.form, self.unpack, self.spec = form, unpack, spec

    @staticmethod
    def of(tensor: Tensor) -> Packed:
        """Return what the user's functions in force keep of a Tensor."""
        packing = modes.packing
        assert packing is not None
        pack, unpack = packing
        # The functions may compute; what they save is their own matter.
        modes.packing = None
        try:
            return Packed(pack(tensor.detach()), unpack, _spec(tensor._raw.shape, tensor.dtype))
        finally:
            modes.packing = packing

    def unpacked(self) -> Any:
        """Return the array again."""
        raw = getattr(self.unpack(self.form), "_raw", None)
        if raw is None or (raw.shape, raw.dtype) != (self.spec.shape, self.spec.dtype):
            raise GradientError(
                "backward: the unpack hook of saved_tensors_hooks gave something else",
                why=f"what was packed is a Tensor {self.spec}",
                do="return a Tensor of the same shape and dtype",
            )
        return raw


class Saved:
    """A value kept for `backward`, with the state it must still be in then."""

    __slots__ = ("edge", "raw", "storage", "version")

    def __init__(self, tensor: Tensor, edge: Edge | None) -> None:
        self.raw: Any = tensor._raw
        if modes.packing is not None and not isinstance(self.raw, Value):
            self.raw = Packed.of(tensor)
        self.edge = edge
        self.storage = tensor._storage
        self.version = tensor._storage.version
        self.storage.saved = True

    def keep_copy(self, copies: dict[int, Any]) -> None:
        """Keep a copy of the value, which is about to be changed; equal ones share it."""
        if self.storage.version != self.version:
            return
        if isinstance(self.raw, np.ndarray):  # values of a trace never change
            key = id(self.raw)
            if key not in copies:
                copies[key] = self.raw.copy()
            self.raw = copies[key]
        self.storage, self.version = Storage(), 0

    def unpack(
        self,
        needed_by: TapeNode,
        make: Callable[..., Tensor],
        edge: Edge | None,
    ) -> Tensor:
        """Return the value as a Tensor whose history is `edge`.

        Raises
        ------
        GradientError
            If it was changed in place since.
        """
        if isinstance(self.raw, Packed):
            return make(self.raw.unpacked(), edge, Storage())
        overwritten = not (self.storage.keeps_values and isinstance(self.raw, Value))
        if self.storage.version != self.version and overwritten:
            raise GradientError(
                "backward: a value needed for the gradient was changed in place",
                why=f"{needed_by.name_} saved a Tensor of shape {tuple(self.raw.shape)} at version"
                f" {self.version}; it is at version {self.storage.version} now"
                f"{self.storage.last_change()}",
                do="use an out-of-place operation (x = x + 1), or change a copy: x.clone()",
            )
        return make(self.raw, edge, self.storage)


def freed_error(name: str) -> GradientError:
    """Return the error for a node, shown as `name`, whose saved values are gone."""
    return GradientError(
        "backward: the graph was freed by an earlier backward",
        why=f"the values that {name} had saved are gone",
        do="pass retain_graph=True to the earlier call, or compute the output again",
    )


class SpentNode(TapeNode):
    """The node of a result whose graph an earlier backward has freed: another one is refused."""

    __slots__ = ()

    def input_cotangents(self, cts: list[Any], keep: bool) -> Sequence[Any]:
        """Raise the error for a graph that was freed."""
        raise freed_error(self.name_)


def is_spent(node: TapeNode | None) -> bool:
    """Return whether an earlier backward has freed what one from `node` would need."""
    waiting, seen = [node], {node}
    while waiting:
        current = waiting.pop()
        if current is None:
            continue
        if isinstance(current, PrimitiveNode) and current.freed:
            return True
        for edge in current.edges:
            if edge is not None and edge[0] not in seen:
                seen.add(edge[0])
                waiting.append(edge[0])
    return False


class PrimitiveNode(TapeNode):
    """The node of an operation of the table; keeps what the operation's rules ask for."""

    __slots__ = ("freed", "params", "primitive", "saved", "specs")

    # Set by tensor.py, which stands to the right of this file.
    make_tensor: Callable[..., Tensor]

    def __init__(
        self,
        primitive: Primitive,
        params: dict[str, Any],
        edges: Sequence[Edge | None],
        specs: Sequence[Spec],
        out_specs: Sequence[Spec],
    ) -> None:
        super().__init__(primitive.grad_name, edges, out_specs)
        self.primitive = primitive
        self.params = params
        self.specs = specs
        self.saved: dict[str, Any] = {}
        self.freed = False

    def save(self, args: Sequence[Any], outputs: Sequence[Tensor]) -> None:
        """Keep those of `args` and `outputs` that the rules of inputs with an edge ask for."""
        edges = self.edges
        inputs, out, record = _kept(self.primitive, tuple([edge is not None for edge in edges]))
        for index, name in inputs:
            if index is None:
                self.saved[name] = tuple(
                    [_save(a, edge) for a, edge in zip(args, edges, strict=True)]
                )
            else:
                self.saved[name] = _save(args[index], edges[index])
        if out:
            # Without its edge, which would make a cycle of the node with itself; see _unpack.
            kept = tuple([Saved(output, None) for output in outputs])
            self.saved["out"] = kept if len(kept) > 1 else kept[0]
        if record:
            self.saved["record"] = Saved(outputs[-1], None)

    def input_cotangents(self, cts: list[Any], keep: bool) -> Sequence[Any]:
        """Return the cotangents that the operation's rules give; see `TapeNode`."""
        if self.freed:
            raise freed_error(self.name_)
        ct: Any = tuple(cts) if len(cts) > 1 else cts[0]
        primitive, params, specs = self.primitive, self.params, self.specs
        wanted = [index for index, edge in enumerate(self.edges) if edge is not None]
        results: list[Any] = [None] * len(self.edges)
        found = input_cotangents(primitive, wanted, ct, specs, params, self._unpack)
        for index, result in zip(wanted, found, strict=True):
            results[index] = result
        if not keep and self.saved:
            self.saved = {}
            self.freed = True
        return results

    def _unpack(self, name: str) -> Any:
        saved = self.saved[name]
        items = saved if isinstance(saved, tuple) else (saved,)
        unpacked = tuple(
            [
                item.unpack(self, self.make_tensor, (self, k) if name == "out" else item.edge)
                if isinstance(item, Saved)
                else item
                for k, item in enumerate(items)
            ]
        )
        return unpacked if isinstance(saved, tuple) else unpacked[0]


def keep_copies(node: TapeNode, storage: Storage, since: int) -> None:
    """Let the nodes recorded `since`, from `node` down, own what they saved from `storage`.

    It is about to be changed in place by the operation that they belong to.
    """
    copies: dict[int, Any] = {}
    seen: set[TapeNode] = set()
    stack = [node]
    while stack:
        node = stack.pop()
        if node in seen or node.number < since:
            continue
        seen.add(node)
        if isinstance(node, PrimitiveNode):
            for value in node.saved.values():
                for saved in value if isinstance(value, tuple) else (value,):
                    if isinstance(saved, Saved) and saved.storage is storage:
                        saved.keep_copy(copies)
        stack.extend([edge[0] for edge in node.edges if edge is not None])


def _save(arg: Any, edge: Edge | None) -> Any:
    return arg if isinstance(arg, (bool, int, float)) else Saved(arg, edge)


@functools.lru_cache(maxsize=4096)
def _kept(
    primitive: Primitive, with_edge: tuple[bool, ...]
) -> tuple[tuple[tuple[int | None, str], ...], bool, bool]:
    """Return what the rules of the inputs `with_edge` ask for.

    Returns
    -------
    tuple of (int or None, str)
        Number and name of each input to keep; None for all inputs of a variadic operation.
    bool, bool
        Whether all outputs, and whether the last one, a record, are needed.
    """
    names = {
        name
        for index, wanted in enumerate(with_edge)
        if wanted
        for name in names_needed(primitive, index)
    }
    inputs: list[tuple[int | None, str]]
    if primitive.variadic:
        inputs = [(None, primitive.inputs[0].removeprefix("*"))]
    else:
        inputs = list(enumerate(primitive.inputs))
    kept = tuple([(index, name) for index, name in inputs if name in names])
    return kept, "out" in names, "record" in names


@functools.cache
def _has_rule(primitive: Primitive, index: int) -> bool:
    return primitive.rule_for(index) is not None


def record(
    primitive: Primitive, params: dict[str, Any], args: Sequence[Any], outputs: Sequence[Tensor]
) -> None:
    """Make `outputs` remember how `primitive` computed them from `args`: Tensors and numbers."""
    edges: list[Edge | None] = []
    specs: list[Spec] = []
    connected = False
    for index, arg in enumerate(args):
        edge = None
        if isinstance(arg, (bool, int, float)):
            specs.append(_spec((), python_dtype(arg), True))
        else:
            raw = arg._raw
            specs.append(_spec(raw.shape, raw.dtype))
            if arg._requires_grad and _has_rule(primitive, index):
                edge = arg._edge()
                connected = True
        edges.append(edge)
    if not connected:
        return
    floating = [is_floating(output._raw.dtype) for output in outputs]
    if not any(floating):
        return
    out_specs = [_spec(output._raw.shape, output._raw.dtype) for output in outputs]
    node = PrimitiveNode(primitive, params, edges, specs, out_specs)
    trace = active_trace()
    if trace is not None:
        trace.recorded(node)
    for slot, output in enumerate(outputs):
        if floating[slot]:
            output._requires_grad = True
            output._node = node
            output._slot = slot
    node.save(args, outputs)
