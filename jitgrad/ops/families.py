"""Rules that a family of operations shares, so that an entry states only what is its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from jitgrad.core.dtypes import (
    DType,
    bool_,
    float64,
    get_default_dtype,
    int64,
    is_floating,
    python_dtype,
    result_dtype,
)
from jitgrad.core.errors import DtypeError, ShapeError
from jitgrad.core.primitive import (
    Accumulation,
    Batching,
    Derivative,
    Examples,
    External,
    Lowering,
    Primitive,
    Sample,
    SampleMaker,
    Template,
    register,
)
from jitgrad.core.public import function_of, publish
from jitgrad.core.shapes import broadcast_shapes, reduced_shape
from jitgrad.core.spec import Spec
from jitgrad.ops.batching import along, broadcasting
from jitgrad.ops.cast import convert

Array = np.ndarray[Any, Any]
Result = Literal["same", "float", "bool"]
Interval = tuple[float, float]


def camel(name: str) -> str:
    """Return ``log_softmax`` as ``LogSoftmax``."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


# -- elementwise ---------------------------------------------------------------------------


def promoted_dtype(specs: list[Spec], result: Result) -> DType:
    """Return the dtype in which an elementwise operation on these inputs computes."""
    dtype = result_dtype([(s.dtype, len(s.shape), s.weak) for s in specs])
    if result == "float" and not is_floating(dtype):
        return get_default_dtype()
    return dtype


def elementwise(
    name: str,
    *,
    eager: Callable[..., Any],
    derivative: Derivative,
    template: str | Template | External,
    samples: SampleMaker,
    doc: str,
    inputs: tuple[str, ...] = ("x",),
    result: Result = "same",
    uncast: tuple[str, ...] = (),
    refuse_bool: str = "",
    whole: bool = False,
    grad_name: str = "",
    method: bool = True,
    inplace: bool = True,
    published: bool = True,
    neutral: dict[int, float] | None = None,
) -> Primitive:
    """Enter an operation that computes each element of its output from one of each input.

    Inputs broadcast and are promoted to one dtype as in PyTorch.

    Parameters
    ----------
    name : str
        Name of the operation and of the public function.
    eager : callable
        NumPy implementation on arrays of one dtype.
    derivative : Derivative
        `partials` or `none`.
    template : str, Template or External
        Scalar expression for kernels; `External` where there is none.
    samples : callable
        Made by `reals`, `integers` or by hand.
    doc : str
        One sentence.
    inputs : tuple of str
        Names of the inputs.
    result : {"same", "float", "bool"}
        Dtype of the output: the promoted one, a floating one, or bool.
    uncast : tuple of str
        Inputs that take no part in promotion.
    refuse_bool : str
        What to do instead, where the operation is not defined for booleans; NumPy's must not be
        either.
    whole : bool
        Whether only integers and booleans are taken; NumPy's function must not take others either.
    grad_name : str
        PyTorch's name of the node, made from `name` where not given.
    method, inplace, published : bool
        Whether Tensors have it as a method, with a trailing underscore, and whether it is public.
    neutral : dict, optional
        As of `Primitive`.
    """
    lowering: Lowering = Template(template) if isinstance(template, str) else template
    if isinstance(lowering, Template):
        lowering = replace(lowering, uncast=uncast)
    kept = [i for i, n in enumerate(inputs) if n not in uncast]

    def infer(*specs: Spec) -> Spec:
        shape = broadcast_shapes(name, *[s.shape for s in specs])
        weak = all(s.weak for s in specs)
        if result == "bool":
            return Spec(shape, bool_, weak)
        dtype = promoted_dtype([specs[i] for i in kept], result)
        if weak and is_floating(dtype):
            dtype = float64
        if refuse_bool and dtype == bool_:
            raise DtypeError(f"{name}: booleans are not taken", do=refuse_bool)
        if whole and is_floating(dtype):
            raise DtypeError(
                f"{name}: {dtype} elements have no bits to work on",
                why="it is defined for integers and booleans",
                do="compare first (x > 0), or use jitgrad.logical_and and its kin",
            )
        return Spec(shape, dtype, weak)

    floating = result == "float"
    takes_numbers = isinstance(eager, np.ufunc)

    def run(*args: Any) -> Any:
        dtype = _common_dtype(args if not uncast else [args[i] for i in kept], floating)
        if dtype is None:
            return eager(*_promoted(args, kept, result))
        if takes_numbers and not uncast:
            return eager(*args)
        return eager(
            *[
                a
                if isinstance(a, np.ndarray)
                else (np.array(a, dtype) if i in kept else _weak_array(a))
                for i, a in enumerate(args)
            ]
        )

    primitive = register(
        Primitive(
            name,
            inputs,
            run,
            infer,
            derivative,
            lowering,
            samples,
            doc,
            grad_name or f"{camel(name)}Backward0",
            neutral=neutral or {},
            batching=_elementwise_batching([i for i in range(len(inputs)) if i not in kept]),
        )
    )
    if published:
        publish(function_of(primitive, doc), name, method=method, inplace=inplace)
    return primitive


