"""NumPy's functions on Tensors: ``np.tanh(t)`` finds tanh in the table of public functions.

A function that NumPy and jitgrad call by the same name, with the same meaning, needs no entry
here: what follows is only for those whose names, arguments or meaning differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jitgrad.core.bind import Boxed, box
from jitgrad.core.errors import ArgumentError, DtypeError, GradientError
from jitgrad.core.public import FUNCTIONS
from jitgrad.core.shapes import normalize_axes
from jitgrad.ops import numpy_arranging as arranging
from jitgrad.ops import numpy_compositions as compositions
from jitgrad.ops import numpy_numbers as numbers

# NumPy's name of a function that takes the same arguments here under another name.
_OTHER_NAMES = {
    "broadcast_arrays": "broadcast_tensors",
    "conjugate": "clone",
    "copy": "clone",
    "equal": "eq",
    "expand_dims": "unsqueeze",
    "expit": "sigmoid",
    "fabs": "abs",
    "gammaln": "lgamma",
    "invert": "bitwise_not",
    "left_shift": "bitwise_left_shift",
    "max": "amax",
    "min": "amin",
    "moveaxis": "movedim",
    "permute_dims": "permute",
    "positive": "clone",
    "power": "pow",
    "psi": "digamma",
    "right_shift": "bitwise_right_shift",
    "rint": "round",
    "take_along_axis": "take_along_dim",
}

_REDUCTIONS = {"add": "sum", "multiply": "prod", "maximum": "amax", "minimum": "amin"}
_ACCUMULATIONS = {"add": "cumsum", "multiply": "cumprod"}
_REDUCTIONS |= {"logical_and": "all", "logical_or": "any"}


_OF_SEVERAL_RESULTS: dict[str, Callable[..., Any]] = {
    "divmod": numbers.divmod,
    "modf": numbers.modf,
}


def apply_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Carry out ``ufunc(*inputs)``, or a method of it, some input being a Tensor.

    Raises
    ------
    DtypeError
        If jitgrad has no such function.
    ArgumentError
        If it does not take one of the arguments.
    """
    name = ufunc.__name__
    outputs = kwargs.pop("out", None)
    if kwargs.pop("where", True) is not True:
        raise _not_taken(name, "where")
    dtype = kwargs.pop("dtype", None)
    for ignored in ("casting", "order", "subok", "signature"):
        kwargs.pop(ignored, None)
    if method == "__call__":
        several = _OF_SEVERAL_RESULTS.get(name)
        if several is not None and outputs is None and dtype is None:
            return several(*inputs)
        result = _named(name)(*inputs, **kwargs)
    elif method == "reduce" and name in _REDUCTIONS:
        axis = kwargs.pop("axis", 0)
        result = _named(_REDUCTIONS[name])(*inputs, axis=axis, **_without_defaults(name, kwargs))
    elif method == "outer":
        left, right = map(box, inputs)
        shape = (*left.shape, *[1] * right.ndim)
        result = _named(name)(_call("reshape", left, shape), right, **kwargs)
    elif method == "accumulate" and name in _ACCUMULATIONS:
        axis = kwargs.pop("axis", 0)
        result = _named(_ACCUMULATIONS[name])(*inputs, axis, **_without_defaults(name, kwargs))
    else:
        raise _unknown(f"{name}.{method}" if method != "__call__" else name)
    if dtype is not None:
        result = result.to(dtype)
    if outputs is None:
        return result
    into = outputs[0] if isinstance(outputs, tuple) else outputs
    return _store(name, into, result)


def _store(name: str, into: Any, result: Any) -> Any:
    """Write a result where the caller's ``out`` says."""
    if isinstance(into, Boxed):
        into[...] = result  # type: ignore[index]
        return into
    if result.requires_grad:
        raise GradientError(
            f"numpy.{name}: the result requires a gradient, which an array can't hold",
            why="the output is a NumPy array: out=..., or an update like array += tensor",
            do="write array = array + tensor, or detach the Tensor first",
        )
    np.copyto(into, result.numpy(), casting="same_kind")
    return into


