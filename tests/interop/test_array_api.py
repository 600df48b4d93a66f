"""The names of the array API standard work on Tensors, and give Tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import ArgumentError, array_api
from jitgrad.testing import assert_close

# The names of the standard, 2023.12, that are there for real dtypes.
NAMES = [
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "ceil",
    "clip",
    "conj",
    "copysign",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "hypot",
    "imag",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "positive",
    "pow",
    "real",
    "remainder",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "trunc",
    "argmax",
    "argmin",
    "nonzero",
    "searchsorted",
    "where",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "argsort",
    "sort",
    "cumulative_sum",
    "max",
    "mean",
    "min",
    "prod",
    "std",
    "sum",
    "var",
    "all",
    "any",
    "broadcast_arrays",
    "broadcast_to",
    "concat",
    "expand_dims",
    "flip",
    "moveaxis",
    "permute_dims",
    "repeat",
    "reshape",
    "roll",
    "squeeze",
    "stack",
    "tile",
    "unstack",
    "take",
    "matmul",
    "matrix_transpose",
    "tensordot",
    "vecdot",
    "arange",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "full",
    "full_like",
    "linspace",
    "meshgrid",
    "ones",
    "ones_like",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
    "astype",
    "can_cast",
    "finfo",
    "iinfo",
    "isdtype",
    "result_type",
    "e",
    "pi",
    "nan",
    "inf",
    "newaxis",
    "bool",
    "int32",
    "int64",
    "float32",
    "float64",
    "__array_namespace_info__",
    "__array_api_version__",
]
LINALG = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]
X = np.array([0.5, 0.25, 0.75])
M = np.array([[2.0, 1.0], [1.0, 3.0]])
I = np.array([2, 0, 1])  # noqa: E741 - integers
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "acosh": (X + 1,), "clip": (X, 0.3, 0.6), "where": (X > 0.4, X, -X),
    "searchsorted": (np.arange(3.0), X),
    "unstack": (M,), "take": (X, I), "permute_dims": (M, (1, 0)), "moveaxis": (M, 0, 1),
    "expand_dims": (X, 0), "squeeze": (M[None], 0), "reshape": (M, (4,)), "repeat": (X, 2),
    "roll": (X, 1), "tile": (X, (2,)), "broadcast_to": (X, (2, 3)), "concat": ([X, X],),
    "stack": ([X, X],), "astype": (X, np.float32), "full_like": (X, 2.0), "matmul": (M, M),
    "tensordot": (M, M), "matrix_transpose": (M,), "tril": (M,), "triu": (M,),
    "arange": (3,), "empty": ((2,),), "zeros": ((2,),), "ones": ((2,),), "full": ((2,), 3.0),
    "eye": (2,), "linspace": (0.0, 1.0, 3), "asarray": ([1.0, 2.0],),
}  # fmt: skip
TWO = {
    "add",
    "atan2",
    "copysign",
    "divide",
    "equal",
    "floor_divide",
    "greater",
    "greater_equal",
    "hypot",
    "less",
    "less_equal",
    "logaddexp",
    "maximum",
    "minimum",
    "multiply",
    "not_equal",
    "pow",
    "remainder",
    "subtract",
    "vecdot",
    "broadcast_arrays",
    "meshgrid",
}
OTHERS = {
    "imag",
    "conj",
    "real",
    "empty_like",
    "finfo",
    "iinfo",
    "isdtype",
    "result_type",
    "can_cast",
    "from_dlpack",
    "e",
    "pi",
    "nan",
    "inf",
    "newaxis",
    "bool",
    "int32",
    "int64",
    "float32",
    "float64",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "empty",
}


def arguments_of(name: str) -> tuple[Any, ...]:
    if name in ARGUMENTS:
        return ARGUMENTS[name]
    if name.startswith("bitwise"):
        return (I,) if name == "bitwise_invert" else (I, I)
    if name.startswith("logical") or name in ("all", "any"):
        return (X > 0.4,) if name in ("logical_not", "all", "any") else (X > 0.4, X > 0.6)
    return (X, X[::-1].copy()) if name in TWO else (X,)


def test_all_names_are_there() -> None:
    assert [name for name in NAMES if not hasattr(array_api, name)] == []
    assert [name for name in LINALG if not hasattr(array_api.linalg, name)] == []
    assert jg.tensor(X).__array_namespace__(api_version="2023.12") is array_api
    with pytest.raises(ArgumentError, match=r"version '1999\.01'"):
        jg.tensor(X).__array_namespace__(api_version="1999.01")


@pytest.mark.parametrize("name", [n for n in NAMES if n not in OTHERS and "__" not in n])
def test_functions_give_tensors_of_what_numpy_gives(name: str) -> None:
    args = arguments_of(name)
    given = [
        jg.tensor(a) if isinstance(a, np.ndarray) else [jg.tensor(b) for b in a]
        if isinstance(a, list) and isinstance(a[0], np.ndarray) else a
        for a in args
    ]  # fmt: skip
    found = getattr(array_api, name)(*given)
    expected = getattr(np, name)(*args)
    if not isinstance(expected, tuple):
        found, expected = (found,), (expected,)
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, jg.Tensor)
        assert one.dtype == np.asarray(other).dtype
        assert_close(one, np.asarray(other))


@pytest.mark.parametrize("name", LINALG)
def test_linear_algebra_gives_tensors_of_what_numpy_gives(name: str) -> None:
    args: tuple[Any, ...] = (M,)
    if name in ("matmul", "tensordot", "vecdot", "solve"):
        args = (M, M)
    elif name in ("cross", "outer"):
        args = (X, X + 1)
    elif name == "matrix_power":
        args = (M, 3)
    found = getattr(array_api.linalg, name)(
        *[jg.tensor(a) if isinstance(a, np.ndarray) else a for a in args]
    )
    expected = getattr(np.linalg, name)(*args)
    if name in ("svd", "qr", "eigh"):
        return  # signs are free; the laws test them
    if not isinstance(expected, tuple):
        found, expected = (found,), (expected,)
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, jg.Tensor)
        assert_close(one, np.asarray(other))


def test_a_function_written_for_any_library_is_differentiated_and_compiled() -> None:
    def softmax(x: Any) -> Any:
        xp = x.__array_namespace__()
        e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
        return xp.sum((e / xp.sum(e, axis=-1, keepdims=True)) ** 2)

    x = jg.tensor(X)
    expected = jg.grad(lambda x: (jg.softmax(x, -1) ** 2).sum())(x)
    assert_close(jg.grad(softmax)(x), expected)
    assert_close(jg.compile(jg.grad(softmax))(x), expected)


def test_information() -> None:
    info = array_api.__array_namespace_info__()
    assert info.devices() == [info.default_device()]
    assert set(info.dtypes(kind="integral")) == {"int32", "int64"}
    assert info.default_dtypes()["real floating"] == np.float64
    assert info.capabilities()["boolean indexing"]
    assert array_api.result_type(jg.tensor([1]), np.float32) == np.float64
    with pytest.raises(ArgumentError, match="there is no device 'gpu'"):
        array_api.zeros((2,), device="gpu")
