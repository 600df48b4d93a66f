"""Arrays of which a kernel knows that they share no memory, or how long some axes are.

Machine code that may not assume it must load again after every store, and can't compute several
iterations of a loop at once. Numba's arrays say nothing of it; these do: each belongs to a scope,
and their elements are loaded and stored with a note that those of other scopes lie elsewhere. An
index is used as it is: negative ones do not count from the end.
"""

from __future__ import annotations

import functools
import operator
import weakref
from typing import TYPE_CHECKING, Any

from jitgrad.intrinsics.declare import lowering, typed_by
from jitgrad.intrinsics.structure import ArrayFields

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Scopes that functions have in common which several groups of arrays are given to.
SHARED = "shared"
_KINDS = ("argument", "slot", SHARED)
# Scopes are numbered, and told apart by so many bits of their numbers; larger ones not at all.
_BITS = 12


@functools.cache
def array_class() -> Any:
    """Return the class of Numba types; imports Numba."""
    from numba import types
    from numba.extending import models, register_model

    class DisjointArray(types.Array):  # type: ignore[misc]
        """An array that shares no memory with those of other scopes.

        Of axes whose entry in `sizes` is not negative it says how long they are.
        """

        def __init__(self, array: Any, scope: str, sizes: tuple[int, ...]) -> None:
            self.scope = scope
            self.sizes = sizes
            super().__init__(array.dtype, array.ndim, array.layout, readonly=not array.mutable)
            self.name: str = f"{self.name} in {scope} {sizes}"

        @property
        def key(self) -> Any:
            """What makes it equal to another type."""
            return (*super().key, self.scope, self.sizes)

    register_model(DisjointArray)(models.ArrayModel)
    return DisjointArray


@functools.cache
def scoped(array: Any, scope: str) -> Any:
    """Return the type of an array, of another type, that belongs to a scope."""
    return array_class()(array, scope, known_sizes(array))


def known_sizes(array: Any) -> tuple[int, ...]:
    """Return the sizes of an array's axes as far as its type says them; -1 for others."""
    found: tuple[int, ...] = getattr(array, "sizes", (-1,) * array.ndim)
    return found


def _disjoint_type(*arrays: Any) -> Any:
    from numba import types
    from numba.core.typing import signature

    if not all(isinstance(array, types.Array) for array in arrays):
        return None
    own = [scoped(array, f"argument {n}") for n, array in enumerate(arrays)]
    return signature(types.Tuple(own), *arrays)


