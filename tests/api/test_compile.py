"""What can be compiled, what it takes and returns; that it gives what the plain function gives."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, Tensor
from jitgrad.testing import assert_close

X = np.array([1.0, 2.0, 3.0])


def double_sine(x: Any) -> Any:
    return jitgrad.sin(x) * 2.0


class Scaler:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    @jitgrad.compile
    def scale(self, x: Any) -> Any:
        return x * self.factor

    def plain(self, x: Any) -> Any:
        return x * self.factor

    def __call__(self, x: Any) -> Any:
        return x * self.factor

    @staticmethod
    @jitgrad.compile
    def twice(x: Any) -> Any:
        return x * 2.0

    @classmethod
    def named(cls, x: Any) -> Any:
        return x * len(cls.__name__)


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclass
class Point:
    x: Any
    y: Any = 0.0


# -- what can be compiled ----------------------------------------------------------------------


def test_a_decorated_function_gives_what_the_plain_one_gives() -> None:
    f = jitgrad.compile(double_sine)
    x = jitgrad.tensor(X)
    for _ in range(3):
        assert_close(f(x), double_sine(x))


def test_the_decorator_takes_options() -> None:
    @jitgrad.compile(retrace_limit=3)
    def f(x: Any) -> Any:
        return x + 1.0

    assert_close(f(jitgrad.tensor(X)), X + 1)


def test_the_plain_function_is_kept() -> None:
    f = jitgrad.compile(double_sine)
    assert f.__wrapped__ is double_sine
    assert f.__name__ == "double_sine"
    assert f.__doc__ == double_sine.__doc__
    assert "double_sine" in repr(f)


def test_compiling_a_compiled_function_changes_nothing() -> None:
    f = jitgrad.compile(double_sine)
    assert jitgrad.compile(f) is f


def test_what_is_not_callable_is_refused() -> None:
    with pytest.raises(ArgumentError, match="int is not callable"):
        jitgrad.compile(3)  # type: ignore[call-overload]


def test_a_method_decorated_in_its_class_sees_its_object() -> None:
    first, second = Scaler(2.0), Scaler(5.0)
    x = jitgrad.tensor(X)
    for _ in range(2):
        assert_close(first.scale(x), X * 2)
        assert_close(second.scale(x), X * 5)
    first.factor = 3.0
    assert_close(first.scale(x), X * 3)


@pytest.mark.parametrize("kind", ["bound", "object", "static", "class"])
def test_methods_and_callable_objects_can_be_compiled(kind: str) -> None:
    scaler = Scaler(6.0)
    callables: dict[str, Callable[..., Any]] = {
        "bound": jitgrad.compile(scaler.plain),
        "object": jitgrad.compile(scaler),
        "static": Scaler.twice,
        "class": jitgrad.compile(Scaler.named),
    }
    factor = 2.0 if kind == "static" else 6.0
    for _ in range(2):
        assert_close(callables[kind](jitgrad.tensor(X)), X * factor)


def test_lambdas_and_partials_can_be_compiled() -> None:
    x = jitgrad.tensor(X)
    assert_close(jitgrad.compile(lambda x: x * 2.0)(x), X * 2)
    power = functools.partial(lambda x, exponent, shift: x**exponent + shift, exponent=2)
    assert_close(jitgrad.compile(power)(x, shift=1.0), X**2 + 1)


def test_compiled_functions_call_one_another() -> None:
    inner = jitgrad.compile(double_sine)

    @jitgrad.compile
    def outer(x: Any) -> Any:
        return inner(inner(x)) + 1.0

    x = jitgrad.tensor(X, requires_grad=True)
    y = outer(x)
    assert_close(y, double_sine(double_sine(x)) + 1.0)
    assert outer.explain().segments == 1


def test_a_compiled_function_may_call_itself() -> None:
    @jitgrad.compile
    def power(x: Any, n: int) -> Any:
        return x if n == 1 else x * power(x, n - 1)

    assert_close(power(jitgrad.tensor(X), 3), X**3)


# -- arguments and results ---------------------------------------------------------------------


def test_positional_keyword_and_default_arguments_are_bound_as_usual() -> None:
    @jitgrad.compile
    def f(x: Any, scale: float = 2.0, *more: Any, shift: float = 0.0, **named: Any) -> Any:
        return x * scale + shift + sum(more) + sum(named.values())

    x = jitgrad.tensor(X)
    for _ in range(2):
        assert_close(f(x), X * 2)
        assert_close(f(x, 3.0), X * 3)
        assert_close(f(x, scale=4.0, shift=1.0), X * 4 + 1)
        assert_close(f(x, 1.0, x, 2.0, shift=1.0, other=x), X * 3 + 3)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        f()


def test_nested_arguments_and_results_keep_their_structure() -> None:
    @jitgrad.compile
    def f(tree: Any) -> Any:
        a, (b, c) = tree["a"], tree["bc"]
        return {"sum": a + b, "rest": [Pair(c.x, c.y * 2.0), (a,), "text", None, 7]}

    a, b = jitgrad.tensor(X), jitgrad.tensor(X * 2)
    for _ in range(2):
        result = f({"a": a, "bc": [b, Point(a, b)]})
        assert_close(result["sum"], X * 3)
        pair, single, *others = result["rest"]
        assert type(pair) is Pair
        assert pair.first is a
        assert_close(pair.second, X * 4)
        assert single[0] is a
        assert others == ["text", None, 7]


def test_a_dataclass_may_be_returned() -> None:
    @jitgrad.compile
    def f(p: Point) -> Point:
        return Point(p.x * 2.0, p.y)

    point = f(Point(jitgrad.tensor(X), 1.5))
    assert type(point) is Point
    assert_close(point.x, X * 2)
    assert point.y == 1.5


def test_functions_may_return_what_is_no_array() -> None:
    @jitgrad.compile
    def f(x: Any, label: str) -> Any:
        return None, label, 3, "done", x.shape, x.dtype

    for _ in range(2):
        result = f(jitgrad.tensor(X), "name")
        assert result == (None, "name", 3, "done", (3,), np.dtype(np.float64))


def test_a_function_may_return_nothing() -> None:
    @jitgrad.compile
    def f(x: Any) -> None:
        x.add_(1.0)

    x = jitgrad.zeros(2)
    assert f(x) is None
    assert f(x) is None
    assert_close(x, [2.0, 2.0])


def test_equal_results_are_one_object_as_in_python() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        y = x * 2.0
        return y, y, x * 2.0

    for _ in range(2):
        a, b, c = f(jitgrad.tensor(X))
        assert a is b
        assert a is not c
        a.add_(1.0)
        assert_close(c, X * 2)


def test_arguments_are_returned_as_themselves() -> None:
    @jitgrad.compile
    def f(x: Any, y: Any, z: float) -> Any:
        return y, x, z

    x, y = jitgrad.tensor(X), X.copy()
    for _ in range(2):
        result = f(x, y, 2.5)
        assert result[0] is y
        assert result[1] is x
        assert result[2] == 2.5


def test_the_same_tensor_given_twice_is_told_from_two_tensors() -> None:
    @jitgrad.compile
    def f(x: Any, y: Any) -> Any:
        return x * 2.0 - y, x is y

    a, b = jitgrad.tensor(X), jitgrad.tensor(X * 5)
    for x, y in [(a, a), (a, b), (b, b), (b, a), (a, a)]:
        value, same = f(x, y)
        assert_close(value, x * 2.0 - y)
        assert same is (x is y)


def test_lists_of_numbers_and_no_arguments_work() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        return jitgrad.tensor(x) * 2.0

    assert_close(f([1.0, 2.0]), [2.0, 4.0])
    assert_close(f([1.0, 3.0]), [2.0, 6.0])
    assert_close(jitgrad.compile(lambda: jitgrad.arange(3.0) + 1.0)(), [1.0, 2.0, 3.0])


# -- Python numbers ----------------------------------------------------------------------------


def test_floats_are_inputs_of_the_program() -> None:
    @jitgrad.compile
    def step(x: Any, rate: float) -> Any:
        keep = 1.0 - rate * 0.5
        return x * keep, keep

    x = jitgrad.tensor(X)
    for rate in (0.1, 0.2, 0.3, 0.4, 0.5):
        value, keep = step(x, rate)
        assert type(keep) is float
        assert keep == 1.0 - rate * 0.5
        assert_close(value, X * keep)
    assert step.explain().paths == 1


def test_named_functions_of_a_float_give_tensors_of_the_default_dtype() -> None:
    @jitgrad.compile
    def f(rate: float) -> Any:
        return jitgrad.exp(rate), jitgrad.mul(rate, 2.0), rate * 2.0, -rate, abs(rate), rate**2

    for rate in (0.5, 0.75):
        result, expected = f(rate), f.__wrapped__(rate)
        assert [type(r) for r in result] == [type(e) for e in expected]
        assert result[0].dtype == result[1].dtype == jitgrad.float32
        for r, e in zip(result, expected, strict=True):
            assert_close(r, e)


def test_floats_compute_in_double_precision() -> None:
    f = jitgrad.compile(lambda a, b: (a * b + 1.0) / 3.0 - a // b + a % b)
    for a, b in [(0.1, 0.7), (12.3, 4.5), (-7.25, 3.5)]:
        assert f(a, b) == f.__wrapped__(a, b)


def test_ints_are_static_until_they_keep_changing() -> None:
    @jitgrad.compile
    def f(x: Any, n: int) -> Any:
        return x * n + n // 2

    x = jitgrad.tensor(X)
    for n in range(1, 30):
        assert_close(f(x, n), X * n + n // 2)
    assert f.explain().paths <= 5


def test_bools_and_strings_are_static() -> None:
    @jitgrad.compile
    def f(x: Any, flag: bool, name: str) -> Any:
        return x * 2.0 if flag and name == "twice" else x

    x = jitgrad.tensor(X)
    for _ in range(2):
        assert_close(f(x, True, "twice"), X * 2)
        assert_close(f(x, False, "twice"), X)
        assert_close(f(x, True, "once"), X)
    assert f.explain().variants == 3


def test_a_bool_is_not_taken_for_an_int() -> None:
    f = jitgrad.compile(lambda x, n: (x * n, n))
    x = jitgrad.tensor(X)
    assert f(x, 1)[1] is not True
    assert f(x, True)[1] is True
    assert f(x, 1.0)[1] == 1.0
    assert type(f(x, 1.0)[1]) is float


def test_a_list_is_repeated_by_an_int_that_changes() -> None:
    f = jitgrad.compile(lambda x, n: x * len([0] * n))
    for n in range(1, 8):
        assert_close(f(jitgrad.tensor(X), n), X * n)


def test_numbers_of_numpy_are_inputs_of_the_program() -> None:
    @jitgrad.compile
    def f(x: Any, a: Any) -> Any:
        return x * a

    x = jitgrad.tensor(X)
    for a in (np.float64(2.0), np.float64(3.0), np.float64(4.0)):
        assert_close(f(x, a), X * a)
    assert f.explain().paths == 1


# -- names -------------------------------------------------------------------------------------


def test_introspection_takes_no_part_in_the_result() -> None:
    f = jitgrad.compile(double_sine)
    x = jitgrad.tensor(X)
    assert "sin" in f.graph(x)
    assert isinstance(f(x), Tensor)


def test_floats_have_the_methods_of_floats() -> None:
    @jitgrad.compile
    def f(x: Any, a: float) -> Any:
        numbers = (a.is_integer(), round(a, 1), int(a), math.floor(a), a.real, divmod(7.0, a))
        return x * a, numbers, f"{a:.2f}", {2.5: "found"}.get(a), max(a, 1.0)

    x = jitgrad.tensor(X)
    for a in (2.5, 3.0, 2.5):
        found, expected = f(x, a), f.__wrapped__(x, a)
        assert_close(found[0], expected[0])
        assert found[1:] == expected[1:]
