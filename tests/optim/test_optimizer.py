"""Groups, state, and what a compiled step relies on: nothing but Tensors changes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import Tensor, nn, optim

MAKERS: list[Callable[..., optim.Optimizer]] = [
    lambda params, **k: optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.5, **k),
    lambda params, **k: optim.Adam(params, lr=0.1, amsgrad=True, **k),
    lambda params, **k: optim.AdamW(params, lr=0.1, **k),
]


def _leaf(*values: float) -> Tensor:
    return jitgrad.tensor(np.array(values), requires_grad=True)


def _step(optimizer: optim.Optimizer, *params: Tensor) -> None:
    optimizer.zero_grad()
    for p in params:
        (p * p * p).sum().backward()
    optimizer.step()


@pytest.mark.parametrize("make", MAKERS)
def test_a_step_changes_values_in_the_same_memory(make: Callable[..., optim.Optimizer]) -> None:
    p = _leaf(1.0, 2.0)
    memory = p.detach().numpy()
    optimizer = make([p])
    state = {name: value.numpy() for name, value in optimizer.state[p].items()}
    _step(optimizer, p)
    np.testing.assert_array_equal(p.detach().numpy(), memory)
    assert (memory < [1.0, 2.0]).all()
    assert p.is_leaf
    assert p.requires_grad
    assert set(optimizer.state[p]) == set(state)
    for name, value in optimizer.state[p].items():
        assert np.shares_memory(value.numpy(), state[name])
        assert value.numpy().any()


@pytest.mark.parametrize("make", MAKERS)
def test_only_tensors_change_from_step_to_step(make: Callable[..., optim.Optimizer]) -> None:
    p = _leaf(1.0, 2.0)
    optimizer = make([p])

    def others() -> dict[str, Any]:
        found = {k: v for k, v in vars(optimizer).items() if k not in ("state", "param_groups")}
        return copy.deepcopy(found) | {"groups": [dict(g) for g in optimizer.param_groups]}

    before = others()
    before_params = before["groups"][0].pop("params")
    _step(optimizer, p)
    after = others()
    assert after["groups"][0].pop("params")[0] is before_params[0]
    assert after == before


def test_the_learning_rate_that_steps_read_is_a_tensor() -> None:
    p = _leaf(1.0)
    optimizer = optim.SGD([p], lr=0.5)
    (group,) = optimizer.param_groups
    rate = group.rate
    group["lr"] = 0.25
    group.update(lr=0.125, weight_decay=0.0)
    assert group.rate is rate
    assert float(rate) == 0.125
    assert rate.dtype == np.float64
    assert group["lr"] == 0.125
    _step(optimizer, p)
    np.testing.assert_allclose(p.detach().numpy(), [1 - 0.125 * 3])


def test_a_tensor_as_learning_rate_is_used_itself() -> None:
    p = _leaf(1.0)
    rate = jitgrad.tensor(0.5, dtype=np.float64)
    optimizer = optim.SGD([p], lr=rate)
    schedule = optim.ExponentialLR(optimizer, 0.5)
    assert optimizer.param_groups[0]["lr"] is rate
    schedule.step()
    assert float(rate) == 0.25
    rate.data = jitgrad.tensor(0.125)
    _step(optimizer, p)
    np.testing.assert_allclose(p.detach().numpy(), [1 - 0.125 * 3])
    assert schedule.get_last_lr() == [0.125]


def test_groups_have_their_own_settings() -> None:
    p, q, r = _leaf(1.0), _leaf(1.0), _leaf(1.0)
    groups = [{"params": p}, {"params": [q], "lr": 0.5}]
    optimizer = optim.SGD(groups, lr=0.25)  # type: ignore[arg-type] - as users write it
    optimizer.add_param_group({"params": [r], "weight_decay": 1.0})
    _step(optimizer, p, q, r)
    values = [float(t) for t in (p, q, r)]
    np.testing.assert_allclose(values, [1 - 0.25 * 3, 1 - 0.5 * 3, 1 - 0.25 * 4])


def test_named_parameters_and_generators_are_taken() -> None:
    layer = nn.Linear(2, 1)
    for given in (layer.named_parameters(), layer.parameters(), [layer.weight, layer.bias]):
        optimizer = optim.Adam(given)  # type: ignore[arg-type] - bias may be None for types
        assert list(optimizer.state) == [layer.weight, layer.bias]


def test_parameters_without_gradient_are_left_alone() -> None:
    p, q = _leaf(1.0), _leaf(1.0)
    optimizer = optim.AdamW([p, q], weight_decay=0.5)
    _step(optimizer, p)
    assert float(p) < 1
    assert float(q) == 1
    assert float(optimizer.state[q]["step"]) == 0


def test_zero_grad_forgets_or_fills_with_zeros() -> None:
    p = _leaf(1.0)
    optimizer = optim.SGD([p])
    (p * p).sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is not None
    assert float(p.grad) == 0
    optimizer.zero_grad()
    assert p.grad is None
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is None


def test_a_closure_runs_with_gradients_before_the_step() -> None:
    p = _leaf(1.0)
    optimizer = optim.SGD([p], lr=0.1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with jitgrad.no_grad():
        loss = optimizer.step(closure)
    assert loss is not None
    assert float(loss) == 1.0
    np.testing.assert_allclose(float(p), 0.8)


def test_momentum_may_begin_later() -> None:
    p = _leaf(1.0)
    optimizer = optim.SGD([p], lr=0.1)
    _step(optimizer, p)
    assert optimizer.state[p] == {}
    optimizer.param_groups[0]["momentum"] = 0.5
    _step(optimizer, p)
    _step(optimizer, p)
    first = 0.7 - 0.1 * 3 * 0.7**2
    np.testing.assert_allclose(float(p), first - 0.1 * (0.5 * 3 * 0.7**2 + 3 * first**2))


@pytest.mark.parametrize("make", MAKERS)
def test_a_loaded_state_goes_on_as_the_original(make: Callable[..., optim.Optimizer]) -> None:
    p, q = _leaf(1.0, 2.0), _leaf(1.0, 2.0)
    one, two = make([p]), make([q])
    for _ in range(3):
        _step(one, p)
    one.param_groups[0]["lr"] = 0.01
    state = copy.deepcopy(one.state_dict())
    assert state["param_groups"][0]["params"] == [0]
    q.data = p.detach()
    two.load_state_dict(state)
    assert two.param_groups[0]["params"][0] is q
    for _ in range(3):
        _step(one, p)
        _step(two, q)
    np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_a_state_of_other_sizes_is_refused() -> None:
    optimizer = optim.Adam([_leaf(1.0)])
    with pytest.raises(jitgrad.ArgumentError) as caught:
        optimizer.load_state_dict(optim.Adam([_leaf(1.0), _leaf(2.0)]).state_dict())
    assert caught.value.what == "load_state_dict: the state is not that of this optimizer"
    assert caught.value.why == "its groups have [2] parameters, the optimizer's have [1]"
    with pytest.raises(jitgrad.ShapeError) as shapes:
        optimizer.load_state_dict(optim.Adam([_leaf(1.0, 2.0)]).state_dict())
    assert shapes.value.what == "load_state_dict: exp_avg of parameter 0 has shape (2,)"
    assert shapes.value.why == "the optimizer's has shape (1,)"


def test_a_schedule_goes_on_from_its_state() -> None:
    optimizer = optim.SGD([_leaf(1.0)], lr=1.0)
    schedule = optim.StepLR(optimizer, 2, 0.5)
    for _ in range(3):
        schedule.step()
    state = schedule.state_dict()
    assert state == {"last_epoch": 3, "step_size": 2, "gamma": 0.5, "base_lrs": [1.0]}
    other_optimizer = optim.SGD([_leaf(1.0)], lr=1.0)
    other = optim.StepLR(other_optimizer, 7, 0.1)
    other.load_state_dict(state)
    other.step()
    assert other.get_last_lr() == [0.25]


def test_a_function_for_each_group_sets_its_rate() -> None:
    optimizer = optim.SGD([{"params": _leaf(1.0)}, {"params": _leaf(1.0), "lr": 2.0}], lr=1.0)
    schedule = optim.LambdaLR(optimizer, [lambda n: n + 1, lambda n: 0.5**n])
    schedule.step()
    assert schedule.get_last_lr() == [2.0, 1.0]
    with pytest.raises(jitgrad.ArgumentError) as caught:
        optim.LambdaLR(optimizer, [abs])
    assert caught.value.what == "LambdaLR: there are 1 functions"
    assert caught.value.why == "the optimizer has 2 groups of parameters"


def test_a_schedule_of_a_plateau_checks_its_settings() -> None:
    optimizer = optim.SGD([_leaf(1.0)])
    with pytest.raises(jitgrad.ArgumentError) as caught:
        optim.ReduceLROnPlateau(optimizer, mode="least")
    assert caught.value.what == "ReduceLROnPlateau: mode is 'least'"
    assert caught.value.why == 'it must be "min" or "max"'
    with pytest.raises(jitgrad.ArgumentError) as caught:
        optim.ReduceLROnPlateau(optimizer, factor=2.0)
    assert caught.value.what == "ReduceLROnPlateau: factor is 2"


@pytest.mark.parametrize("make", MAKERS)
def test_optimizers_can_be_pickled(make: Callable[..., optim.Optimizer]) -> None:
    p = _leaf(1.0, 2.0)
    optimizer = make([p])
    _step(optimizer, p)
    other = pickle.loads(pickle.dumps(optimizer))
    (q,) = other.param_groups[0]["params"]
    assert float(other.param_groups[0].rate) == 0.1
    _step(optimizer, p)
    _step(other, q)
    np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_repr_lists_the_settings() -> None:
    assert repr(optim.SGD([_leaf(1.0)], lr=0.1)) == (
        "SGD (\n  group 0\n    dampening: 0.0\n    lr: 0.1\n    maximize: False\n"
        "    momentum: 0.0\n    nesterov: False\n    weight_decay: 0.0\n)"
    )


@pytest.mark.parametrize(
    ("make", "kind", "what", "why"),
    [
        (
            lambda: optim.SGD([]),
            jitgrad.ArgumentError,
            "SGD: there are no parameters",
            "the iterable is empty; a generator can be used only once",
        ),
        (
            lambda: optim.SGD(_leaf(1.0)),
            jitgrad.DtypeError,
            "SGD: the parameters are a single Tensor",
            "what is expected is a list, or another iterable, of Tensors",
        ),
        (
            lambda: optim.SGD([1.0]),
            jitgrad.DtypeError,
            "SGD: parameter 0 is of type float",
            "only Tensors can be optimized",
        ),
        (
            lambda: optim.SGD([_leaf(1.0) * 2]),
            jitgrad.GradientError,
            "SGD: parameter 0, of shape (1,), is not a leaf",
            "it was computed from other Tensors, and backward() fills .grad of leaves only",
        ),
        (
            lambda: optim.SGD([p := _leaf(1.0), p]),
            jitgrad.ArgumentError,
            "SGD: a parameter occurs twice",
            "it would be changed twice a step",
        ),
        (
            lambda: optim.SGD([_leaf(1.0)], lr=-1.0),
            jitgrad.ArgumentError,
            "SGD: lr is -1",
            "it must be at least 0",
        ),
        (
            lambda: optim.SGD([_leaf(1.0)], nesterov=True),
            jitgrad.ArgumentError,
            "SGD: nesterov=True needs momentum, and no dampening",
            "momentum is 0, dampening 0",
        ),
        (
            lambda: optim.AdamW([_leaf(1.0)], betas=(0.9, 1.0)),
            jitgrad.ArgumentError,
            "AdamW: betas[1] is 1",
            "it must be at least 0 and below 1",
        ),
    ],
)
def test_what_cannot_be_optimized_is_refused(
    make: Callable[[], object], kind: type[jitgrad.JitgradError], what: str, why: str
) -> None:
    with pytest.raises(kind) as caught:
        make()
    assert caught.value.what == what
    assert caught.value.why == why