@typed_by(_disjoint_type)
def disjoint(*arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return the same arrays, of which is known that what is stored in one is in no other.

    Parameters
    ----------
    *arrays : array
        Those that are only read may share memory.

    Returns
    -------
    tuple of array
        In the same order.
    """
    return arrays


@lowering(disjoint)
def _disjoint(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    from numba.core import cgutils
    from numba.core.imputils import impl_ret_borrowed

    # one structure under either type
    packed = cgutils.make_anonymous_struct(builder, arguments)
    return impl_ret_borrowed(context, builder, signature.return_type, packed)


def _sized_type(array: Any, *sizes: Any) -> Any:
    from numba import types
    from numba.core.typing import signature

    if not hasattr(array, "scope") or len(sizes) != array.ndim:
        return None
    known = tuple([getattr(size, "literal_value", -1) for size in sizes])
    own = array_class()(array, array.scope, known)
    return signature(own, array, *([types.intp] * len(sizes)))


@typed_by(_sized_type)
def sized(array: NDArray[Any], *sizes: int) -> NDArray[Any]:
    """Return the same array, of which is known how long its axes are.

    Distances between elements are constants then: where the last axis has three elements, three
    vectors are read at once, and told apart in registers.

    Parameters
    ----------
    array : array
        What `disjoint` returned.
    *sizes : int
        Constants, one an axis; -1 where nothing is known.

    Returns
    -------
    array
        Itself.
    """
    return array


@lowering(sized)
def _sized(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    from numba.core.imputils import impl_ret_borrowed

    return impl_ret_borrowed(context, builder, signature.return_type, arguments[0])


def register_access() -> None:
    """Tell Numba how elements of these arrays are loaded and stored."""
    from numba import types
    from numba.extending import lower_builtin

    array = array_class()
    for index in (types.Integer, types.BaseTuple):
        lower_builtin(operator.getitem, array, index)(_load)
        lower_builtin(operator.setitem, array, index, types.Any)(_store)


def _load(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array_type, index_type = signature.args
    if not _is_element(array_type, index_type):
        from numba.np import arrayobj

        if _is_tuple(index_type):
            return arrayobj.getitem_array_tuple(context, builder, signature, arguments)
        return arrayobj.getitem_arraynd_intp(context, builder, signature, arguments)
    pointer = _pointer(context, builder, array_type, index_type, *arguments)
    model = context.data_model_manager[array_type.dtype]
    loaded = builder.load(pointer)
    note_scope(builder, loaded, array_type)
    return model.from_data(builder, loaded)


def _store(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array_type, index_type, value_type = signature.args
    array, index, value = arguments
    if not _is_element(array_type, index_type):
        from numba.np import arrayobj

        return arrayobj.setitem_array(context, builder, signature, arguments)
    pointer = _pointer(context, builder, array_type, index_type, array, index)
    model = context.data_model_manager[array_type.dtype]
    cast = context.cast(builder, value, value_type, array_type.dtype)
    stored = builder.store(model.as_data(builder, cast), pointer)
    note_scope(builder, stored, array_type)
    return context.get_dummy_value()


def _is_tuple(index_type: Any) -> bool:
    from numba import types

    return isinstance(index_type, types.BaseTuple)


def _is_element(array_type: Any, index_type: Any) -> bool:
    """Return whether an index names an element, not a part of the array."""
    from numba import types

    entries = tuple(index_type) if _is_tuple(index_type) else (index_type,)
    return len(entries) == array_type.ndim and all(isinstance(e, types.Integer) for e in entries)


def _pointer(
    context: Any, builder: Any, array_type: Any, index_type: Any, array: Any, index: Any
) -> Any:
    from numba import types
    from numba.core import cgutils

    if _is_tuple(index_type):
        entries = zip(tuple(index_type), cgutils.unpack_tuple(builder, index), strict=True)
    else:
        entries = zip((index_type,), (index,), strict=True)
    indices = [context.cast(builder, value, kind, types.intp) for kind, value in entries]
    view = ArrayFields(builder, array)
    shape = [
        size if known < 0 else context.get_constant(types.intp, known)
        for size, known in zip(view.shape, known_sizes(array_type), strict=True)
    ]
    return cgutils.get_item_pointer2(
        context,
        builder,
        data=view.data,
        shape=shape,
        strides=view.strides,
        layout=array_type.layout,
        inds=indices,
        wraparound=False,
        boundscheck=False,
    )


class _Notes:
    """The notes of a module on scopes, which are the same for all loads and stores in one.

    A list of all other scopes on each scope would be long. LLVM knows that two accesses are apart
    if they are in one of any number of domains: here each bit of a scope's number is a domain, of
    two scopes, and of two numbers some bit differs.

    Parameters
    ----------
    module : llvmlite.ir.Module
        Where.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.known: dict[str, tuple[Any, Any]] = {}
        self.nodes: list[tuple[Any, Any]] = []
        for bit in range(_BITS):
            domain = module.add_metadata([f"bit {bit}"])
            zero, one = (module.add_metadata([f"bit {bit} is {n}", domain]) for n in range(2))
            self.nodes.append((zero, one))

    def of(self, scope: str) -> tuple[Any, Any]:
        """Return the nodes of a scope, and those of which it has none."""
        found = self.known.get(scope)
        if found is None:
            kind, number = scope.split()
            code = int(number) * len(_KINDS) + _KINDS.index(kind)
            bits = [code >> bit & 1 for bit in range(_BITS)] if code < 1 << _BITS else []
            own = [nodes[bit] for nodes, bit in zip(self.nodes, bits, strict=False)]
            others = [nodes[1 - bit] for nodes, bit in zip(self.nodes, bits, strict=False)]
            found = self.module.add_metadata(own), self.module.add_metadata(others)
            self.known[scope] = found
        return found


_notes: weakref.WeakKeyDictionary[Any, _Notes] = weakref.WeakKeyDictionary()


def note_scope(builder: Any, instruction: Any, array_type: Any) -> None:
    """Note on a load or store in which scope it is, and in which ones it is not."""
    scope = getattr(array_type, "scope", None)
    if scope is None:
        return
    notes = _notes.get(builder.module)
    if notes is None:
        notes = _notes[builder.module] = _Notes(builder.module)
    own, others = notes.of(scope)
    instruction.set_metadata("alias.scope", own)
    instruction.set_metadata("noalias", others)