def _elementwise_batching(uncast: Sequence[int]) -> Batching:
    """Return the rule of an elementwise operation; the inputs `uncast` are not promoted."""

    def rule(examples: Examples, *inputs: Any, **params: Any) -> Any:
        kept = [s for k, s in enumerate(examples.specs) if k not in uncast]
        dtype = result_dtype([(s.dtype, s.ndim, s.weak) for s in kept])
        promoted = [
            x if k in uncast or not examples.batched[k] else _demoted(x, examples.specs[k], dtype)
            for k, x in enumerate(inputs)
        ]
        return broadcasting(examples, *promoted, **params)

    return rule


def _demoted(x: Any, spec: Spec, dtype: Any) -> Any:
    """Return an input in the dtype of computation, where it would have a say with more axes.

    What has no axes takes part in promotion by its category alone.
    """
    if (spec.weak or not spec.ndim) and spec.dtype != dtype and spec.dtype.kind == dtype.kind:
        return convert(x, dtype)
    return x


# Categories of Python numbers and of dtype kinds, in which promotion compares them.
_CATEGORY_OF_NUMBER: dict[type, int] = {bool: 0, int: 1, float: 2}
_CATEGORY_OF_KIND = {"b": 0, "i": 1, "f": 2}


def _common_dtype(args: Sequence[Any], floating: bool) -> DType | None:
    """Return the dtype of computation where that is plain to see, else None.

    It is where all arrays have one dtype and no Python number is of a higher category; NumPy then
    promotes as we do.
    """
    dtype: DType | None = None
    highest = 0
    for arg in args:
        if isinstance(arg, np.ndarray):
            if dtype is None:
                dtype = arg.dtype
            elif dtype != arg.dtype:
                return None
        else:
            highest = max(highest, _CATEGORY_OF_NUMBER.get(type(arg), 3))
    if dtype is None or (floating and dtype.kind != "f"):
        return None
    return None if highest > _CATEGORY_OF_KIND[dtype.kind] else dtype


def _promoted(args: Sequence[Any], kept: list[int], result: Result) -> list[Array]:
    """Return `args` as arrays, those of the positions `kept` in their promoted dtype."""
    arrays = [a if isinstance(a, np.ndarray) else _weak_array(a) for a in args]
    specs = [Spec(arrays[i].shape, arrays[i].dtype, arrays[i] is not args[i]) for i in kept]
    dtype = promoted_dtype(specs, result)
    return [a.astype(dtype, copy=False) if i in kept else a for i, a in enumerate(arrays)]


def _weak_array(number: Any) -> Array:
    return np.asarray(number, python_dtype(number))


# -- reductions ----------------------------------------------------------------------------


