"""Results in arrays that the caller gives: ``compiled(..., out=buffers)``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.api.apart import any_shared
from jitgrad.core.errors import ArgumentError
from jitgrad.core.tree import Tree, flatten, unflatten
from jitgrad.runtime.dispatch import Call, compile_segment, finish
from jitgrad.runtime.graph_function import MakeProgram
from jitgrad.runtime.program import USUAL_LAYOUT, layout_of
from jitgrad.runtime.variant import Variant
from jitgrad.tensor.tensor import Tensor


def takes_out(function: Callable[..., Any]) -> bool:
    """Return whether a keyword ``out`` would be an argument of the function itself."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(p.name == "out" or p.kind is p.VAR_KEYWORD for p in parameters)


def check_buffers(title: str, buffers: list[Any], args: Any, kwargs: Any) -> None:
    """Raise an error unless all are arrays, Tensors or None, and apart from the arguments."""
    for buffer in buffers:
        if buffer is not None and not isinstance(buffer, (np.ndarray, Tensor)):
            raise ArgumentError(
                f"{title}: out holds {type(buffer).__name__}",
                do="give an array or a Tensor for each result, or None for a new one",
            )
        if isinstance(buffer, Tensor) and (buffer._requires_grad or buffer._view is not None):
            raise ArgumentError(
                f"{title}: out holds a Tensor that requires a gradient, or a view of one",
                do="give Tensors of their own, without requires_grad",
            )
        array = _array(buffer)
        if array is not None and not array.flags.writeable:
            raise ArgumentError(f"{title}: out holds an array that is read-only")
    if any_shared(
        [*((b, True) for b in buffers), *((a, False) for a in flatten((args, kwargs))[0])]
    ):
        raise ArgumentError(
            f"{title}: an array of out shares memory with another one or an argument",
            do="give arrays of their own; donate= lets results overwrite arguments",
        )


def run_into(
    variant: Variant,
    leaves: list[Any],
    captured: tuple[Any, ...],
    buffers: list[Any],
    title: str,
    make: MakeProgram,
) -> tuple[Any] | None:
    """Return the result of a call that computes straight into buffers; None if it can't.

    Parameters
    ----------
    variant, leaves, captured
        The call: as of `jitgrad.runtime.dispatch.Call`.
    buffers : list
        For each leaf of the result an array or Tensor, or None.
    title, make
        As of `compile_segment`.
    """
    tree, root = variant.tree, variant.tree.root
    if root is None or root.result is None or variant.spent or root.given:
        return None
    result = root.result
    if result.writes or result.gradients or result.checks or len(result.leaves) != len(buffers):
        return None
    call = Call(leaves, captured, tree.constants)
    call.values.update((value, call.operand(source)) for value, source in tree.inputs.items())
    compiled = compile_segment(root, title, make)
    wanted: list[Any] = [None] * len(compiled.outputs)
    for leaf, buffer in zip(result.leaves, buffers, strict=True):
        array = _array(buffer)
        if array is None or leaf.content not in compiled.outputs:
            continue
        number = compiled.outputs.index(leaf.content)
        spec = leaf.content.spec
        fits = array.shape == spec.shape and array.dtype == spec.dtype and array.ndim > 0
        if fits and wanted[number] is None and layout_of(array) & USUAL_LAYOUT == USUAL_LAYOUT:
            wanted[number] = array
    arguments = [call.values[value] for value in compiled.inputs]
    made = compiled.function.apply_into(arguments, wanted)
    if made is None:
        return None
    call.values.update(zip(compiled.outputs, made, strict=True))
    return (finish(result, call, tree),)


def placed(title: str, result: Any, buffers: list[Any], structure: Tree) -> Any:
    """Return the structure of buffers with the result in them, and in place of None."""
    leaves, tree = flatten(result)
    if tree != structure:
        raise ArgumentError(
            f"{title}: out has another structure than the result",
            why=f"the result is {tree}, out is {structure}",
        )
    for leaf, buffer in zip(leaves, buffers, strict=True):
        if buffer is not None:
            _check_fits(title, leaf, buffer)
    return unflatten(
        tree, [_filled(leaf, buffer) for leaf, buffer in zip(leaves, buffers, strict=True)]
    )


def _check_fits(title: str, leaf: Any, buffer: Any) -> None:
    if isinstance(leaf, Tensor) and leaf._requires_grad:
        raise ArgumentError(
            f"{title}: a result for out requires a gradient",
            why="arrays that are given have no history",
            do="call it under no_grad, or compile value_and_grad of it",
        )
    array, kind = np.asarray(_array(leaf)), _array(buffer)
    if not isinstance(leaf, (Tensor, np.ndarray, np.generic)) or isinstance(leaf, Tensor) != (
        isinstance(buffer, Tensor)
    ):
        raise ArgumentError(
            f"{title}: out holds {type(buffer).__name__} for a result that is {type(leaf).__name__}"
        )
    if array.shape != kind.shape or array.dtype != kind.dtype:
        raise ArgumentError(
            f"{title}: out holds an array of shape {kind.shape} and dtype {kind.dtype}",
            why=f"the result has shape {array.shape} and dtype {array.dtype}",
        )


def _filled(leaf: Any, buffer: Any) -> Any:
    if buffer is None:
        return leaf
    array, target = _array(leaf), _array(buffer)
    if isinstance(buffer, Tensor):
        buffer._storage.change("out=")
    if array is not target:
        np.copyto(target, array)
    return buffer


def _array(thing: Any) -> Any:
    return thing._raw if isinstance(thing, Tensor) else thing
