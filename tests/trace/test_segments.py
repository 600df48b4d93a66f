"""Values on demand: branches, loops and numbers that depend on what was computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import FallbackWarning
from jitgrad.testing import assert_close

SMALL = jitgrad.tensor([0.1, 0.2])
LARGE = jitgrad.tensor([1.0, 2.0])


def agrees(f: Any, *args: Any) -> None:
    """Compare values and gradients of a compiled function with those of the plain one."""
    copies = [a.detach().clone().requires_grad_() for a in args]
    plain = [a.detach().clone().requires_grad_() for a in args]
    found, expected = f(*copies), f.__wrapped__(*plain)
    assert_close(found, expected)
    found.sum().backward()
    expected.sum().backward()
    for a, b in zip(copies, plain, strict=True):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            assert_close(a.grad, b.grad)


def test_a_branch_is_traced_once_for_each_outcome() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        s = (x * x).sum()
        if s > 3:
            return s * 2.0
        return jitgrad.sin(s)

    for x in (SMALL, LARGE, SMALL, LARGE, SMALL * 2.0, LARGE * 3.0):
        agrees(f, x)
    report = f.explain()
    assert report.paths == 2
    assert report.segments == 3
    assert len(report.retraces) == 1


def test_branches_may_be_nested_and_follow_one_another() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        y = x * 2.0
        if y.sum() > 1:
            y = y + 1.0
            y = -y if y[0] > 4 else y * y
        if y[1] < 0:
            return y * 3.0
        return y

    rng = np.random.default_rng(1)
    for _ in range(12):
        agrees(f, jitgrad.tensor(rng.uniform(-1, 3, 2)))
    assert f.explain().paths <= 5
    assert not f.explain().eager_reason


def test_a_while_loop_runs_until_it_has_converged() -> None:
    @jitgrad.compile
    def root(a: Any) -> Any:
        x, error = a, 1.0
        while error > 1e-10:
            better = 0.5 * (x + a / x)
            error = (better - x).abs()
            x = better
        return x

    for number in (2.0, 2.5, 3.0, 2.0):
        a = jitgrad.tensor(number, dtype=jitgrad.float64, requires_grad=True)
        x = root(a)
        assert_close(x, np.array(number**0.5))
        x.backward()
        assert_close(a.grad, np.array(0.5 / number**0.5))
    assert root.explain().paths <= 2


def test_a_loop_may_end_early() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        total = x * 0.0
        for k in range(4):
            if (total > 2).all():
                break
            if k == 1:
                continue
            total = total + x
        return total

    for scale in (0.1, 1.0, 5.0, 0.2, 5.0):
        agrees(f, LARGE * scale)


def test_numbers_that_are_asked_for_are_python_numbers() -> None:
    @jitgrad.compile
    def f(x: Any, n: Any) -> Any:
        values = (float(x[0]), int(n), bool(x[1] > 1), x[0].item(), x.tolist(), n.item())
        assert [type(v) for v in values] == [float, int, bool, float, list, int]
        return x * values[0] + values[1], values

    n = jitgrad.tensor(3)
    for _ in range(2):
        value, numbers = f(LARGE, n)
        assert_close(value, LARGE * 1.0 + 3)
        assert numbers == (1.0, 3, True, 1.0, [1.0, 2.0], 3)
    value, numbers = f(SMALL, jitgrad.tensor(5))
    assert numbers[1:3] == (5, False)
    assert_close(value, SMALL * float(SMALL[0]) + 5)


def test_an_int_may_be_a_shape_an_index_and_a_count() -> None:
    @jitgrad.compile
    def f(x: Any, n: Any) -> Any:
        k = int(n)
        y = x[:k].reshape(1, k)
        for _ in range(n):
            y = y * 2.0
        return y + jitgrad.ones(k)

    x = jitgrad.arange(4.0)
    for k in (1, 3, 1, 2):
        assert_close(f(x, jitgrad.tensor(k)), f.__wrapped__(x, jitgrad.tensor(k)))


def test_a_number_asked_for_cuts_off_its_gradient_as_in_python() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        return x * float(x.sum()) + x

    agrees(f, LARGE)
    agrees(f, LARGE)


def test_arrays_made_of_traced_tensors_are_guarded() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        order = np.argsort(x.detach().numpy())
        return x[order.tolist()] * 2.0

    for values in ([2.0, 1.0], [1.0, 2.0], [5.0, 1.0], [2.0, 1.0]):
        agrees(f, jitgrad.tensor(values))


def test_a_float_argument_may_decide_a_branch() -> None:
    @jitgrad.compile
    def f(x: Any, rate: float) -> Any:
        return x * rate if rate > 0.5 else x - rate

    for rate in (0.1, 0.9, 0.2, 0.8, 0.3):
        assert_close(f(LARGE, rate), f.__wrapped__(LARGE, rate))
    assert f.explain().paths == 2


def test_nan_and_the_sign_of_zero_are_values_like_others() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        number = float(x[0])
        return x + 1.0 if number != number else x * jitgrad.copysign(jitgrad.ones(1), number)

    for number in (0.0, -0.0, float("nan"), 0.0, -0.0, float("nan")):
        x = jitgrad.tensor([number, 1.0])
        assert_close(f(x), f.__wrapped__(x), equal_nan=True)


def test_a_branch_inside_try_and_an_exception_for_some_values() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        try:
            if x.sum() < 0:
                raise ValueError("negative")
            return x * 2.0
        except ValueError:
            return -x
        finally:
            x = x * 3.0

    for x in (LARGE, -LARGE, LARGE, -SMALL):
        agrees(f, x)


def test_random_numbers_before_a_new_branch_are_not_drawn_twice() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        noise = jitgrad.rand(2)
        if noise[0] > 0.5:
            return x + noise + jitgrad.rand(2)
        return x - noise

    jitgrad.manual_seed(3)
    expected = [f.__wrapped__(LARGE) for _ in range(12)]
    jitgrad.manual_seed(3)
    found = [f(LARGE) for _ in range(12)]
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b)
    assert f.explain().paths == 2


def test_values_that_keep_changing_end_in_plain_python_with_one_warning() -> None:
    @jitgrad.compile(retrace_limit=4)
    def normalized(x: Any) -> Any:
        return x / float(x.sum())

    xs = [LARGE * (k + 1.0) for k in range(10)]
    with pytest.warns(FallbackWarning, match="keep changing") as warned:
        found = [normalized(x) for x in xs]
    for x, value in zip(xs, found, strict=True):
        assert_close(value, normalized.__wrapped__(x))
    assert len(warned) == 1
    assert "normalized (test_segments.py:" in str(warned[0].message)
    assert warned[0].filename == __file__
    assert "keep changing" in normalized.explain().eager_reason
    agrees(normalized, LARGE)


def test_state_that_keeps_changing_ends_in_plain_python_with_one_warning() -> None:
    scale = 0.0

    @jitgrad.compile(retrace_limit=4)
    def f(x: Any) -> Any:
        return x * scale

    def call() -> Any:
        nonlocal scale
        scale += 1.0
        return f(LARGE)

    with pytest.warns(FallbackWarning, match="closure variable `scale`") as warned:
        found = [call() for _ in range(10)]
    assert len(warned) == 1
    for number, value in enumerate(found):
        assert_close(value, LARGE * (number + 1))


def test_the_report_says_why_a_function_was_traced_anew() -> None:
    scale = 2.0

    @jitgrad.compile
    def f(x: Any) -> Any:
        return x * scale if x.sum() > 1 else x

    f(LARGE)
    f(SMALL)
    f(jitgrad.ones(3))
    scale = 3.0
    f(LARGE)
    branch, shape, state = f.explain().retraces
    assert "a value that it asks for" in branch
    assert "argument x was float32[2], is float32[3]" in shape
    assert "closure variable `scale` was 2.0, is 3.0" in state
    assert "scale" in str(f.explain())


def test_the_report_says_which_argument_has_another_value() -> None:
    def f(x: Any, n: int, mode: str = "a") -> Any:
        return x * n

    f = jitgrad.compile(f)
    for x, n in ((LARGE, 2), (LARGE, 3), (LARGE.numpy(), 3), (np.float32(1), 3)):
        f(x, n)
    f(x=LARGE, n=3)
    f(x=LARGE, n=3, mode="b")
    f(x=LARGE, n=3, mode="c")
    assert [text.removeprefix("traced anew: ") for text in f.explain().retraces] == [
        "argument n was 2, is 3",
        "argument x was float32[2], is array float32[2]",
        "argument x was array float32[2], is array float32[]",
        "arguments of another structure",
        "arguments of another structure",
        "argument mode was 'b', is 'c'",
    ]
