"""Constructs that draw random numbers: those of the plain function, there and back."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.testing import assert_close

X = np.array([0.5, -1.0, 2.0])


def plain_loop(x: Any) -> Any:
    for _ in range(5):
        x = x * jg.rand(3, dtype=np.float64) + jg.randn(3, dtype=np.float64)
    return x


def counted(x: Any) -> Any:
    return jg.fori_loop(
        0, 5, lambda i, c: c * jg.rand(3, dtype=np.float64) + jg.randn(3, dtype=np.float64), x
    )


def until(x: Any) -> Any:
    def body(c: Any) -> Any:
        i, x = c
        return i + 1, x * jg.rand(3, dtype=np.float64) + jg.randn(3, dtype=np.float64)

    return jg.while_loop(lambda c: c[0] < 5, body, (0, x))[1]


def nested(x: Any) -> Any:
    """Draw in a loop within a branch within a loop, other numbers of times in each iteration."""

    def body(i: Any, x: Any) -> Any:
        def several(x: Any) -> Any:
            return jg.fori_loop(0, i, lambda j, x: x + jg.rand(3, dtype=np.float64), x)

        return jg.cond(i % 2 == 1, several, lambda x: x * jg.rand(3, dtype=np.float64), x)

    return jg.fori_loop(0, 4, body, x)


def nested_plain(x: Any) -> Any:
    for i in range(4):
        if i % 2 == 1:
            for _ in range(i):
                x = x + jg.rand(3, dtype=np.float64)
        else:
            x = x * jg.rand(3, dtype=np.float64)
    return x


def drawn(function: Callable[..., Any]) -> list[Any]:
    """Return value and gradient of `function`, twice, and what is drawn afterwards."""
    jg.manual_seed(3)
    both = [jg.value_and_grad(lambda x: (function(x) ** 2).sum())(jg.tensor(X)) for _ in range(2)]
    return [*(leaf.numpy() for pair in both for leaf in pair), jg.rand(3).numpy()]


@pytest.mark.parametrize(
    ("construct", "plain"),
    [(counted, plain_loop), (until, plain_loop), (nested, nested_plain)],
)
def test_constructs_draw_what_the_plain_loop_draws_and_so_do_gradients(
    construct: Callable[..., Any], plain: Callable[..., Any]
) -> None:
    expected = drawn(plain)
    assert not np.array_equal(expected[0], expected[2])
    assert_close(drawn(construct), expected)
    assert_close(drawn(jg.compile(construct)), expected)
    assert_close(drawn(jg.compile(plain)), expected)


def test_a_checkpoint_counts_on_as_the_function_itself() -> None:
    def noisy(x: Any) -> Any:
        return x * jg.rand(3, dtype=np.float64)

    assert_close(drawn(jg.checkpoint(noisy)), drawn(noisy))


def test_a_generator_of_ones_own_is_followed_too() -> None:
    generator = jg.Generator()

    def noisy(x: Any) -> Any:
        return jg.fori_loop(0, 3, lambda i, c: c + jg.rand(3, generator=generator), x)

    def run(function: Callable[..., Any]) -> list[Any]:
        generator.manual_seed(5)
        return [function(jg.zeros(3)).tolist() for _ in range(3)]

    assert run(jg.compile(noisy)) == run(noisy)


def test_a_mask_is_computed_again_and_not_kept() -> None:
    def dropout(x: Any) -> Any:
        return jg.where(jg.rand(x.shape, dtype=np.float64) < 0.5, x, 0.0).sum()

    compiled = jg.compile(dropout)
    x = jg.ones(1000, dtype=np.float64, requires_grad=True)
    for _ in range(3):
        y = compiled(x)
        x.grad = None
        y.backward()
        assert float(x.grad.sum()) == float(y)  # type: ignore[union-attr]
    assert "fill_uniform" in compiled.adjoint_source(x)


def test_generators_can_be_copied_and_pickled() -> None:
    generator = jg.Generator().manual_seed(4)
    jg.rand(2, generator=generator)
    others = [copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))]
    expected = jg.rand(3, generator=generator).tolist()
    assert [jg.rand(3, generator=other).tolist() for other in others] == [expected] * 2


def branching(x: Any) -> Any:
    """Draw where values decide, and until they do."""
    for _ in range(6):
        if x.sum() > 1:
            x = x * jg.rand(3, dtype=np.float64)
        else:
            x = x + jg.randn(3, dtype=np.float64) + jg.rand(3, dtype=np.float64)
    while (x * x).sum() < 20:
        x = x * (1.5 + jg.rand((), dtype=np.float64))
    return x


def test_plain_loops_and_branches_draw_the_same_when_compiled() -> None:
    assert_close(drawn(jg.compile(branching)), drawn(branching))
    assert_close(drawn(jg.compile(nested_plain)), drawn(nested_plain))
