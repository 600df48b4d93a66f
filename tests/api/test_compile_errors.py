"""Errors in compiled functions are those of the plain functions, and leave no trace."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import DtypeError, FallbackWarning, GradientError, ShapeError, TraceError
from jitgrad.testing import assert_close
from tests.messages import message_of

X = jitgrad.tensor([1.0, 2.0, 3.0])


class OwnError(Exception):
    pass


def failing(x: Any, limit: float) -> Any:
    if x.sum() > limit:
        raise OwnError("too large", limit)
    return x * 2.0


def test_an_exception_keeps_its_class_arguments_and_place() -> None:
    f = jitgrad.compile(failing)
    for _ in range(3):
        assert_close(f(X, 10.0), X * 2)
        with pytest.raises(OwnError) as caught:
            f(X, 5.0)
        assert caught.value.args == ("too large", 5.0)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        frame = traceback.extract_tb(caught.value.__traceback__)[-1]
        assert frame.name == "failing"
        assert frame.filename == __file__
        assert frame.line == 'raise OwnError("too large", limit)'
    assert not f.explain().eager_reason


def test_what_was_done_before_an_exception_stays_done_once() -> None:
    log: list[str] = []

    @jitgrad.compile
    def f(x: Any) -> Any:
        x.add_(1.0)
        log.append("before")
        raise OwnError

    x = jitgrad.zeros(2)
    for number in (1, 2):
        with pytest.raises(OwnError):
            f(x)
        assert len(log) == number
        assert_close(x, np.full(2, number, np.float32))


def test_a_shape_mismatch_shows_the_users_line() -> None:
    @jitgrad.compile
    def f(x: Any, y: Any) -> Any:
        return jitgrad.sin(x) + y

    def call() -> Any:
        return f(X, jitgrad.ones(2))

    for _ in range(2):
        assert message_of(ShapeError, call, "f") == (
            "add: shapes (3,) and (2,) do not broadcast\n"
            "  why:   the last axes are 3 and 2; they must be equal, or one of them 1\n"
            "  do:    reshape one of them so that the axes line up from the right"
        )


def test_a_shape_mismatch_of_arrays_says_what_numpy_leaves_out() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        buffer = np.zeros((2, 4))
        buffer[1:] = x
        return buffer

    def call() -> Any:
        return f(np.ones(3))

    assert message_of(ShapeError, call, "f") == (
        "x[...] = v: a value of shape (3,) does not fit\n"
        "  why:   the indexed part has shape (1, 4), to which the value must broadcast"
    )
    with pytest.raises(ShapeError) as caught:
        call()
    assert type(caught.value.__cause__) is ValueError
    assert traceback.extract_tb(caught.value.__traceback__)[-1].line == "buffer[1:] = x"


def test_a_wrong_dtype_shows_the_users_line() -> None:
    @jitgrad.compile
    def f(n: Any) -> Any:
        return n.requires_grad_()

    def call() -> Any:
        return f(jitgrad.tensor([1, 2]))

    for _ in range(2):
        assert "a Tensor of dtype int64 can't have a gradient" in message_of(DtypeError, call, "f")


@pytest.mark.parametrize(
    ("data", "kind"),
    [([[1.0], [1.0, 2.0]], ShapeError), ([object()], DtypeError), ("text", DtypeError)],
)
def test_data_that_is_no_array_is_refused(data: Any, kind: type[Exception]) -> None:
    f = jitgrad.compile(lambda data: jitgrad.tensor(data))
    for _ in range(2):
        with pytest.raises(kind):
            f(data)


def test_errors_may_be_caught_inside() -> None:
    @jitgrad.compile
    def f(x: Any, y: Any) -> Any:
        try:
            return x + y
        except ShapeError:
            return x + y.sum()

    for y in (jitgrad.ones(3), jitgrad.ones(2), jitgrad.ones(3)):
        assert_close(f(X, y), f.__wrapped__(X, y))
    assert f.explain().variants == 2


def test_errors_that_depend_on_values_may_be_caught_inside() -> None:
    @jitgrad.compile
    def f(a: Any) -> Any:
        try:
            return jitgrad.linalg.inv(a)
        except Exception:
            return a * 0.0

    regular, singular = jitgrad.eye(2) * 2.0, jitgrad.zeros(2, 2)
    assert_close(f(regular), f.__wrapped__(regular))
    with pytest.warns(FallbackWarning):
        assert_close(f(singular), singular)
    assert_close(f(singular), singular)
    assert_close(f(regular), f.__wrapped__(regular))


def test_an_error_of_a_kernel_is_that_of_the_plain_function() -> None:
    f = jitgrad.compile(lambda a: jitgrad.linalg.cholesky(a) * 2.0)
    good, bad = jitgrad.eye(2), -jitgrad.eye(2)
    assert_close(f(good), good * 2.0)
    with pytest.raises(Exception, match="positive") as plain:
        f.__wrapped__(bad)
    for _ in range(2):
        with pytest.raises(type(plain.value)) as caught:
            f(bad)
        assert str(caught.value).splitlines()[0] == str(plain.value).splitlines()[0]
        assert_close(f(good), good * 2.0)


def test_wrong_arguments_raise_what_python_raises() -> None:
    f = jitgrad.compile(failing)
    with pytest.raises(TypeError, match=r"failing\(\) missing 1 required positional"):
        f(X)
    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        f(X, 1.0, other=2)


@pytest.mark.parametrize(
    "function",
    [lambda x, a: x * (1.0 / a), lambda x, a: x + 3.0 % a, lambda x, a: x + a**-1.0],
    ids=["/", "%", "**"],
)
def test_division_of_python_numbers_by_zero_raises(function: Any) -> None:
    f = jitgrad.compile(function)
    for _ in range(3):
        assert_close(f(X, 2.0), function(X, 2.0))
        with pytest.raises(ZeroDivisionError):
            f(X, 0.0)
    with pytest.raises(ZeroDivisionError):
        jitgrad.compile(function)(X, 0.0)
    assert f.explain().segments == 1


def test_powers_that_are_no_floats_are_those_of_python() -> None:
    f = jitgrad.compile(lambda a, b: a**b)
    assert f(2.0, 0.5) == pytest.approx(2.0**0.5, rel=1e-15)
    assert f(-8.0, 1 / 3) == (-8.0) ** (1 / 3)
    for _ in range(2):
        with pytest.raises(OverflowError):
            f(10.0, 400.0)


# -- what is not captured ----------------------------------------------------------------------


def test_a_generator_function_runs_as_plain_python() -> None:
    @jitgrad.compile
    def f(x: Any) -> Iterator[Any]:
        for k in range(3):
            yield x * k

    with pytest.warns(FallbackWarning, match="generator"):
        first = list(f(X))
    for k, (a, b) in enumerate(zip(first, f(X), strict=True)):
        assert_close(a, X * k)
        assert_close(b, X * k)


def test_generators_and_comprehensions_inside_are_captured() -> None:
    @jitgrad.compile
    def f(xs: Any) -> Any:
        squares = (x * x for x in xs)
        table = {k: x * 1.0 for k, x in enumerate(squares)}
        return sum(table.values()) + [x * 1.0 for x in xs][-1]

    for _ in range(2):
        assert_close(f([X, X * 2]), X * X * 5 + X * 2)
    assert not f.explain().eager_reason


def test_an_object_made_inside_and_returned_runs_as_plain_python() -> None:
    class Result:
        def __init__(self, value: Any) -> None:
            self.value = value

    f = jitgrad.compile(lambda x: Result(x * 2.0))
    with pytest.warns(FallbackWarning, match="it returns a Result that it makes itself"):
        first = f(X)
    second = f(X)
    assert first is not second
    assert_close(second.value, X * 2)


def test_a_recursion_without_end_is_that_of_python() -> None:
    def endless(x: Any) -> Any:
        return endless(x + 1.0)

    with pytest.raises(RecursionError):
        jitgrad.compile(endless)(X)


def test_a_tensor_kept_from_a_trace_is_refused_elsewhere() -> None:
    kept: dict[str, Any] = {}

    class Sink:
        def __setattr__(self, name: str, value: Any) -> None:
            kept[name] = value

    sink = Sink()

    @jitgrad.compile
    def f(x: Any) -> Any:
        sink.value = x * 2.0
        return x

    with pytest.warns(FallbackWarning):
        f(X)
    assert_close(kept["value"], X * 2)


def test_print_runs_when_the_function_is_traced(capsys: pytest.CaptureFixture[str]) -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        print("shape", x.shape)
        return x * 2.0

    for _ in range(3):
        f(X)
    assert capsys.readouterr().out == "shape (3,)\n"


def test_an_interrupt_during_a_trace_is_passed_on() -> None:
    state = {"interrupt": True}

    @jitgrad.compile
    def f(x: Any) -> Any:
        if state["interrupt"]:
            raise KeyboardInterrupt
        return x * 2.0

    with pytest.raises(KeyboardInterrupt):
        f(X)
    state["interrupt"] = False
    assert_close(f(X), X * 2)


def test_backward_of_a_result_without_history_says_so() -> None:
    f = jitgrad.compile(lambda x: x.sum())
    with pytest.raises(GradientError, match="does not require a gradient"):
        f(X).backward()


def test_a_tensor_of_a_trace_has_no_value_outside() -> None:
    box: list[Any] = []

    def outer(x: Any) -> Any:
        box.append(x * 1.0)
        raise OwnError

    with pytest.raises(OwnError):
        jitgrad.compile(outer)(X)
    # The trace's own Tensor was taken out again; what is left is that of the plain run.
    assert len(box) == 1
    assert_close(box[0], X)
    assert issubclass(TraceError, Exception)
