"""What NumPy does with memory, in compiled programs: views, updates in place, own buffers."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad.testing import assert_close

pytestmark = pytest.mark.filterwarnings("error")

RNG = np.random.default_rng(2)
X = RNG.uniform(-1, 1, (4, 4))
Y = RNG.uniform(-1, 1, 4)
TABLE = np.array([3, 1, 2, 0])
WEIGHTS = np.array([0.5, -1.0, 2.0, 0.25])
SCALE = 3.0


def row_is_a_view(x: Any, y: Any) -> Any:
    row = x[1]
    row += 1
    column = x[:, 2]
    column *= y
    x[1, 2] = 7.0
    return row * 1, column * 1


def view_of_a_view(x: Any, y: Any) -> Any:
    block = x[1:3]
    inner = block[:, ::2]
    inner[1] = y[:2]
    block += 0.5
    return inner.sum()


def transposed_view(x: Any, y: Any) -> Any:
    t = x.T
    t[0] = y
    t += 1
    return x[:, 0] * y


def elements_are_no_views(x: Any, y: Any) -> Any:
    first = x[0, 0]
    x[0, 0] = x[1, 1]
    x[1, 1] = first
    total = y.sum()
    same = total
    total += 1
    first += 2.0
    return first, total, same


def copies_are_copies(x: Any, y: Any) -> Any:
    kept, again, third = x.copy(), np.copy(y), np.array(y)
    x[:] = 0.0
    y += 1
    return kept * 2, again * 2, third


def swaps(x: Any, y: Any) -> Any:
    x[0], x[1] = x[1].copy(), x[0].copy()
    x[2, 0], x[2, 1] = x[2, 1], x[2, 0]
    a, b = x[0], x[1]
    a, b = b, a
    a[0] = 5.0
    return b * y


def chained(x: Any, y: Any) -> Any:
    x[0] = x[1] = y
    p = q = x[2]
    p += y
    return q * 1


def overlapping(x: Any, y: Any) -> Any:
    y[1:] = y[:-1]
    x[1:] += x[:-1]
    x[:, :-1] -= x[:, 1:]
    y[::-1] *= y
    return x @ y


def whole_arguments(x: Any, y: Any) -> None:
    x += y
    x -= 1
    x *= 2
    y /= 3
    y **= 2


def reaching_everywhere(x: Any, y: Any) -> Any:
    x[:] = x * y
    x[...] += 1
    y[:] = 2
    return x


def masks(x: Any, y: Any) -> Any:
    x[x > 0.3] = 0.3
    x[x < 0] *= -1
    y[y > y.mean()] += x[0, 0]
    return x[TABLE == 1] * y


def index_arrays(x: Any, y: Any) -> Any:
    y[[0, 2]] = y[[2, 0]]
    x[[0, 1], [1, 2]] += 1
    x[:, TABLE] *= y
    x[-1, [0, -1]] = x[0, TABLE[:2]]
    return x[TABLE][:, ::-1]


def four_axes(x: Any, y: Any) -> Any:
    z = np.zeros((2, 3, 4, 4))
    z[0, :, 1] = y
    z[:, 1, :, -1] += y[None, :]
    z[1, 0] = x
    z[..., 2, 1:3] -= 1.5
    z[1, [0, 2], :, 3] *= 2
    z[0, 1:, np.array([True, False, True, False])] += y
    return z


def casts(x: Any, y: Any) -> Any:
    whole = np.zeros(4, dtype=int)
    whole[:] = 3 * y
    whole[0] = 2.9
    single = np.zeros(4, dtype=np.float32)
    single[:] = y
    single += y
    flags = np.zeros(4, dtype=bool)
    flags[1:] = y[1:]
    return whole, single, flags


def filled(x: Any, y: Any) -> Any:
    a, b = np.zeros(3), np.ones((2, 2))
    c, d = np.full((2,), y[0]), np.empty_like(y)
    e = np.ndarray(shape=(2,), dtype=np.float64)
    e.fill(0.0)
    d[:] = 1
    for k in range(3):
        a[k] = y[k] * k
        d[k] += a[k]
    b[0] += y[:2]
    e[1] = y[3]
    f = np.zeros_like(x, dtype=float)
    f[1:] = x[:-1]
    return a, b, c, d, e, f


def untouched_buffers(x: Any, y: Any) -> Any:
    a = np.zeros(3)
    a[1] = 4
    b = np.arange(6).reshape(2, 3)
    b[0] += 10
    part = a[:2]
    a += 1
    return a, b, part, np.eye(2), np.linspace(0, 1, 3)


def counting_buffer(x: Any, y: Any) -> Any:
    count = np.zeros(4, dtype=int)
    for k in TABLE:
        count[k] += 1
    if count.sum() > 3:
        y = y * count.max()
    shape = np.array([2, 2])
    return x.reshape(shape[0], 2, 4)[:, int(count[0]), :] + y


def view_that_is_settled_later(x: Any, y: Any) -> Any:
    whole = np.zeros((3, 4))
    row, rest = whole[0], whole[1:]
    rest[1] = 2.0
    row[:] = y
    rest += y
    return whole


def globals_stay(x: Any, y: Any) -> Any:
    own = WEIGHTS.copy()
    own[0] = y[0]
    own *= SCALE
    return own @ WEIGHTS + (WEIGHTS * 2)[1]


def _subtract(target: Any, amount: Any) -> None:
    target -= amount
    target[0] = 1.0


def helpers_mutate(x: Any, y: Any) -> Any:
    _subtract(x[0], y)
    _subtract(y, 0.5)
    return x.sum(axis=0)


def arguments_are_returned(x: Any, y: Any) -> Any:
    x[0, 0] += y[0]
    return x, y


def scalars_on_the_left(x: Any, y: Any) -> Any:
    return np.float64(2.0) * y + WEIGHTS * y - WEIGHTS / np.exp(y) + np.float32(1) * y


def new_axes(x: Any, y: Any) -> Any:
    z = y[:, np.newaxis] * x[None, 0]
    z[..., None][1] = 0.5
    return z


def buffers_in_other_shapes(x: Any, y: Any) -> Any:
    z = np.zeros((2, 3))
    other = z.reshape(3, 2)
    other[0] = x[0, :2]
    z.ravel()[4] = y[1]
    z.reshape(-1)[1:3] += 1.0
    return z


def flipped_views(x: Any, y: Any) -> Any:
    turned, back = np.flip(y), y[::-1]
    y[0] = 5.0
    turned[1] = x[0, 0]
    return turned * back, np.fliplr(x)[0] * y


def attributes(x: Any, y: Any) -> Any:
    n, m = x.shape
    assert x.size == n * m
    assert x.dtype == np.float64
    assert isinstance(y, np.ndarray)
    assert len(y) == y.shape[0] == y.size
    return np.zeros(x.shape, x.dtype) + x.T.mean(axis=0) + x.astype(float).max()


def numbers_of_the_trace(x: Any, y: Any) -> Any:
    out = np.array([y[0], 1.0, x[0, 0] * y[1]])
    nested = np.array([[out[0], y[2]], [2, out[2]]])
    return out, nested, np.float64(y[0]) + np.asarray(y)[1], np.zeros(int(TABLE[0]))


PROGRAMS: list[Callable[..., Any]] = [
    row_is_a_view, view_of_a_view, transposed_view, elements_are_no_views, copies_are_copies,
    swaps, chained, overlapping, whole_arguments, reaching_everywhere, masks, index_arrays,
    four_axes, casts, filled, untouched_buffers, counting_buffer, view_that_is_settled_later,
    globals_stay, helpers_mutate, arguments_are_returned, scalars_on_the_left, new_axes,
    buffers_in_other_shapes, flipped_views, attributes, numbers_of_the_trace,
]  # fmt: skip


def check_same(found: Any, expected: Any) -> None:
    if isinstance(expected, tuple):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            check_same(a, b)
        return
    assert type(found) is type(expected)
    if expected is not None:
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_compiled_programs_leave_memory_as_numpy_does(program: Callable[..., Any]) -> None:
    compiled = jitgrad.compile(program)
    for scale in (1.0, 1.5):
        plain = [scale * X, scale * Y]
        given = copy.deepcopy(plain)
        expected = program(*plain)
        found = compiled(*given)
        check_same(found, expected)
        for a, b in zip(given, plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9)
        if isinstance(expected, tuple) and expected[0] is plain[0]:
            assert found[0] is given[0]


def loss_of(program: Callable[..., Any]) -> Callable[..., Any]:
    def loss(x: Any, y: Any) -> Any:
        result = program(x, y)
        parts = result if isinstance(result, tuple) else (result,)
        total = (x**2).sum() + (y**3).sum()
        for part in parts:
            if part is not None:
                total = total + (part * part * 0.5).sum()
        return total

    return loss


@pytest.mark.parametrize("how", ["eager", "compiled"])
@pytest.mark.parametrize(
    "program", [p for p in PROGRAMS if p is not casts], ids=lambda p: p.__name__
)
def test_gradients_of_such_programs(program: Callable[..., Any], how: str) -> None:
    loss = loss_of(program)
    differentiated = jitgrad.value_and_grad(loss, (0, 1))
    if how == "compiled":
        differentiated = jitgrad.compile(differentiated)
    value, gradients = differentiated(X.copy(), Y.copy())
    assert_close(np.asarray(value), np.asarray(loss(X.copy(), Y.copy())))
    for number, gradient in enumerate(gradients):
        direction = np.cos(np.arange(gradient.size)).reshape(gradient.shape)
        ends = []
        for step in (1e-6, -1e-6):
            moved = [X.copy(), Y.copy()]
            moved[number] += step * direction
            ends.append(loss(*moved))
        difference = (ends[0] - ends[1]) / 2e-6
        assert np.sum(gradient * direction) == pytest.approx(difference, rel=1e-6, abs=1e-7)


def test_a_buffer_is_a_new_one_in_each_call() -> None:
    @jitgrad.compile
    def program(x: Any) -> Any:
        return np.zeros(2), x + np.ones(2)

    first, _ = program(Y[:2])
    first += 5
    second, _ = program(Y[:2])
    check_same(second, np.zeros(2))


def test_numpy_itself_is_not_changed() -> None:
    before = np.zeros, np.array, np.ndarray.__setitem__

    def program(x: Any) -> Any:
        return np.zeros(3) + x[:3]

    check_same(jitgrad.compile(program)(Y), program(Y))
    assert before == (np.zeros, np.array, np.ndarray.__setitem__)
    assert type(np.zeros(3)) is np.ndarray


def test_names_that_were_imported_are_found_as_well() -> None:
    from numpy import empty
    from numpy import zeros as nothing

    def program(y: Any) -> Any:
        a, b = nothing(2), empty(2)
        a[0], b[:] = y[0], y[1]
        return a * b

    check_same(jitgrad.compile(program)(Y), program(Y))


def test_what_is_assigned_to_an_array_of_others_is_refused() -> None:
    def program(x: Any) -> Any:
        held = np.random.default_rng(0).normal(size=4)
        held[0] = x[0]
        return (held * x).sum()

    with pytest.raises(ValueError, match="setting an array element") as caught:
        jitgrad.grad(program)(Y)
    assert "the value requires a gradient, which the array would lose" in str(
        caught.value.__cause__
    )


def test_gradients_of_gradients_of_programs_in_numpy() -> None:
    def cubes(x: Any) -> Any:
        out = np.zeros(4)
        for k in range(4):
            out[k] = x[k] ** 3
        return out.sum()

    def slopes(x: Any) -> Any:
        return (jitgrad.grad(cubes)(x) * WEIGHTS).sum()

    for second in (jitgrad.grad(slopes), jitgrad.compile(jitgrad.grad(slopes))):
        check_same(second(Y), 6 * Y * WEIGHTS)


def test_what_depends_on_strides_is_left_to_numpy() -> None:
    def program(x: Any) -> Any:
        copied = x.T.ravel()
        shown = x.reshape(-1)
        x[0] = 5.0
        return copied * 1, shown * 1

    expected = program(X.copy())
    with pytest.warns(jitgrad.FallbackWarning, match="changes a reshaped Tensor in place"):
        found = jitgrad.compile(program)(X.copy())
    check_same(found, expected)
