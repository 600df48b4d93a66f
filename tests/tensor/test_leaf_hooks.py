"""Hooks that see a leaf when its gradient is complete."""

from __future__ import annotations

from typing import Any

import pytest

import jitgrad
from jitgrad import GradientError


@pytest.mark.parametrize("compiled", [False, True])
def test_a_hook_after_accumulation_sees_the_whole_gradient(compiled: bool) -> None:
    seen: list[Any] = []
    x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    handle = x.register_post_accumulate_grad_hook(
        lambda leaf: seen.append((leaf is x, leaf.grad.tolist()))
    )

    def loss(x: Any) -> Any:
        return (x * x).sum() + (3 * x).sum()

    function = jitgrad.compile(loss) if compiled else loss
    for _ in range(3):
        x.grad = None
        function(x).backward()
    assert seen == [(True, [5.0, 7.0])] * 3
    function(x).backward(inputs=x)
    assert seen[3:] == [(True, [10.0, 14.0])]
    handle.remove()
    function(x).backward()
    assert len(seen) == 4


def test_a_hook_after_accumulation_needs_a_leaf() -> None:
    x = jitgrad.ones(2, requires_grad=True)
    with pytest.raises(GradientError, match="accumulates no gradient"):
        (x * 2).register_post_accumulate_grad_hook(print)