def reduction(
    name: str,
    *,
    eager: Callable[..., Any],
    derivative: Derivative,
    accumulation: Accumulation | None,
    samples: SampleMaker,
    doc: str,
    result_dtype_of: Callable[[DType], DType] = lambda dtype: dtype,
    identity_for_empty: bool = True,
    grad_name: str = "",
) -> Primitive:
    """Enter an operation that reduces its input over the static parameter ``axes``.

    Parameters
    ----------
    name : str
        Name of the operation.
    eager : callable
        ``eager(x, axes, keepdims)``.
    derivative : Derivative
        Rules may need ``axes``, ``keepdims``, ``x``, ``x_spec``, ``out``, ``ct``.
    accumulation : Accumulation, optional
        How kernels reduce; None to call `eager`.
    samples : callable
        Usually `reduction_samples` of an interval.
    doc : str
        One sentence.
    result_dtype_of : callable
        Dtype of the output for the input's.
    identity_for_empty : bool
        Whether reducing no elements is allowed.
    grad_name : str
        PyTorch's name of the node, made from `name` where not given.
    """

    def infer(x: Spec, axes: tuple[int, ...], keepdims: bool) -> Spec:
        if not identity_for_empty and any(x.shape[a] == 0 for a in axes):
            raise _no_elements(name, x, axes)
        return Spec(reduced_shape(x.shape, axes, keepdims), result_dtype_of(x.dtype))

    def run(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        result = eager(x, axes, keepdims)
        wanted = result_dtype_of(x.dtype)
        return result if result.dtype == wanted else np.asarray(result).astype(wanted)

    lowering: Lowering = External() if accumulation is None else accumulation
    return register(
        Primitive(
            name,
            ("x",),
            run,
            infer,
            derivative,
            lowering,
            samples,
            doc,
            grad_name or f"{camel(name)}Backward0",
            batching=along("axes"),
        )
    )


def _no_elements(name: str, x: Spec, axes: tuple[int, ...]) -> Exception:
    return ShapeError(
        f"{name}: there is nothing to reduce over axes {axes} of shape {x.shape}",
        why=f"{name} of no elements has no value",
    )


def integers_to_int64(dtype: DType) -> DType:
    """Return int64 for integers and bool, floating dtypes unchanged: the dtype of a sum."""
    return dtype if is_floating(dtype) else int64


# -- samples -------------------------------------------------------------------------------


def reals(*intervals: Interval | float) -> SampleMaker:
    """Return samples for an elementwise operation: values of each input in its interval.

    Shapes include 0-d, empty, size 1 and broadcasting. ``reals(-4, 4)`` is one input.
    """
    given: Any = intervals
    spans: tuple[Interval, ...] = given if isinstance(given[0], tuple) else (given,)
    shapes: list[list[tuple[int, ...]]] = [
        [()] * len(spans),
        [(0,)] * len(spans),
        [(7,)] * len(spans),
        [(3, 4)] * len(spans),
    ]
    if len(spans) > 1:
        shapes += [
            [(3, 4), (4,), (3, 1)][: len(spans)] + [(4,)] * (len(spans) - 3),
            [(), (2, 3), (3,)][: len(spans)] + [()] * (len(spans) - 3),
            [(2, 1, 3), (4, 1), ()][: len(spans)] + [()] * (len(spans) - 3),
        ]

    def make(rng: np.random.Generator) -> list[Sample]:
        return [
            Sample(
                tuple(
                    rng.uniform(lo, hi, shape) for (lo, hi), shape in zip(spans, row, strict=True)
                ),
                {},
                "x".join([str(shape) for shape in row]).replace(" ", ""),
            )
            for row in shapes
        ]

    return make


def reduction_samples(lo: float, hi: float, *, empty: bool = True) -> SampleMaker:
    """Return samples for a reduction: shapes, axes and ``keepdims``, values in an interval."""
    cases: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((), ()),
        ((5,), (0,)),
        ((3, 4), (0,)),
        ((3, 4), (1,)),
        ((3, 4), (0, 1)),
        ((2, 3, 4), (1,)),
        ((2, 3, 4), (0, 2)),
        ((2, 1, 3), (1,)),
        ((3, 4), ()),
    ]
    if empty:
        cases += [((0,), (0,)), ((2, 0), (1,))]
    cases += [((0, 2), (1,))]

    def make(rng: np.random.Generator) -> list[Sample]:
        return [
            Sample(
                (rng.uniform(lo, hi, shape),),
                {"axes": axes, "keepdims": keep},
                f"{shape}-axes{axes}{'-keep' if keep else ''}".replace(" ", ""),
            )
            for shape, axes in cases
            for keep in (False, True)
        ]

    return make
