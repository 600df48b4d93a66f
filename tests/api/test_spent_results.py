"""What a compiled training step returns after its backward: a result whose graph is used up."""

from __future__ import annotations

from typing import Any

import pytest

import jitgrad as jg


def _step(w: Any, x: Any, **options: Any) -> Any:
    loss = ((w * x) ** 2).mean()
    loss.backward(**options)
    return loss


def test_a_loss_whose_graph_was_freed_requires_grad_but_refuses_backward() -> None:
    x = jg.tensor([3.0, 4.0])
    for function in (_step, jg.compile(_step)):
        for _ in range(3):
            w = jg.tensor([1.0, 2.0], requires_grad=True)
            loss = function(w, x)
            assert loss.requires_grad
            assert loss.grad_fn.name() == "MeanBackward0"
            assert w.grad.tolist() == [9.0, 32.0]
            with pytest.raises(jg.GradientError, match="the graph was freed"):
                loss.backward()


def test_nothing_is_kept_for_a_gradient_that_nobody_can_ask_for() -> None:
    w, x = jg.tensor([1.0, 2.0], requires_grad=True), jg.tensor([3.0, 4.0])
    compiled = jg.compile(_step)
    compiled(w, x)
    assert compiled.explain(w, x).kept_bytes == 0
    assert compiled.adjoint_source(w, x) == ""


def test_a_graph_that_was_retained_can_be_used_again() -> None:
    w, x = jg.tensor([1.0, 2.0], requires_grad=True), jg.tensor([3.0, 4.0])
    loss = jg.compile(_step)(w, x, retain_graph=True)
    loss.backward()
    assert w.grad.tolist() == [18.0, 64.0]
