"""NumPy's functions in compiled programs: value, dtype and gradient are those of plain NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad.testing import assert_close

RNG = np.random.default_rng(5)
A = RNG.uniform(0.2, 0.9, (3, 4))
B = RNG.uniform(0.2, 0.9, (3, 4))
S = RNG.uniform(-1, 1, (3, 3)) + 3 * np.eye(3)
V = RNG.uniform(0.2, 0.9, 4)

# Each is given a, b of shape (3, 4), a matrix s of shape (3, 3) and v of shape (4,).
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sqrt": lambda a, b, s, v: np.sqrt(a),
    "exp": lambda a, b, s, v: np.exp(a),
    "log": lambda a, b, s, v: np.log(a),
    "log and exp near zero": lambda a, b, s, v: np.log1p(a) + np.expm1(b),
    "logs of other bases": lambda a, b, s, v: np.log2(a) + np.log10(b),
    "sin": lambda a, b, s, v: np.sin(a) + np.cos(b) * np.tan(a),
    "inverse functions": lambda a, b, s, v: np.arcsin(a) + np.arccos(b) + np.arctan(a),
    "hyperbolic": lambda a, b, s, v: np.tanh(a) + np.sinh(b) + np.cosh(a),
    "arctan2": lambda a, b, s, v: np.arctan2(a, b),
    "hypot": lambda a, b, s, v: np.hypot(a, b),
    "dot of vectors": lambda a, b, s, v: np.dot(v, a[0]),
    "dot of matrices": lambda a, b, s, v: np.dot(s, a) @ v,
    "inner": lambda a, b, s, v: np.inner(a, b),
    "vdot": lambda a, b, s, v: np.vdot(v, a[1]),
    "matmul": lambda a, b, s, v: np.matmul(s, a),
    "outer": lambda a, b, s, v: np.outer(v, a[0]),
    "add.outer": lambda a, b, s, v: np.add.outer(v, a[0]),
    "multiply.outer": lambda a, b, s, v: np.multiply.outer(v, a),
    "kron": lambda a, b, s, v: np.kron(s, a),
    "cross": lambda a, b, s, v: np.cross(s[0], s[1]),
    "sum": lambda a, b, s, v: a.sum() + np.sum(b, axis=0) + np.sum(a, axis=(0, 1)),
    "keepdims": lambda a, b, s, v: a / np.sum(a, axis=1, keepdims=True),
    "add.reduce": lambda a, b, s, v: np.add.reduce(a) + np.add.reduce(b, axis=0),
    "add.accumulate": lambda a, b, s, v: np.add.accumulate(v),
    "mean": lambda a, b, s, v: np.mean(a, axis=1) + b.mean(),
    "std": lambda a, b, s, v: np.std(a, axis=0) + b.std(),
    "var": lambda a, b, s, v: np.var(a, axis=0, ddof=1),
    "max": lambda a, b, s, v: np.max(a, axis=1) + b.max() + np.amax(a),
    "min": lambda a, b, s, v: np.min(a, axis=1, keepdims=True) * b,
    "ptp": lambda a, b, s, v: np.ptp(a, axis=0),
    "prod": lambda a, b, s, v: np.prod(a, axis=0) + b.prod(),
    "average": lambda a, b, s, v: np.average(a, axis=1, weights=v),
    "median": lambda a, b, s, v: np.median(a, axis=1),
    "argmax": lambda a, b, s, v: a[np.arange(3), np.argmax(a, axis=1)],
    "argmin": lambda a, b, s, v: a.ravel()[a.argmin()],
    "argsort": lambda a, b, s, v: v[np.argsort(v)],
    "sort": lambda a, b, s, v: np.sort(a, axis=1),
    "maximum": lambda a, b, s, v: np.maximum(a, b) + np.minimum(a, 0.5),
    "clip": lambda a, b, s, v: np.clip(a, 0.3, 0.7) + b.clip(0.3, None),
    "where": lambda a, b, s, v: np.where(a > b, a, b * 2),
    "where with logic": lambda a, b, s, v: np.where(np.logical_and(a > 0.3, b > 0.3), a, 0.0),
    "logic": lambda a, b, s, v: (
        np.logical_or(a > b, a > 0.5).astype(float) * np.logical_not(b > a) * a
    ),
    "any and all": lambda a, b, s, v: a * np.any(a > b, axis=0) + b * (b > 0).all(),
    "abs": lambda a, b, s, v: np.abs(s) + np.absolute(s) + abs(s) + np.fabs(s),
    "sign": lambda a, b, s, v: np.sign(s) * s,
    "power": lambda a, b, s, v: np.power(a, 3) + a**b + 2.0**a + np.square(b),
    "reciprocal": lambda a, b, s, v: np.reciprocal(a) + 1 / b,
    "floor": lambda a, b, s, v: a - np.floor(3 * a) / 3 + np.ceil(b) + np.trunc(a),
    "mod": lambda a, b, s, v: np.mod(3 * a, 0.7) + (5 * b) % 0.9,
    "reshape": lambda a, b, s, v: a.reshape(2, 6) @ np.reshape(b, (6, 2)) + a.reshape(-1)[0],
    "ravel": lambda a, b, s, v: np.ravel(a) * b.flatten(),
    "transpose": lambda a, b, s, v: a.T @ b + np.transpose(a, (1, 0)) @ b + a.transpose() @ b,
    "flip": lambda a, b, s, v: np.flip(a) + np.flip(b, axis=1) + np.flipud(a) + np.fliplr(b),
    "roll": lambda a, b, s, v: np.roll(v, 1) + np.roll(a, -1, axis=1),
    "concatenate": lambda a, b, s, v: np.concatenate((a, b), axis=1),
    "append": lambda a, b, s, v: np.append(v, a[0]),
    "hstack": lambda a, b, s, v: np.hstack((a, s)),
    "vstack": lambda a, b, s, v: np.vstack([a, v]),
    "stack": lambda a, b, s, v: np.stack((a, b), axis=1),
    "column_stack": lambda a, b, s, v: np.column_stack((v, v * v)),
    "split": lambda a, b, s, v: np.split(a, 2, axis=1)[1] * 2,
    "tile": lambda a, b, s, v: np.tile(v, (2, 1)),
    "repeat": lambda a, b, s, v: np.repeat(v, 2),
    "triangles": lambda a, b, s, v: np.tril(s) @ np.triu(s, 1),
    "diag": lambda a, b, s, v: np.diag(v) @ np.diag(np.diag(np.outer(v, v))),
    "trace": lambda a, b, s, v: np.trace(s) + s.trace(),
    "cov": lambda a, b, s, v: np.cov(a),
    "cov of columns": lambda a, b, s, v: np.cov(a, rowvar=False, bias=True),
    "corrcoef": lambda a, b, s, v: np.corrcoef(a),
    "cumsum": lambda a, b, s, v: np.cumsum(a, axis=1) + b.cumsum().reshape(3, 4),
    "cumprod": lambda a, b, s, v: np.cumprod(v),
    "diff": lambda a, b, s, v: np.diff(a, axis=1),
    "gradient": lambda a, b, s, v: np.gradient(v),
    "convolve": lambda a, b, s, v: np.convolve(v, a[0]),
    "trapezoid": lambda a, b, s, v: np.trapezoid(a, dx=0.1),
    "cholesky": lambda a, b, s, v: np.linalg.cholesky(s @ s.T),
    "solve": lambda a, b, s, v: np.linalg.solve(s, a) + np.linalg.solve(s, a[:, 0])[:, None],
    "inv": lambda a, b, s, v: np.linalg.inv(s),
    "det": lambda a, b, s, v: np.linalg.det(s) + np.linalg.slogdet(s)[1],
    "norm": lambda a, b, s, v: np.linalg.norm(v) + np.linalg.norm(a, axis=1),
    "matrix_power": lambda a, b, s, v: np.linalg.matrix_power(s, 3),
    "pinv": lambda a, b, s, v: np.linalg.pinv(a),
    "eigh": lambda a, b, s, v: np.linalg.eigh(s + s.T)[0],
    "svd": lambda a, b, s, v: np.linalg.svd(a, compute_uv=False),
    "qr": lambda a, b, s, v: np.linalg.qr(s)[1] ** 2,
    "einsum": lambda a, b, s, v: np.einsum("ij,kj->ik", a, b) + np.einsum("ii", s),
    "tensordot": lambda a, b, s, v: np.tensordot(a, b, axes=([1], [1])),
    "take": lambda a, b, s, v: np.take(a, [2, 0], axis=1) + np.take(v, 1),
    "squeeze": lambda a, b, s, v: np.squeeze(a[:, :1]) + np.expand_dims(v[:3], 0),
    "axes": lambda a, b, s, v: np.moveaxis(a[None], 0, 2) + np.swapaxes(b, 0, 1).T[..., None],
    "broadcast": lambda a, b, s, v: np.broadcast_to(v, (3, 4)) * a,
    "meshgrid": lambda a, b, s, v: np.meshgrid(v, a[:, 0])[1] * 2,
    "atleast": lambda a, b, s, v: np.atleast_2d(v) + np.atleast_1d(a[0, 0]),
    "nan_to_num": lambda a, b, s, v: np.nan_to_num(a) + np.isnan(a) * 1.0,
    "masks": lambda a, b, s, v: a[a > 0.5] ** 2,
    "astype": lambda a, b, s, v: a.astype(np.float32).astype(np.float64) * b,
    "dtype": lambda a, b, s, v: np.zeros(4, dtype=v.dtype) + v,
    "full of a number": lambda a, b, s, v: np.full(3, v[0]) + np.full_like(a[:, 0], v[1]),
    "lists of numbers": lambda a, b, s, v: np.array([[v[0], v[1]], [1, v[2]]]) @ np.array(v[:2]),
    "scalars on the left": lambda a, b, s, v: np.float64(2.0) * a + np.ones(4) / b - V,
    "loadings": lambda a, b, s, v: np.linspace(0, 1, 4) * v + np.eye(4) @ v + np.arange(4),
    "min of maxima": lambda a, b, s, v: min(a.max(), b.max()) + max(v[0], v[1]) + sum(v),
    "logaddexp": lambda a, b, s, v: np.logaddexp(a, b) + np.sinc(a),
    "polyval": lambda a, b, s, v: np.polyval(v, a),
    "vander": lambda a, b, s, v: np.vander(v[:3], 3),
}  # fmt: skip

CHUNKS = [list(FUNCTIONS)[k::6] for k in range(6)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_numpys_value_and_a_gradient(name: str) -> None:
    function = FUNCTIONS[name]
    args = (A.copy(), B.copy(), S.copy(), V.copy())
    expected = np.asarray(function(*args))

    def loss(*args: Any) -> Any:
        return (function(*args) * WEIGHTS[: expected.size].reshape(expected.shape)).sum()

    value, gradients = jitgrad.value_and_grad(loss, (0, 1, 2, 3))(*args)
    assert type(value) is np.float64
    assert_close(np.asarray(value), np.asarray(loss(*args)))
    for number, gradient in enumerate(gradients):
        direction = RNG.uniform(-1, 1, gradient.shape)
        ends = []
        for step in (1e-6, -1e-6):
            moved = list(args)
            moved[number] = args[number] + step * direction
            ends.append(loss(*moved))
        difference = (ends[0] - ends[1]) / 2e-6
        tolerance = 5e-2 if name == "astype" else 1e-6
        assert np.sum(gradient * direction) == pytest.approx(difference, rel=1e-5, abs=tolerance)


WEIGHTS = RNG.uniform(-1, 1, 150)


@pytest.mark.parametrize("names", CHUNKS, ids=lambda names: names[0])
def test_compiled_functions_have_numpys_values_and_dtypes(names: list[str]) -> None:
    def program(a: Any, b: Any, s: Any, v: Any) -> Any:
        return tuple([FUNCTIONS[name](a, b, s, v) for name in names])

    expected = program(A, B, S, V)
    found = jitgrad.compile(program)(A, B, S, V)
    for name, x, y in zip(names, found, expected, strict=True):
        assert type(x) is type(y), name
        assert x.dtype == y.dtype, name
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12, err_msg=name)
