"""Containers behave as lists and dicts, and their parameters are found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import jitgrad
from jitgrad import nn


def _names(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_parameters()]


def test_sequential_calls_one_after_another() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    x = jitgrad.randn(5, 3)
    expected = net[2](jitgrad.tanh(net[0](x)))
    np.testing.assert_array_equal(net(x).detach().numpy(), expected.detach().numpy())
    assert _names(net) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert len(net) == 3
    assert [type(m) for m in net] == [nn.Linear, nn.Tanh, nn.Linear]


def test_sequential_without_modules_returns_its_input() -> None:
    assert nn.Sequential()(3) == 3


def test_sequential_of_a_dict_has_names() -> None:
    net = nn.Sequential({"hidden": nn.Linear(3, 4), "act": nn.Tanh(), "out": nn.Linear(4, 1)})
    assert _names(net) == ["hidden.weight", "hidden.bias", "out.weight", "out.bias"]
    assert net.out is net[2]
    assert net[1:].out is net.out
    assert _names(net[1:]) == ["out.weight", "out.bias"]
    net.append(nn.Identity())
    assert [name for name, _ in net.named_children()] == ["hidden", "act", "out", "3"]
    with pytest.raises(AttributeError, match="Sequential has no attribute 'input'"):
        _ = net.input


def test_slices_of_a_sequential_share_the_modules() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    assert net[:2][0] is net[0]
    assert net[-1] is net[2]
    net[1] = nn.ReLU()
    assert isinstance(net[1], nn.ReLU)


def test_module_list_is_a_list() -> None:
    layers = nn.ModuleList([nn.Linear(2, 2)])
    first = layers[0]
    layers.extend([nn.Identity(), nn.Linear(2, 2)])
    layers.insert(0, nn.Tanh())
    assert layers[1] is first
    del layers[0]
    assert layers[0] is first
    assert _names(layers) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert len(layers[1:]) == 2
    assert repr(layers[1:2]) == "ModuleList(\n  (0): Identity()\n)"


def test_module_dict_is_a_dict() -> None:
    choices = nn.ModuleDict({"a": nn.Linear(2, 2)})
    choices["b"] = nn.Identity()
    assert list(choices) == ["a", "b"]
    assert "a" in choices
    assert list(choices.keys()) == ["a", "b"]
    assert [type(m) for m in choices.values()] == [nn.Linear, nn.Identity]
    assert [name for name, _ in choices.items()] == ["a", "b"]
    del choices["b"]
    assert len(choices) == 1
    assert _names(choices) == ["a.weight", "a.bias"]


def test_parameter_list_makes_parameters() -> None:
    weights = nn.ParameterList([jitgrad.zeros(2), nn.Parameter([1.0])])
    weights.append([1.0, 2.0])
    weights[0] = np.ones(3)
    assert [type(w) for w in weights] == [nn.Parameter] * 3
    assert [w.shape for w in weights] == [(3,), (1,), (2,)]
    assert _names(weights) == ["0", "1", "2"]
    assert weights[-1] is weights[2]
    assert len(weights) == 3
    assert repr(weights) == (
        "ParameterList(\n"
        "  (0): Parameter of shape (3,), float64\n"
        "  (1): Parameter of shape (1,), float32\n"
        "  (2): Parameter of shape (2,), float32\n"
        ")"
    )


def test_containers_inside_modules_are_searched() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(1, 1, bias=False)])
            self.weights = nn.ParameterList([[1.0]])

    net = Net()
    assert _names(net) == ["layers.0.weight", "weights.0"]
    assert not net.eval().layers[0].training
    assert list(net.state_dict()) == ["layers.0.weight", "weights.0"]
    net.double()
    assert net.weights[0].dtype == np.float64


@pytest.mark.parametrize(
    "put",
    [
        lambda: nn.Sequential(jitgrad.tanh),
        lambda: nn.ModuleList().append(jitgrad.tanh),
        lambda: nn.ModuleDict({"f": jitgrad.tanh}),
    ],
)
def test_what_is_no_module_is_refused(put: Callable[[], object]) -> None:
    with pytest.raises(jitgrad.DtypeError) as caught:
        put()
    assert "function is not a Module" in caught.value.what
    assert caught.value.why == "its parameters could not be found"
    assert caught.value.do == "wrap a function in a Module whose forward calls it"


def test_an_index_outside_says_how_many_there_are() -> None:
    with pytest.raises(jitgrad.IndexingError) as caught:
        _ = nn.Sequential(nn.Identity())[1]
    assert caught.value.what == "Sequential: index 1 is out of range"
    assert caught.value.why == "there are 1 entries"