def apply_function(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Carry out a function of NumPy that was called with a Tensor.

    Raises
    ------
    DtypeError
        If jitgrad has no such function.
    ArgumentError
        If it does not take one of the arguments.
    """
    room = function.__module__.removeprefix("numpy").removeprefix(".")
    name = f"{room}.{function.__name__}" if room else function.__name__
    translated = _TRANSLATED.get(name)
    if translated is not None:
        return translated(*args, **{k: v for k, v in kwargs.items() if v is not np._NoValue})
    outputs = kwargs.get("out")
    result = _named(name)(*args, **_without_defaults(name, kwargs))
    return result if outputs is None else _store(name, outputs, result)


def _named(name: str) -> Callable[..., Any]:
    ours = _OTHER_NAMES.get(name, name)
    # The ufuncs of scipy.special are in no room of their own.
    entry = FUNCTIONS.get(ours) or FUNCTIONS.get(f"special.{ours}")
    if entry is None:
        raise _unknown(name)
    return entry.function


def _unknown(name: str, why: str = "") -> DtypeError:
    return DtypeError(
        f"numpy.{name}: jitgrad has no such function of Tensors",
        why=why,
        do="use jitgrad's functions; or, where no gradient is needed, t.detach().numpy()",
    )


def _not_taken(name: str, argument: str) -> ArgumentError:
    return ArgumentError(
        f"numpy.{name}: the argument {argument} can't be used with Tensors",
        do="use jitgrad's functions",
    )


# NumPy's own value of arguments that jitgrad has not; given another one, they are an error.
_DEFAULTS: dict[str, Any] = {
    "where": True,
    "initial": None,
    "order": None,
    "subok": True,
    "casting": "same_kind",
    "out": None,
    "copy": None,
    "equal_nan": False,
    "optimize": None,
}
_HARMLESS = {"out", "order", "subok", "optimize"}


def _without_defaults(name: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments without those that jitgrad has not, if they say nothing."""
    kept: dict[str, Any] = {}
    for key, value in kwargs.items():
        if value is np._NoValue or key in _HARMLESS:
            continue
        if key == "equal_nan" and value:
            kept[key] = value
        elif key in _DEFAULTS:
            if value is not _DEFAULTS[key]:
                raise _not_taken(name, key)
        elif key != "dtype" or value is not None:
            kept[key] = value
    return kept


# -- functions whose arguments or meaning differ -----------------------------------------------


def _call(name: str, *args: Any, **kwargs: Any) -> Any:
    return FUNCTIONS[name].function(*args, **kwargs)


def _std(a: Any, axis: Any = None, *, ddof: int = 0, correction: Any = None, **rest: Any) -> Any:
    return _spread("std", a, axis, ddof if correction is None else correction, rest)


def _var(a: Any, axis: Any = None, *, ddof: int = 0, correction: Any = None, **rest: Any) -> Any:
    return _spread("var", a, axis, ddof if correction is None else correction, rest)


def _spread(name: str, a: Any, axis: Any, correction: Any, rest: dict[str, Any]) -> Any:
    rest = _without_defaults(name, rest)
    return _call(name, a, axis, correction=correction, keepdim=rest.pop("keepdims", False))


def _clip(a: Any, a_min: Any = None, a_max: Any = None, **rest: Any) -> Any:
    low, high = rest.pop("min", a_min), rest.pop("max", a_max)
    result = _call("clamp", a, low, high)
    return result if rest.get("out") is None else _store("clip", rest["out"], result)


def _reshape(a: Any, /, shape: Any = None, order: str = "C", **rest: Any) -> Any:
    if order not in ("C", "A"):
        raise _not_taken("reshape", "order")
    shape = rest.get("newshape", shape)
    return _call("reshape", a, tuple(shape) if isinstance(shape, list | tuple) else (shape,))


def _transpose(a: Any, axes: Any = None) -> Any:
    value = box(a)
    return value.T if axes is None else _call("permute", value, tuple(axes))


def _dot(a: Any, b: Any, out: Any = None) -> Any:
    left, right = box(a), box(b)
    if not left.shape or not right.shape:
        return _call("mul", left, right)
    if right.ndim <= 2:
        return _call("matmul", left, right)
    return _call("tensordot", left, right, ((-1,), (-2,)))


def _outer(a: Any, b: Any, out: Any = None) -> Any:
    return _call("outer", _call("ravel", a), _call("ravel", b))


def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    sections = indices_or_sections
    if isinstance(sections, int) and box(ary).shape[axis] % sections:
        raise ArgumentError(f"numpy.split: axis {axis} can't be cut into {sections} equal pieces")
    if not isinstance(sections, int):
        sections = list(sections)
    return list(_call("tensor_split", ary, sections, axis))


def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    sections = indices_or_sections
    sections = sections if isinstance(sections, int) else list(sections)
    return list(_call("tensor_split", ary, sections, axis))


def _repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    return _call("repeat_interleave", a, repeats, axis)


def _take(a: Any, indices: Any, axis: int | None = None, **rest: Any) -> Any:
    if rest.get("mode", "raise") != "raise":
        raise _not_taken("take", "mode")
    value = _call("ravel", a) if axis is None else box(a)
    place = 0 if axis is None else axis % max(value.ndim, 1)
    places = indices if isinstance(indices, Boxed) else np.asarray(indices)
    return value[(*[slice(None)] * place, places)]


def _put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    if mode != "raise":
        raise _not_taken("put", "mode")
    a.put_(np.asarray(ind) if not isinstance(ind, Boxed) else ind, v)


def _round(a: Any, decimals: int = 0, out: Any = None) -> Any:
    result = _call("round", a, decimals=decimals)
    return result if out is None else _store("round", out, result)


def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, **rest: Any) -> Any:
    return _call("sum", _call("diagonal", a, offset, axis1, axis2), -1)


