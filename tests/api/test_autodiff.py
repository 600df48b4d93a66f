"""`grad` and `value_and_grad`, alone and compiled, and gradients of compiled functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import DtypeError, GradientError, Tensor, autograd
from jitgrad.core.errors import JitgradWarning
from jitgrad.testing import assert_close

X = np.array([[0.5, -1.0, 2.0], [1.0, 0.25, -0.75]])
W = np.array([0.3, -0.2, 0.7])


def tensor(data: Any, requires_grad: bool = True) -> Tensor:
    return jitgrad.tensor(data, dtype=jitgrad.float64, requires_grad=requires_grad)


def array(number: Any) -> Any:
    return np.asarray(number, np.float64)


def eager(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


@pytest.fixture(params=[eager, jitgrad.compile], ids=["eager", "compiled"])
def wrap(request: pytest.FixtureRequest) -> Any:
    return request.param


def loss(w: Any, x: Any, scale: float = 1.0) -> Any:
    return (jitgrad.tanh(x @ w) ** 2).sum() * scale


def slope_of_loss(scale: float = 1.0) -> Any:
    t = np.tanh(X @ W)
    return scale * X.T @ (2 * t * (1 - t**2))


# -- backward through compiled functions -------------------------------------------------------


def test_backward_of_a_compiled_result_fills_grad() -> None:
    f = jitgrad.compile(loss)
    w, x = tensor(W), tensor(X, requires_grad=False)
    for number in (1, 2, 3):
        f(w, x).backward()
        assert_close(w.grad, number * slope_of_loss())
    assert x.grad is None


def test_results_say_that_they_require_a_gradient() -> None:
    @jitgrad.compile
    def f(w: Any, x: Any) -> Any:
        return x * w, x * 2.0, (x > 0), (x * w).detach()

    w, x = tensor(W), tensor(X, requires_grad=False)
    for _ in range(2):
        assert [r.requires_grad for r in f(w, x)] == [True, False, False, False]
        with jitgrad.no_grad():
            assert not any(r.requires_grad for r in f(w, x))
        assert [r.requires_grad for r in f(w.detach(), x)] == [False] * 4
    y = f(w, x)[0]
    assert y.grad_fn is not None
    assert not y.is_leaf


def test_gradients_pass_through_arguments_that_were_computed() -> None:
    f = jitgrad.compile(loss)
    w, x = tensor(W), tensor(X)
    for _ in range(2):
        w.grad = x.grad = None
        (f(w * 2.0, x / 2.0) * 3.0).backward()
        assert_close(w.grad, slope_of_loss(3.0))
        assert x.grad is not None


def test_one_of_several_results_may_be_differentiated() -> None:
    @jitgrad.compile
    def f(w: Any) -> Any:
        return (w * 2.0).sum(), (w**3).sum()

    w = tensor(W)
    for _ in range(2):
        w.grad = None
        a, b = f(w)
        b.backward()
        assert_close(w.grad, 3 * W**2)
        (gradient,) = autograd.grad(a, w)
        assert_close(gradient, np.full(3, 2.0))


def test_an_argument_given_twice_gets_both_gradients() -> None:
    f = jitgrad.compile(lambda a, b: (a * b * b).sum())
    w, v = tensor(W), tensor(W)
    for _ in range(2):
        w.grad = None
        f(w, v).backward()
        assert_close(w.grad, W**2)
        w.grad = None
        f(w, w).backward()
        assert_close(w.grad, 3 * W**2)


def test_captured_tensors_get_gradients() -> None:
    holder = {"w": tensor(W)}

    class Model:
        def __init__(self) -> None:
            self.shift = tensor([0.5])

    model, scale = Model(), tensor(2.0)

    @jitgrad.compile
    def f(x: Any) -> Any:
        return (x * holder["w"] * scale + model.shift).sum()

    for _ in range(2):
        for parameter in (holder["w"], scale, model.shift):
            parameter.grad = None
        f(X).backward()
        assert_close(holder["w"].grad, 2.0 * X.sum(axis=0))
        assert_close(scale.grad, array((X * W).sum()))
        assert_close(model.shift.grad, array([6.0]))


def test_a_second_backward_needs_retain_graph() -> None:
    f = jitgrad.compile(loss)
    w = tensor(W)
    for _ in range(2):
        w.grad = None
        y = f(w, tensor(X))
        y.backward(retain_graph=True)
        y.backward()
        assert_close(w.grad, slope_of_loss(2.0))
        with pytest.raises(GradientError, match="was freed by an earlier backward"):
            y.backward()


def test_a_changed_argument_is_noticed_by_backward() -> None:
    f = jitgrad.compile(loss)
    w = tensor(W)
    for _ in range(2):
        y = f(w, tensor(X))
        with jitgrad.no_grad():
            w.add_(0.0)
        with pytest.raises(GradientError, match="was changed in place"):
            y.backward()


def test_hooks_see_the_gradients_of_compiled_functions() -> None:
    f = jitgrad.compile(loss)
    w = tensor(W)
    seen: list[Any] = []
    handle = w.register_hook(lambda ct: seen.append(ct.numpy().copy()))
    for _ in range(2):
        f(w, tensor(X)).backward()
    handle.remove()
    f(w, tensor(X)).backward()
    assert len(seen) == 2
    assert_close(seen[0], slope_of_loss())


# -- grad and value_and_grad -------------------------------------------------------------------


def test_value_and_grad_gives_both(wrap: Any) -> None:
    f = wrap(jitgrad.value_and_grad(loss))
    for _ in range(2):
        value, gradient = f(tensor(W, False), tensor(X, False), scale=2.0)
        assert_close(value, array(2.0 * (np.tanh(X @ W) ** 2).sum()))
        assert_close(gradient, slope_of_loss(2.0))
        assert not value.requires_grad
        assert not gradient.requires_grad


def test_argnums_chooses_the_arguments(wrap: Any) -> None:
    t = np.tanh(X @ W)
    by_x = (2 * t * (1 - t**2))[:, None] * W
    assert_close(wrap(jitgrad.grad(loss, argnums=1))(tensor(W), tensor(X)), by_x)
    both = wrap(jitgrad.grad(loss, argnums=(1, 0)))(tensor(W), tensor(X))
    assert type(both) is tuple
    assert_close(both[0], by_x)
    assert_close(both[1], slope_of_loss())
    last = wrap(jitgrad.grad(loss, argnums=-1))(tensor(W), tensor(X), 2.0)
    assert_close(last, jitgrad.tensor((t**2).sum(), dtype=jitgrad.float32))


def test_has_aux_hands_the_rest_on(wrap: Any) -> None:
    def with_aux(w: Any, x: Any) -> Any:
        h = x @ w
        return (h**2).sum(), {"hidden": h, "name": "aux"}

    for _ in range(2):
        (value, aux), gradient = wrap(jitgrad.value_and_grad(with_aux, has_aux=True))(
            tensor(W, False), tensor(X, False)
        )
        assert_close(value, array(((X @ W) ** 2).sum()))
        assert_close(aux["hidden"], X @ W)
        assert not aux["hidden"].requires_grad
        assert aux["name"] == "aux"
        assert_close(gradient, 2 * X.T @ (X @ W))
    gradient, aux = wrap(jitgrad.grad(with_aux, has_aux=True))(tensor(W), tensor(X))
    assert_close(gradient, 2 * X.T @ (X @ W))
    assert aux["name"] == "aux"


@dataclass
class Layer:
    weight: Any
    bias: Any


def test_gradients_have_the_structure_of_the_argument(wrap: Any) -> None:
    def f(layers: Any, x: Any) -> Any:
        for layer in layers["layers"]:
            x = jitgrad.tanh(x * layer.weight + layer.bias)
        return x.sum() * layers["scale"]

    parameters = {"layers": [Layer(tensor(W), tensor(0.1)), Layer(W, W * 2)], "scale": 3.0}
    expected = jitgrad.grad(f)(parameters, X)
    for _ in range(2):
        gradient = wrap(jitgrad.grad(f))(parameters, X)
        assert list(gradient) == ["layers", "scale"]
        first, second = gradient["layers"]
        assert type(first) is type(second) is Layer
        assert type(first.weight) is Tensor
        assert type(second.weight) is np.ndarray
        assert_close(first.weight, expected["layers"][0].weight)
        assert_close(second.bias, expected["layers"][1].bias)
        assert gradient["scale"].shape == ()


def test_an_unused_argument_gets_zeros(wrap: Any) -> None:
    gradient = wrap(jitgrad.grad(lambda a, b: (b * 2.0).sum(), argnums=(0, 1)))(
        tensor(W), tensor(X)
    )
    assert_close(gradient[0], np.zeros(3))
    assert_close(gradient[1], np.full((2, 3), 2.0))


def test_floats_are_differentiated_too(wrap: Any) -> None:
    f = wrap(jitgrad.value_and_grad(lambda x: x**3 + 2.0 * x))
    for x in (2.0, 3.0, 4.0):
        value, slope = f(x)
        assert_close(value, jitgrad.tensor(x**3 + 2 * x))
        assert_close(slope, jitgrad.tensor(3 * x**2 + 2))


def test_what_is_not_floating_is_refused_with_a_hint(wrap: Any) -> None:
    with pytest.raises(DtypeError, match="argument 0 holds int 3"):
        wrap(jitgrad.grad(lambda n: n * 2.0))(3)
    with pytest.raises(DtypeError, match="argument 0 has dtype int64"):
        wrap(jitgrad.grad(lambda n: (n * 2.0).sum()))(jitgrad.tensor([1, 2]))


def test_a_result_of_several_numbers_is_refused(wrap: Any) -> None:
    with pytest.raises(GradientError, match=r"the function returned shape \(3,\)"):
        wrap(jitgrad.grad(lambda w: w * 2.0))(tensor(W))
    with pytest.raises(GradientError, match="it returned str"):
        wrap(jitgrad.grad(lambda w: "text"))(tensor(W))


def test_parameters_from_outside_are_constants_of_grad(wrap: Any) -> None:
    p = tensor(W)
    f = wrap(jitgrad.grad(lambda x: (x * p).sum()))
    gradient = f(tensor(X))
    assert_close(gradient, np.tile(W, (2, 1)))
    assert p.grad is None


def test_grad_works_inside_no_grad(wrap: Any) -> None:
    f = wrap(jitgrad.grad(loss))
    with jitgrad.no_grad():
        for _ in range(2):
            assert_close(f(tensor(W), tensor(X)), slope_of_loss())


# -- higher orders -----------------------------------------------------------------------------


def test_grad_of_grad_of_grad(wrap: Any) -> None:
    f = wrap(jitgrad.grad(jitgrad.grad(jitgrad.grad(lambda x: x**4 + jitgrad.exp(x)))))
    for x in (0.5, 0.75):
        x64 = tensor(x, requires_grad=False)
        assert_close(f(x64), array(24 * x + np.exp(x)))


def test_grad_of_a_compiled_function_and_of_its_gradient() -> None:
    cube = jitgrad.compile(lambda x: (x**3).sum())
    for _ in range(2):
        assert_close(jitgrad.grad(cube)(tensor(W)), 3 * W**2)
        second = jitgrad.grad(lambda x: jitgrad.grad(cube)(x).sum())
        assert_close(second(tensor(W)), 6 * W)
        outer = jitgrad.compile(jitgrad.grad(lambda x: jitgrad.grad(cube)(x).sum()))
        assert_close(outer(tensor(W)), 6 * W)


def test_create_graph_reaches_the_third_order() -> None:
    f = jitgrad.compile(lambda x: (x**4).sum() + jitgrad.exp(x).sum())
    x = tensor(W)
    for _ in range(2):
        (first,) = autograd.grad(f(x), x, create_graph=True)
        assert_close(first, 4 * W**3 + np.exp(W))
        (second,) = autograd.grad(first.sum(), x, create_graph=True)
        assert_close(second, 12 * W**2 + np.exp(W))
        (third,) = autograd.grad(second.sum(), x)
        assert_close(third, 24 * W + np.exp(W))


def test_backward_with_create_graph_makes_a_gradient_to_differentiate() -> None:
    f = jitgrad.compile(lambda x: (x**3).sum())
    x = tensor(W)
    f(x).backward(create_graph=True)
    assert_close(x.grad, 3 * W**2)
    assert x.grad is not None
    (second,) = autograd.grad(x.grad.sum(), x)
    assert_close(second, 6 * W)


def test_a_gradient_penalty_inside_a_compiled_function() -> None:
    def penalty(w: Any, x: Any) -> Any:
        (gradient,) = autograd.grad(loss(w, x), w, create_graph=True)
        return (gradient**2).sum()

    f = jitgrad.compile(penalty)
    plain, compiled = tensor(W), tensor(W)
    penalty(plain, tensor(X)).backward()
    for _ in range(2):
        compiled.grad = None
        value = f(compiled, tensor(X))
        value.backward()
        assert_close(value, array((slope_of_loss() ** 2).sum()))
        assert_close(compiled.grad, plain.grad)


def test_the_value_of_value_and_grad_can_be_differentiated_too(wrap: Any) -> None:
    def both(x: Any) -> Any:
        (value, aux), slope = jitgrad.value_and_grad(lambda x: ((x**3).sum(), x * 5.0), 0, True)(x)
        return value + slope.sum() + aux.sum()

    for _ in range(2):
        gradient = wrap(jitgrad.grad(both))(tensor(W, False))
        assert_close(gradient, 3 * W**2 + 6 * W + 5)
        assert not gradient.requires_grad


def test_derivatives_by_inner_and_outer_arguments_mix() -> None:
    def mixed(a: Any, b: Any) -> Any:
        return jitgrad.grad(lambda b: (a**2 * b**3).sum())(b).sum()

    for f in (mixed, jitgrad.compile(mixed)):
        by_a = jitgrad.grad(f)(tensor(W), tensor(W + 1))
        assert_close(by_a, 6 * W * (W + 1) ** 2)


def test_an_input_of_another_result_gets_no_gradient(wrap: Any) -> None:
    f = wrap(lambda a, b: ((a * 2).sum(), (b * 3).sum()))
    for _ in range(3):
        a, b = tensor([1.0, 2.0]), tensor([3.0, 4.0])
        y, z = f(a, b)
        y.backward(retain_graph=True)
        assert_close(a.grad, array([2.0, 2.0]))
        assert b.grad is None
        with pytest.raises(GradientError, match="was not used"):
            autograd.grad(y, [b], retain_graph=True)
        z.backward()
        assert_close(b.grad, array([3.0, 3.0]))


def test_functions_of_math_warn_where_they_end_a_gradient(wrap: Any) -> None:
    message = "math.exp takes the value of a Tensor, so that no gradient flows through it"
    with pytest.warns(JitgradWarning, match=message) as caught:
        slope = wrap(jitgrad.grad(lambda x: x * math.exp(x)))(1.0)
    assert caught[0].filename == __file__
    assert_close(slope, np.float32(math.e))


def test_values_for_tests_and_for_people_do_not_warn(wrap: Any) -> None:
    def f(x: Any) -> Any:
        if math.isfinite(x) and x > 0:
            print(float(x), math.sqrt(float(x)), f"{x:.3f}")
        return x * x

    assert_close(wrap(jitgrad.grad(f))(3.0), np.float32(6.0))
    assert math.exp(tensor(0.0) * 2) == 1.0
