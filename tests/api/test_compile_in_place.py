"""Changes in place: of arguments, of captured Tensors, of gradients, of whole models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import GradientError, nn, optim
from jitgrad.testing import assert_close


def counted(shape: tuple[int, ...] = (4,)) -> Any:
    return jitgrad.arange(float(np.prod(shape))).reshape(*shape) + 1.0


def test_arguments_and_captured_tensors_are_changed() -> None:
    state = counted()

    @jitgrad.compile
    def f(x: Any) -> Any:
        x.mul_(2.0)
        x[0] = -1.0
        state.add_(x)
        return x, state * 1.0

    x, total = counted(), np.arange(4.0) + 1
    expected = np.arange(4.0) + 1
    for _ in range(3):
        result, copied = f(x)
        expected = expected * 2
        expected[0] = -1
        total = total + expected
        assert result is x
        assert_close(x, expected.astype(np.float32))
        assert_close(state, total.astype(np.float32))
        assert_close(copied, total.astype(np.float32))


def test_views_of_arguments_write_to_the_argument() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        row = x[1]
        row += 10.0
        row[1:].zero_()
        x[:, 0].copy_(jitgrad.zeros(2))
        return row

    for _ in range(3):
        x, plain = counted((2, 3)), counted((2, 3))
        assert_close(f(x), f.__wrapped__(plain))
        assert_close(x, plain)


def test_a_view_given_as_argument_changes_its_base() -> None:
    @jitgrad.compile
    def f(row: Any) -> Any:
        row.add_(10.0)
        return row * 2.0

    x = counted((2, 3))
    for k in range(3):
        assert_close(f(x[1]), (np.array([4.0, 5.0, 6.0], np.float32) + 10 * (k + 1)) * 2)
    assert_close(x[1], [34.0, 35.0, 36.0])
    assert_close(x[0], [1.0, 2.0, 3.0])


def test_gradients_go_through_a_change_in_place() -> None:
    @jitgrad.compile
    def f(w: Any) -> Any:
        y = w * 2.0
        y[1:] *= w[1:]
        y[0] = 5.0
        return y

    w = jitgrad.tensor([1.0, 2.0, 3.0], requires_grad=True)
    for _ in range(2):
        w.grad = None
        f(w).sum().backward()
        assert_close(w.grad, [0.0, 8.0, 12.0])


def test_an_argument_gets_the_history_of_what_is_written_to_it() -> None:
    @jitgrad.compile
    def f(x: Any, w: Any) -> None:
        x.mul_(w)

    w = jitgrad.tensor([2.0, 3.0], requires_grad=True)
    for _ in range(3):
        w.grad = None
        x, base = jitgrad.ones(2), jitgrad.ones(2, 2)
        f(x, w)
        assert x.requires_grad
        f(base[0], w)
        assert base.requires_grad
        (x.sum() + (base * base).sum()).backward()
        assert_close(w.grad, [5.0, 7.0])


def test_a_leaf_that_requires_a_gradient_is_protected() -> None:
    f = jitgrad.compile(lambda w: w.add_(1.0))
    w = jitgrad.ones(2, requires_grad=True)
    for _ in range(2):
        with pytest.raises(GradientError, match="a leaf that requires a gradient"):
            f(w)
        assert_close(w.detach(), [1.0, 1.0])
    with jitgrad.no_grad():
        for _ in range(2):
            f(w)
    assert_close(w.detach(), [3.0, 3.0])
    assert w.requires_grad


def test_arguments_that_share_memory_are_right() -> None:
    @jitgrad.compile
    def f(x: Any, y: Any) -> Any:
        x[0] += 10.0
        y *= 2.0
        return x + y

    def pairs(make: Callable[[], Any]) -> Any:
        a = make()
        yield a[1:], a[:-1]
        yield a[:2], a[2:]
        yield a[:3], a[:3]
        b = make()[:3]
        yield b, b
        yield make()[:3], make()[:3]

    for make in (counted, lambda: np.arange(4.0) + 1.0):
        for _ in range(2):
            for (x, y), (x_plain, y_plain) in zip(pairs(make), pairs(make), strict=True):
                assert_close(f(x, y), f.__wrapped__(x_plain, y_plain))
                assert_close(x, x_plain)
                assert_close(y, y_plain)


def test_an_argument_that_shares_memory_with_a_captured_array_is_right() -> None:
    data = np.arange(4.0)

    @jitgrad.compile
    def f(x: Any) -> Any:
        x += 1.0
        return x * data[:2].sum() + jitgrad.sum(data)

    expected = np.arange(4.0)
    for _ in range(3):
        expected[:2] += 1.0
        found = f(data[:2])
        assert_close(found, expected[:2] * expected[:2].sum() + expected.sum())
        assert_close(data, expected)


# -- gradients inside --------------------------------------------------------------------------


def test_backward_inside_fills_and_accumulates_grad() -> None:
    w = jitgrad.tensor([1.0, 2.0], requires_grad=True)

    @jitgrad.compile
    def f(x: Any) -> Any:
        loss = (w * w * x).sum()
        loss.backward()
        return loss.detach()

    x = jitgrad.ones(2)
    for number in range(1, 5):
        assert_close(f(x), jitgrad.tensor(5.0))
        assert_close(w.grad, np.array([2.0, 4.0], np.float32) * number)
    w.grad = None
    f(x)
    assert_close(w.grad, [2.0, 4.0])


def test_gradients_of_two_leaves_share_no_memory() -> None:
    a, b = (jitgrad.ones(2, requires_grad=True) for _ in range(2))

    @jitgrad.compile
    def f(x: Any) -> Any:
        (a + b + x).sum().backward()
        return a.grad

    x = jitgrad.ones(2, requires_grad=True)
    for _ in range(3):
        a.grad = b.grad = x.grad = None
        result = f(x)
        assert a.grad is not None
        a.grad.zero_()
        assert_close(b.grad, [1.0, 1.0])
        assert_close(x.grad, [1.0, 1.0])
        assert_close(result, [0.0, 0.0])


def test_grad_may_be_read_changed_and_replaced_inside() -> None:
    w = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    w.grad = jitgrad.ones(2)

    @jitgrad.compile
    def f() -> Any:
        before = w.grad * 2.0  # type: ignore[operator]
        w.grad.mul_(3.0)  # type: ignore[union-attr]
        (w * 2.0).sum().backward()
        after = w.grad + 0.0  # type: ignore[operator]
        w.grad = jitgrad.full((2,), 7.0)
        return before, after

    def plain(grad: Any) -> Any:
        return grad * 2, grad * 3 + 2

    for grad in (1.0, 7.0, 7.0):
        before, after = f()
        assert_close(before, np.full(2, plain(grad)[0], np.float32))
        assert_close(after, np.full(2, plain(grad)[1], np.float32))
        assert_close(w.grad, [7.0, 7.0])


def test_a_hook_sees_a_gradient_that_is_computed_inside() -> None:
    w = jitgrad.ones(2, requires_grad=True)
    seen: list[Any] = []
    w.register_hook(lambda ct: seen.append(1))
    f = jitgrad.compile(lambda x: (w * x).sum().backward())
    with pytest.warns(jitgrad.FallbackWarning, match="hooks"):
        f(jitgrad.ones(2))
    f(jitgrad.ones(2))
    assert seen == [1, 1]


# -- training ----------------------------------------------------------------------------------


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01, amsgrad=True),
}


def train(name: str, compiled: bool, eval_loss: bool = False) -> Any:
    jitgrad.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.2), nn.Linear(4, 1))
    optimizer = OPTIMIZERS[name](model.parameters())
    loss_function = nn.MSELoss()

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = jitgrad.compile(step) if compiled else step
    x, y = jitgrad.randn(8, 3), jitgrad.randn(8, 1)
    losses = []
    for number in range(6):
        if number == 3:
            optimizer.param_groups[0]["lr"] = 0.02
        losses.append(run(x, y))
    if compiled:
        assert not run.explain().eager_reason  # type: ignore[attr-defined]
        # .grad is there from the second step on, and is found.
        assert run.explain().paths <= 2  # type: ignore[attr-defined]
    return losses, [p.detach() for p in model.parameters()], [p.grad for p in model.parameters()]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_whole_training_step_gives_the_parameters_of_plain_python(name: str) -> None:
    for found, expected in zip(train(name, True), train(name, False), strict=True):
        for a, b in zip(found, expected, strict=True):
            assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_loop_of_training_steps_may_be_compiled_as_a_whole() -> None:
    x = counted((4, 1))
    y = x * 3.0 + 1.0

    def fit(steps: int, rate: float) -> Any:
        w = jitgrad.zeros(1, 1, requires_grad=True)
        b = jitgrad.zeros(1, requires_grad=True)
        for _ in range(steps):
            loss = ((x @ w + b - y) ** 2).mean()
            by_w, by_b = jitgrad.autograd.grad(loss, (w, b))
            with jitgrad.no_grad():
                w -= rate * by_w
                b -= rate * by_b
        return w.detach(), b.detach(), loss.detach()

    expected = fit(5, 0.02)
    for _ in range(2):
        for a, e in zip(jitgrad.compile(fit)(5, 0.02), expected, strict=True):
            assert_close(a, e, rtol=1e-4, atol=1e-5)


def test_buffers_of_modules_are_kept_up_to_date() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", jitgrad.zeros(2))

        def forward(self, x: Any) -> Any:
            if self.training:
                with jitgrad.no_grad():
                    self.mean.mul_(0.5).add_(x.mean(0), alpha=0.5)
            return x - self.mean

    plain, compiled = Mean(), Mean()
    f = jitgrad.compile(compiled)
    x = counted((3, 2))
    for training in (True, True, False, True):
        plain.train(training)
        compiled.train(training)
        assert_close(f(x), plain(x))
        assert_close(compiled.mean, plain.mean)
