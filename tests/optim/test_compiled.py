"""A whole training step compiles: traced once, whatever the learning rate, and the same step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import Tensor, nn, optim

Make = Callable[[Any], optim.Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda params: optim.SGD(params, lr=0.1, weight_decay=0.01),
    "momentum": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.5),
    "nesterov": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda params: optim.Adam(params, lr=0.1, weight_decay=0.1),
    "amsgrad": lambda params: optim.Adam(params, lr=0.1, betas=(0.8, 0.5), amsgrad=True),
    "adamw": lambda params: optim.AdamW(params, lr=0.1),
    "rmsprop": lambda params: optim.RMSprop(params, lr=0.05, momentum=0.5, centered=True),
    "adagrad": lambda params: optim.Adagrad(params, lr=0.1, lr_decay=0.1),
    "a tensor as rate": lambda params: optim.SGD(params, lr=jitgrad.tensor(0.1)),
}
X = np.linspace(-1, 1, 12).reshape(6, 2)
Y = X[:, :1] * X[:, 1:] + 0.5


class Fit:
    """A small network with an optimizer, and the step that trains it."""

    def __init__(self, make: Make) -> None:
        jitgrad.manual_seed(1)
        self.network = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()
        self.optimizer = make(self.network.parameters())

    def step(self, x: Any, y: Any) -> Tensor:
        loss = nn.functional.mse_loss(self.network(x), y)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    def values(self) -> list[np.ndarray[Any, Any]]:
        return [p.detach().numpy() for p in self.network.parameters()]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_compiled_step_is_the_plain_step(name: str) -> None:
    plain, traced = Fit(OPTIMIZERS[name]), Fit(OPTIMIZERS[name])
    compiled = jitgrad.compile(traced.step)
    schedules = [optim.ExponentialLR(fit.optimizer, 0.9) for fit in (plain, traced)]
    for _ in range(6):
        expected = plain.step(X, Y)
        np.testing.assert_allclose(compiled(X, Y).item(), expected.item(), rtol=1e-9)
        for schedule in schedules:
            schedule.step()
    for ours, theirs in zip(traced.values(), plain.values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)
    ours_kept = traced.optimizer.state_dict()["state"]
    for number, kept in plain.optimizer.state_dict()["state"].items():
        for key, value in kept.items():
            np.testing.assert_allclose(
                ours_kept[number][key].numpy(), value.numpy(), rtol=1e-7, atol=1e-9
            )
    report = compiled.explain()
    assert report.eager_reason == ""
    assert report.retraces == ()
    assert all(p.grad is None for p in traced.network.parameters())


def test_a_setting_that_is_a_number_is_seen_when_it_changes() -> None:
    plain, traced = Fit(OPTIMIZERS["momentum"]), Fit(OPTIMIZERS["momentum"])
    compiled = jitgrad.compile(traced.step)
    for momentum in (0.9, 0.5, 0.1):
        for fit, step in ((plain, plain.step), (traced, compiled)):
            fit.optimizer.param_groups[0]["momentum"] = momentum
            step(X, Y)
    for ours, theirs in zip(traced.values(), plain.values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)


def test_a_loaded_state_is_seen_by_a_compiled_step() -> None:
    plain, traced = Fit(OPTIMIZERS["adam"]), Fit(OPTIMIZERS["adam"])
    compiled = jitgrad.compile(traced.step)
    compiled(X, Y)
    for _ in range(3):
        plain.step(X, Y)
    traced.network.load_state_dict(plain.network.state_dict())
    traced.optimizer.load_state_dict(plain.optimizer.state_dict())
    for _ in range(2):
        np.testing.assert_allclose(compiled(X, Y).item(), plain.step(X, Y).item(), rtol=1e-9)


def test_train_and_eval_are_seen_by_a_compiled_module() -> None:
    network = nn.Sequential(nn.Dropout(0.5), nn.Identity())
    compiled = jitgrad.compile(lambda x: network(x))
    x = jitgrad.ones(30, 30)
    assert set(np.unique(compiled(x).numpy())) == {0.0, 2.0}
    network.eval()
    assert compiled(x).numpy().all()
    network.train()
    assert set(np.unique(compiled(x).numpy())) == {0.0, 2.0}


def test_a_replaced_parameter_is_seen_by_a_compiled_module() -> None:
    layer = nn.Linear(2, 1, bias=False)
    compiled = jitgrad.compile(lambda x: layer(x))
    x = np.ones((1, 2), np.float32)
    compiled(x)
    layer.weight = nn.Parameter(np.array([[2.0, 3.0]], np.float32))
    assert compiled(x).item() == 5.0
    layer.bias = nn.Parameter(np.array([1.0], np.float32))
    assert compiled(x).item() == 6.0
