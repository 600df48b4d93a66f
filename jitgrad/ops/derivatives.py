"""What the engine does around every derivative rule, once for all operations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.core.dtypes import bool_
from jitgrad.core.primitive import NoDerivative, Partials, Primitive, Together
from jitgrad.core.spec import Shape, Spec
from jitgrad.ops.arithmetic import mul, scale_cotangent
from jitgrad.ops.cast import convert
from jitgrad.ops.reduction import sum_over
from jitgrad.ops.selection import select
from jitgrad.ops.shape import reshape_to


def names_needed(primitive: Primitive, index: int) -> tuple[str, ...]:
    """Return the names that the rule for input `index` asks for."""
    rule = primitive.rule_for(index)
    return () if rule is None else rule.needs


def input_cotangents(
    primitive: Primitive,
    wanted: Sequence[int],
    ct: Any,
    specs: Sequence[Spec],
    params: dict[str, Any],
    saved: Callable[[str], Any],
) -> list[Any]:
    """Return the cotangents of the inputs numbered `wanted`; see `input_cotangent`.

    None stands for one that is zero whatever the cotangents of the outputs are.
    """
    derivative = primitive.derivative
    if not isinstance(derivative, Together):
        return [input_cotangent(primitive, k, ct, specs, params, saved) for k in wanted]
    if not wanted:
        return []
    offered = {"ct": ct, "specs": tuple(specs), "params": params, "wanted": tuple(wanted)}
    needs = derivative.rule.needs
    results = derivative.rule.function(
        *[offered[name] if name in offered else saved(name) for name in needs]
    )
    return [
        None if result is None else conform(result, specs[k])
        for k, result in zip(wanted, results, strict=True)
    ]


def input_cotangent(
    primitive: Primitive,
    index: int,
    ct: Any,
    specs: Sequence[Spec],
    params: dict[str, Any],
    saved: Callable[[str], Any],
) -> Any:
    """Return the cotangent of input number `index`, in that input's shape and dtype.

    Parameters
    ----------
    primitive : Primitive
        The operation.
    index : int
        Which input; it has a rule.
    ct : Tensor, or tuple of Tensors
        Cotangent of the output; a tuple for an operation with several outputs.
    specs : sequence of Spec
        Specs of all inputs.
    params : dict
        The operation's static parameters.
    saved : callable
        Gives the Tensor of a name that the rule needs: an input's name, ``"out"``.
    """
    rule = primitive.rule_for(index)
    derivative = primitive.derivative
    assert rule is not None
    assert not isinstance(derivative, (NoDerivative, Together))
    arguments = []
    for source, key in _sources(primitive, index):
        if source == "ct":
            arguments.append(ct)
        elif source == "saved":
            arguments.append(saved(key))
        elif source == "param":
            arguments.append(params[key])
        elif source == "spec":
            arguments.append(specs[key])
        else:
            arguments.append(tuple(specs) if source == "specs" else index)
    result = rule.function(*arguments)
    if isinstance(derivative, Partials):
        result = _scaled(ct, result, derivative.singular)
    return conform(result, specs[index])


@functools.cache
def _sources(primitive: Primitive, index: int) -> tuple[tuple[str, Any], ...]:
    """Return where each argument of the rule for input `index` comes from, and its key there."""
    rule = primitive.rule_for(index)
    assert rule is not None
    inputs = [name.removeprefix("*") for name in primitive.inputs]
    sources: list[tuple[str, Any]] = []
    for name in rule.needs:
        if name in ("ct", "specs") or (name == "index" and primitive.variadic):
            sources.append((name, None))
        elif name == "out" or name in inputs:
            sources.append(("saved", name))
        elif name.endswith("_spec") and name.removesuffix("_spec") in inputs:
            sources.append(("spec", inputs.index(name.removesuffix("_spec"))))
        else:
            sources.append(("param", name))
    return tuple(sources)


def _scaled(ct: Any, partial: Any, singular: bool) -> Any:
    if isinstance(partial, float):
        # A number: one of the constants 1, -1, 0 that sums, differences and steps have.
        return ct if partial == 1.0 else mul(ct, partial)
    if not isinstance(partial, int) and partial.dtype == bool_:
        # A step: what it switches off contributes nothing, be the cotangent infinite or nan.
        return select(partial, ct, 0.0)
    return scale_cotangent(ct, partial) if singular else mul(ct, partial)


def conform(ct: Any, spec: Spec) -> Any:
    """Return a cotangent summed over the axes that broadcasting added, in the dtype of `spec`."""
    return convert(sum_to_shape(ct, spec.shape), spec.dtype)


def sum_to_shape(x: Any, shape: Shape) -> Any:
    """Return `x` summed over the axes along which `shape` was broadcast to it."""
    if x.shape == shape:
        return x
    added = len(x.shape) - len(shape)
    stretched = tuple(
        axis
        for axis, size in enumerate(x.shape)
        if axis < added or (shape[axis - added] == 1 and size != 1)
    )
    return (
        reshape_to(sum_over(x, axes=stretched, keepdims=False), shape)
        if stretched
        else (reshape_to(x, shape))
    )
