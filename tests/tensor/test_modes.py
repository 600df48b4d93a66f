"""Whether operations are recorded: `no_grad` and its kin."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

import jitgrad
from jitgrad import Tensor


def recorded() -> bool:
    x = jitgrad.ones(1, requires_grad=True)
    return (x * 2).requires_grad


def test_operations_are_recorded_by_default() -> None:
    assert jitgrad.is_grad_enabled()
    assert recorded()


@pytest.mark.parametrize(
    "mode",
    [
        jitgrad.no_grad,
        jitgrad.inference_mode,
        lambda: jitgrad.set_grad_enabled(False),
    ],
)
def test_a_block_switches_recording_off_and_back_on(mode: type) -> None:
    with mode():
        assert not jitgrad.is_grad_enabled()
        assert not recorded()
    assert recorded()


def test_recording_is_restored_when_a_block_is_left_by_an_error() -> None:
    with pytest.raises(KeyError), jitgrad.no_grad():
        raise KeyError
    assert recorded()


def test_blocks_nest() -> None:
    with jitgrad.no_grad():
        with jitgrad.enable_grad():
            assert recorded()
            with jitgrad.no_grad():
                assert not recorded()
            assert recorded()
        assert not recorded()
    assert recorded()


def test_one_mode_object_can_be_entered_again_inside_itself() -> None:
    mode = jitgrad.no_grad()
    with mode:
        with mode:
            assert not recorded()
        assert not recorded()
    assert recorded()


def test_functions_can_be_decorated() -> None:
    @jitgrad.no_grad()
    def inside(x: Tensor) -> Tensor:
        """Double."""
        return x * 2

    assert not inside(jitgrad.ones(1, requires_grad=True)).requires_grad
    assert inside.__doc__ == "Double."
    assert recorded()


def test_no_grad_decorates_without_parentheses_too() -> None:
    @jitgrad.no_grad
    def inside() -> bool:
        return recorded()

    assert not inside()


def test_a_decorated_function_may_call_itself() -> None:
    @jitgrad.no_grad()
    def countdown(n: int) -> list[bool]:
        return [recorded()] if n == 0 else [*countdown(n - 1), recorded()]

    assert countdown(3) == [False] * 4
    assert recorded()


def test_a_decorated_generator_runs_each_step_in_the_mode() -> None:
    @jitgrad.no_grad()
    def steps() -> Iterator[bool]:
        yield recorded()
        yield recorded()

    seen: list[bool] = []
    for step in steps():
        seen += [step, recorded()]
    assert seen == [False, True, False, True]


def test_set_grad_enabled_acts_at_once() -> None:
    jitgrad.set_grad_enabled(False)
    try:
        assert not recorded()
    finally:
        jitgrad.set_grad_enabled(True)
    assert recorded()


def test_set_grad_enabled_does_not_act_at_once_as_a_decorator() -> None:
    @jitgrad.set_grad_enabled(False)
    def inside() -> bool:
        return recorded()

    assert recorded()
    assert not inside()


def test_inference_mode_can_be_asked_to_do_nothing() -> None:
    with jitgrad.inference_mode(False):
        assert recorded()


def test_leaves_made_under_no_grad_require_gradients_all_the_same() -> None:
    with jitgrad.no_grad():
        x = jitgrad.ones(1, requires_grad=True)
    assert x.requires_grad
    (x * 2).sum().backward()
    assert x.grad is not None


def test_leaves_can_be_changed_in_place_under_no_grad() -> None:
    x = jitgrad.ones(2, requires_grad=True)
    with jitgrad.no_grad():
        x -= 0.5
    assert x.is_leaf
    assert x.requires_grad
    assert x.tolist() == [0.5, 0.5]


def test_each_thread_has_its_own_mode() -> None:
    seen: list[bool] = []
    with jitgrad.no_grad():
        thread = threading.Thread(target=lambda: seen.append(recorded()))
        thread.start()
        thread.join()
    assert seen == [True]
