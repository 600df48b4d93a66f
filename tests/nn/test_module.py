"""Modules find their parameters, and change and save all of them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import nn


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)
        self.scale = nn.Parameter(jitgrad.ones(2))
        self.register_buffer("count", jitgrad.tensor(5))
        self.register_buffer("scratch", jitgrad.zeros(2), persistent=False)
        self.note = jitgrad.zeros(7)  # neither a parameter nor a buffer

    def forward(self, x: Any) -> Any:
        return self.inner(x) * self.scale


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.out = nn.Linear(2, 1, bias=False)

    def forward(self, x: Any) -> Any:
        return self.out(self.block(x))


NAMES = ["block.scale", "block.inner.weight", "block.inner.bias", "out.weight"]


def test_parameters_are_found_in_order_of_the_attributes() -> None:
    assert [name for name, _ in Net().named_parameters()] == NAMES
    assert [name for name, _ in Net().named_parameters(prefix="net")] == [f"net.{n}" for n in NAMES]
    assert [name for name, _ in Block().named_parameters(recurse=False)] == ["scale"]


def test_buffers_are_found_and_other_tensors_are_not() -> None:
    assert [name for name, _ in Net().named_buffers()] == ["block.count", "block.scratch"]
    assert len(list(Net().buffers())) == 2


def test_modules_are_found_outside_first() -> None:
    names = [name for name, _ in Net().named_modules()]
    assert names == ["", "block", "block.inner", "out"]
    assert [name for name, _ in Net().named_children()] == ["block", "out"]
    net = Net()
    assert list(net.children()) == [net.block, net.out]
    assert list(net.modules()) == [net, net.block, net.block.inner, net.out]


def test_a_shared_module_and_a_shared_parameter_come_once() -> None:
    net = Net()
    net.again = net.block
    net.tied = net.out.weight
    # a module's own parameters come before those of the modules inside it
    assert [name for name, _ in net.named_parameters()] == ["tied", *NAMES[:-1]]
    assert len(list(net.named_parameters(remove_duplicate=False))) == 2 * 3 + 2
    assert len(list(net.modules())) == 4


def test_a_subclass_may_forget_to_call_init() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            self.factor = nn.Parameter([2.0])
            self.register_buffer("offset", jitgrad.ones(1))

        def forward(self, x: Any) -> Any:
            return self.factor * x + self.offset

    scale = Scale()
    assert [name for name, _ in scale.named_parameters()] == ["factor"]
    assert scale.training
    assert float(scale.eval()(3.0)) == 7.0
    assert not scale.training


def test_gradients_reach_the_parameters_and_zero_grad_forgets_them() -> None:
    net = Net()
    net(jitgrad.ones(4, 3)).sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all(p.grad is not None and not p.grad.any() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_train_and_eval_reach_the_modules_inside() -> None:
    net = Net()
    assert not net.eval().block.inner.training
    assert net.train().block.inner.training


def test_requires_grad_freezes_all_parameters() -> None:
    net = Net().requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    assert not net(jitgrad.ones(1, 3)).requires_grad


def test_apply_calls_the_function_inside_first() -> None:
    seen: list[str] = []
    net = Net()
    assert net.apply(lambda module: seen.append(type(module).__name__)) is net
    assert seen == ["Linear", "Block", "Linear", "Net"]


def test_double_changes_the_dtype_of_the_same_parameters() -> None:
    net = Net()
    before = list(net.parameters())
    values = [p.detach().numpy().copy() for p in before]
    net(jitgrad.ones(4, 3)).sum().backward()
    assert net.double() is net
    for p, q, value in zip(before, net.parameters(), values, strict=True):
        assert p is q
        assert p.dtype == np.float64
        assert p.requires_grad
        assert p.grad is not None
        assert p.grad.dtype == np.float64
        np.testing.assert_array_equal(p.detach().numpy(), value)
    assert net.block.scratch.dtype == np.float64
    assert net.block.count.dtype == np.int64
    assert net(jitgrad.ones(4, 3, dtype=np.float64)).dtype == np.float64
    assert net.float().out.weight.dtype == np.float32


def test_a_parameter_of_another_dtype_still_accumulates_gradients() -> None:
    p = nn.Parameter([1.0, 2.0])
    (p * p).sum().backward()
    p.convert_(np.float64)
    (p * p).sum().backward()
    assert p.grad is not None
    np.testing.assert_array_equal(p.grad.numpy(), [4.0, 8.0])


def test_state_dict_shares_memory_and_has_persistent_buffers_only() -> None:
    net = Net()
    state = net.state_dict()
    assert list(state) == [*NAMES[:1], "block.count", *NAMES[1:]]
    assert not any(value.requires_grad for value in state.values())
    assert np.shares_memory(state["out.weight"].numpy(), net.out.weight.detach().numpy())
    assert list(net.out.state_dict(prefix="out.")) == ["out.weight"]


def test_state_dict_goes_into_another_module() -> None:
    net, other = Net(), Net()
    net.block.count.data = jitgrad.tensor(9)
    parameters = list(other.parameters())
    assert other.load_state_dict(net.state_dict()) == ([], [])
    x = jitgrad.randn(4, 3)
    np.testing.assert_array_equal(other(x).detach().numpy(), net(x).detach().numpy())
    assert int(other.block.count) == 9
    assert all(p is q for p, q in zip(parameters, other.parameters(), strict=True))
    # copied: the two do not train together
    net.out.weight.data = jitgrad.zeros(1, 2)
    assert other.out.weight.any()


def test_state_dict_takes_arrays_and_converts_their_dtype() -> None:
    layer = nn.Linear(2, 1)
    layer.load_state_dict({"weight": np.array([[1.5, 2.5]]), "bias": [0.5]})
    assert layer.weight.dtype == np.float32
    np.testing.assert_array_equal(layer.weight.detach().numpy(), [[1.5, 2.5]])


def test_load_state_dict_says_which_names_differ() -> None:
    layer = nn.Linear(2, 1)
    with pytest.raises(jitgrad.ArgumentError) as caught:
        layer.load_state_dict({"weight": [[1.0, 1.0]], "gain": [1.0]})
    assert _without_where(caught.value) == (
        "load_state_dict: the state is not that of this module\n"
        "  why:   missing: bias; unexpected: gain\n"
        "  do:    pass strict=False to load the names that both have"
    )
    differing = layer.load_state_dict({"weight": [[1.0, 1.0]], "gain": [1.0]}, strict=False)
    assert differing.missing_keys == ["bias"]
    assert differing.unexpected_keys == ["gain"]
    np.testing.assert_array_equal(layer.weight.detach().numpy(), [[1.0, 1.0]])


def test_load_state_dict_of_a_wrong_shape_changes_nothing() -> None:
    layer = nn.Linear(2, 1)
    before = layer.weight.detach().numpy().copy()
    with pytest.raises(jitgrad.ShapeError) as caught:
        layer.load_state_dict({"weight": [[1.0, 1.0]], "bias": [0.0, 0.0]})
    assert _without_where(caught.value) == (
        "load_state_dict: bias has shape (2,) in the state\n  why:   the module's has shape (1,)"
    )
    np.testing.assert_array_equal(layer.weight.detach().numpy(), before)


def test_a_plain_tensor_does_not_replace_a_parameter() -> None:
    layer = nn.Linear(2, 1)
    with pytest.raises(jitgrad.DtypeError) as caught:
        layer.weight = layer.weight * 2
    assert _without_where(caught.value) == (
        "Linear: attribute weight is a Parameter, the new value is a plain Tensor\n"
        "  why:   the module would lose a parameter without a word\n"
        "  do:    assign nn.Parameter(...), or change the values: module.weight.data = values"
    )
    layer.weight = nn.Parameter(layer.weight.detach() * 2)
    assert len(list(layer.parameters())) == 2


def test_names_of_parts_must_be_new_and_without_dots() -> None:
    net = Net()
    net.add_module("extra", nn.Identity())
    net.register_parameter("gain", None)
    assert net.gain is None
    with pytest.raises(jitgrad.ArgumentError) as caught:
        net.register_buffer("out", jitgrad.ones(1))
    assert _without_where(caught.value) == (
        "Net: attribute out exists already\n"
        "  do:    choose another name, or assign to the attribute to replace it"
    )
    with pytest.raises(jitgrad.ArgumentError) as caught:
        net.add_module("a.b", nn.Identity())
    assert _without_where(caught.value) == (
        "Net: 'a.b' can't be the name of a part of a module\n"
        "  why:   dots separate the names of modules inside modules"
    )


def test_a_module_without_forward_says_so() -> None:
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty has no forward: define forward\(self"):
        Empty()(1)


def test_only_floating_dtypes_suit_a_module() -> None:
    with pytest.raises(jitgrad.DtypeError) as caught:
        nn.Linear(2, 1).to(np.int64)
    assert _without_where(caught.value) == (
        "Module.to: int64 is not a floating dtype\n"
        "  why:   parameters must be able to have gradients"
    )


def test_repr_shows_the_modules_inside() -> None:
    assert repr(Net()) == (
        "Net(\n"
        "  (block): Block(\n"
        "    (inner): Linear(in_features=3, out_features=2, bias=True)\n"
        "  )\n"
        "  (out): Linear(in_features=2, out_features=1, bias=False)\n"
        ")"
    )
    assert repr(nn.Parameter([1.0])) == ("Parameter containing:\ntensor([1.], requires_grad=True)")


@pytest.mark.parametrize("how", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_has_parameters_of_its_own(how: Any) -> None:
    # at module level, so that pickle finds the class
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    net.eval()
    net(jitgrad.ones(1, 2)).sum().backward()
    other = how(net)
    assert not other.training
    for p, q in zip(net.parameters(), other.parameters(), strict=True):
        assert type(q) is nn.Parameter
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
        assert p.grad is not None
        assert q.grad is not None
        np.testing.assert_array_equal(p.grad.numpy(), q.grad.numpy())
        assert not np.shares_memory(p.detach().numpy(), q.detach().numpy())
    other(jitgrad.ones(1, 2)).sum().backward()


def test_a_parameter_is_a_leaf_in_the_memory_it_was_given() -> None:
    array = np.ones(3)
    p = nn.Parameter(array)
    assert p.requires_grad
    assert p.is_leaf
    assert p.dtype == np.float64
    assert np.shares_memory(p.detach().numpy(), array)
    source = jitgrad.ones(2, requires_grad=True) * 2
    assert nn.Parameter(source).is_leaf
    assert not nn.Parameter([1, 2], requires_grad=False).requires_grad
    with pytest.raises(jitgrad.DtypeError, match="can't have a gradient"):
        nn.Parameter([1, 2])


def _without_where(error: jitgrad.JitgradError) -> str:
    return "\n".join(n for n in str(error).splitlines() if not n.startswith("  where:"))