def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return _call("diagonal", a, offset, axis1, axis2)


def _triangle(name: str) -> Callable[..., Any]:
    def triangle(m: Any, k: int = 0) -> Any:
        return _call(name, m, k)

    return triangle


def _diag(v: Any, k: int = 0) -> Any:
    return _call("diag", v, k)


def _einsum(*operands: Any, **rest: Any) -> Any:
    _without_defaults("einsum", rest)
    return _call("einsum", *operands)


def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    return _call("tensordot", a, b, axes)


def _roll(a: Any, shift: Any, axis: Any = None) -> Any:
    return _call("roll", a, shift, axis)


def _tile(A: Any, reps: Any) -> Any:
    return _call("tile", A, tuple(reps) if isinstance(reps, Sequence) else (reps,))


def _flip(m: Any, axis: Any = None) -> Any:
    value = box(m)
    axes = normalize_axes("flip", axis, value.ndim)
    turned = slice(None, None, -1)
    # A view, as in NumPy.
    return value[tuple([turned if a in axes else slice(None) for a in range(value.ndim)])]


def _rot90(m: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    return _call("rot90", m, k, axes)


def _cumulative(name: str) -> Callable[..., Any]:
    def cumulative(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
        value = _call("ravel", a) if axis is None else a
        return _call(name, value, 0 if axis is None else axis, dtype=dtype)

    return cumulative


def _nonzero(a: Any) -> Any:
    return _call("nonzero", a, as_tuple=True)


def _like(name: str) -> Callable[..., Any]:
    def like(a: Any, *value: Any, dtype: Any = None, **rest: Any) -> Any:
        rest = {k: v for k, v in rest.items() if k not in ("order", "subok", "device")}
        shape = rest.pop("shape", None)
        if shape is not None:
            raise _not_taken(name, "shape")
        return _call(name, a, *value, dtype=dtype, **rest)

    return like


def _joined(name: str) -> Callable[..., Any]:
    def joined(arrays: Any, axis: int | None = 0, out: Any = None, **rest: Any) -> Any:
        _without_defaults(name, rest)
        if axis is None:
            return _call("cat", [_call("ravel", a) for a in arrays], 0)
        return _call(name, list(arrays), axis)

    return joined


def _stacked(name: str) -> Callable[..., Any]:
    def stacked(tup: Any, **rest: Any) -> Any:
        _without_defaults(name, rest)
        return _call(name, list(tup))

    return stacked


def _meshgrid(*xi: Any, indexing: str = "xy", **rest: Any) -> Any:
    return _call("meshgrid", *xi, indexing=indexing)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    return _call("linalg.norm", x, ord, axis, keepdims)


def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, **rest: Any) -> Any:
    if not compute_uv:
        return _call("linalg.svdvals", a)
    return _call("linalg.svd", a, full_matrices)


def _solve(a: Any, b: Any) -> Any:
    return _call("linalg.solve", a, b)


def _sort(name: str) -> Callable[..., Any]:
    def sorted_along(a: Any, axis: int | None = -1, **rest: Any) -> Any:
        for key in ("kind", "stable", "order"):
            if rest.pop(key, None) is not None and key == "order":
                raise _not_taken(name, key)
        value = _call("ravel", a) if axis is None else a
        return _call(name, value, -1 if axis is None else axis)

    return sorted_along


def _partition(name: str) -> Callable[..., Any]:
    """Return NumPy's partition: what is sorted is divided anywhere."""

    def divided(a: Any, kth: Any, axis: int | None = -1, **rest: Any) -> Any:
        rest.pop("kind", None)
        found = _sort(name)(a, axis, **rest)
        return found if name == "argsort" else found.values

    return divided


def _sort_values(a: Any, axis: int | None = -1, **rest: Any) -> Any:
    return _sort("sort")(a, axis, **rest).values


def _middle(name: str) -> Callable[..., Any]:
    """Return NumPy's median: of two middle elements the mean."""

    def middle(a: Any, axis: Any = None, out: Any = None, **rest: Any) -> Any:
        return _parts(name)(a, 0.5, axis, keepdims=rest.get("keepdims", False))

    return middle


def _parts(name: str, scale: float = 1.0) -> Callable[..., Any]:
    def parts(a: Any, q: Any, axis: Any = None, out: Any = None, **rest: Any) -> Any:
        keep = rest.pop("keepdims", False)
        rest.pop("overwrite_input", None)
        if rest.pop("weights", None) is not None:
            raise _not_taken(name, "weights")
        if isinstance(axis, tuple):
            raise _not_taken(name, "axis=(...)")
        q = q if isinstance(q, Boxed) else np.asarray(q)
        method = rest.pop("method", "linear")
        return _call(name, a, q * scale, axis, keep, interpolation=method)

    return parts


def _searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    return _call("searchsorted", a, v, side=side, sorter=sorter)


def _unique(ar: Any, return_index: bool = False, *forms: Any, **rest: Any) -> Any:
    if return_index:
        raise _not_taken("unique", "return_index")
    rest.pop("equal_nan", None)
    rest.pop("sorted", None)
    axis = rest.pop("axis", forms[2] if len(forms) > 2 else None)
    return _call("unique", ar, True, *forms[:2], dim=axis, **rest)


def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    return _call("trapezoid", y, x, dx=dx if x is None else None, dim=axis)


def _gradient(f: Any, *spacing: Any, axis: Any = None, edge_order: int = 1) -> Any:
    steps = 1 if not spacing else spacing[0] if len(spacing) == 1 else spacing
    if hasattr(steps, "shape"):
        steps = (steps,)
    slopes = _call("gradient", f, spacing=steps, dim=axis, edge_order=edge_order)
    return slopes[0] if len(slopes) == 1 else slopes


def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, **rest: Any) -> Any:
    axis = rest.get("axis")
    if axis is None and not axisa == axisb == axisc:
        raise _not_taken("cross", "axisa")
    return _call("linalg.cross", a, b, dim=axisa if axis is None else axis)


