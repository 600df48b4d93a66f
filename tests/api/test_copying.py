"""Compiled functions and operations are copied, pickled and sent elsewhere as functions are."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.testing import assert_close

COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
}


@jg.compile
def decorated(x: Any) -> Any:
    return (x * x).sum()


def plain(x: Any) -> Any:
    return (x * x).sum()


under_another_name = jg.compile(plain, retrace_limit=3)


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_decorated_function_stays_itself_and_another_is_made_again(
    copied: Callable[[Any], Any],
) -> None:
    x = np.array([1.0, 2.0])
    decorated(x)
    under_another_name(x)
    assert copied(decorated) is decorated
    other = copied(under_another_name)
    assert isinstance(other, type(decorated))
    assert float(other(x)) == 5.0
    assert other.__wrapped__ is plain


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_an_operation_stays_itself(copied: Callable[[Any], Any]) -> None:
    assert copied(jg.tanh) is jg.tanh
    assert copied([jg.nn.functional.relu])[0] is jg.nn.functional.relu


@pytest.mark.parametrize("copied", [COPIES["deepcopy"], COPIES["pickle"]])
def test_a_model_and_its_optimizer_stay_together(copied: Callable[[Any], Any]) -> None:
    model = jg.nn.Sequential(jg.nn.Linear(2, 3), jg.nn.Tanh(), jg.nn.Linear(3, 1))
    optimizer = jg.optim.Adam(model.parameters(), lr=0.1)
    x = jg.ones(4, 2)

    def step(model: Any, optimizer: Any) -> Any:
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
        return [p.detach().numpy().copy() for p in model.parameters()]

    step(model, optimizer)
    other = copied((model, optimizer))
    assert_close(step(*other), step(model, optimizer))
    assert_close(step(*other), step(model, optimizer))


def test_gradients_and_shared_tensors_are_copied() -> None:
    x = jg.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    for copied in (COPIES["deepcopy"], COPIES["pickle"]):
        a, b = copied([x, x])
        assert a is b
        assert a is not x
        assert a.requires_grad
        assert_close(a.grad, x.grad)
        a.grad.zero_()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 4.0]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_compiled_functions_can_be_sent_to_other_processes(method: str) -> None:
    x = jg.tensor([1.0, 2.0])
    expected = float(decorated(x))
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert [float(y) for y in pool.map(decorated, [x, x + 1])] == [expected, 13.0]