def _linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return _call("linalg.cross", x1, x2, dim=axis)


def _array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    return bool(np.array_equal(_plain(a1), _plain(a2), equal_nan=equal_nan))


def _plain(x: Any) -> Any:
    return x.detach().numpy() if isinstance(x, Boxed) else x  # type: ignore[attr-defined]


def _shape(a: Any) -> Any:
    return tuple(box(a).shape)


def _ndim(a: Any) -> int:
    return int(box(a).ndim)


def _size(a: Any, axis: int | None = None) -> Any:
    value = box(a)
    return value.numel() if axis is None else value.shape[axis]


def _no(x: Any) -> bool:
    return False


_TRANSLATED: dict[str, Callable[..., Any]] = {
    "append": compositions.append,
    "apply_along_axis": arranging.apply_along_axis,
    "atleast_1d": compositions.at_least(1),
    "atleast_2d": compositions.at_least(2),
    "average": compositions.average,
    "block": arranging.block,
    "choose": numbers.choose,
    "convolve": compositions.convolve,
    "corrcoef": compositions.corrcoef,
    "correlate": numbers.correlate,
    "cov": compositions.cov,
    "piecewise": numbers.piecewise,
    "polyfit": numbers.polyfit,
    "polyval": compositions.polyval,
    "ptp": compositions.ptp,
    "vander": compositions.vander,
    "argsort": _sort("argsort"),
    "array_equal": _array_equal,
    "array_split": _array_split,
    "clip": _clip,
    "concatenate": _joined("cat"),
    "cross": _cross,
    "cumprod": _cumulative("cumprod"),
    "cumsum": _cumulative("cumsum"),
    "delete": arranging.delete,
    "diag": _diag,
    "diagonal": _diagonal,
    "digitize": numbers.digitize,
    "dot": _dot,
    "einsum": _einsum,
    "empty_like": _like("empty_like"),
    "flip": _flip,
    "fliplr": lambda m: _flip(m, 1),
    "flipud": lambda m: _flip(m, 0),
    "full_like": _like("full_like"),
    "geomspace": numbers.geomspace,
    "gradient": _gradient,
    "histogram": numbers.histogram,
    "insert": arranging.insert,
    "interp": numbers.interp,
    "iscomplexobj": _no,
    "lib.stride_tricks.sliding_window_view": arranging.sliding_window_view,
    "linalg.cross": _linalg_cross,
    "linalg.norm": _norm,
    "linalg.solve": _solve,
    "linalg.svd": _svd,
    "linspace": numbers.linspace,
    "logspace": numbers.logspace,
    "median": _middle("quantile"),
    "meshgrid": _meshgrid,
    "nanmedian": _middle("nanquantile"),
    "nanpercentile": _parts("nanquantile", 0.01),
    "nanquantile": _parts("nanquantile"),
    "ndim": _ndim,
    "nanmax": numbers.nanmax,
    "nanmin": numbers.nanmin,
    "nonzero": _nonzero,
    "ones_like": _like("ones_like"),
    "outer": _outer,
    "pad": arranging.pad,
    "argpartition": _partition("argsort"),
    "partition": _partition("sort"),
    "percentile": _parts("quantile", 0.01),
    "put": _put,
    "quantile": _parts("quantile"),
    "repeat": _repeat,
    "reshape": _reshape,
    "roll": _roll,
    "rot90": _rot90,
    "round": _round,
    "around": _round,
    "searchsorted": _searchsorted,
    "select": numbers.select,
    "shape": _shape,
    "size": _size,
    "sort": _sort_values,
    "split": _split,
    "stack": _joined("stack"),
    "std": _std,
    "take": _take,
    "tensordot": _tensordot,
    "tile": _tile,
    "trace": _trace,
    "transpose": _transpose,
    "trapezoid": _trapezoid,
    "tril": _triangle("tril"),
    "triu": _triangle("triu"),
    "unique": _unique,
    "unwrap": numbers.unwrap,
    "var": _var,
    "zeros_like": _like("zeros_like"),
}
_TRANSLATED |= {name: _stacked(name) for name in ("vstack", "hstack", "dstack", "column_stack")}
