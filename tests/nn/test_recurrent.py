"""Layers that go through a sequence do what their formulas say, eager and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, ShapeError, nn
from jitgrad.testing import assert_close, check_grads

X = np.random.default_rng(0).normal(size=(5, 2, 3))


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _rnn(given: Any, own: Any, state: Any) -> Any:
    return (np.tanh(given + own),)


def _gru(given: Any, own: Any, state: Any) -> Any:
    (r, z, n), (own_r, own_z, own_n) = np.split(given, 3, -1), np.split(own, 3, -1)
    share = _sigmoid(z + own_z)
    return ((1 - share) * np.tanh(n + _sigmoid(r + own_r) * own_n) + share * state[0],)


def _lstm(given: Any, own: Any, state: Any) -> Any:
    write, keep, new, show = np.split(given + own, 4, -1)
    memory = _sigmoid(keep) * state[1] + _sigmoid(write) * np.tanh(new)
    return _sigmoid(show) * np.tanh(memory), memory


STEPS: dict[type[Any], Callable[[Any, Any, Any], Any]] = {
    nn.RNN: _rnn, nn.GRU: _gru, nn.LSTM: _lstm
}  # fmt: skip


def _expected(layer: Any, x: Any, state: Any) -> tuple[Any, Any]:
    """Return outputs, and last states by layer and direction, by the formulas."""
    weights = {name: p.detach().numpy() for name, p in layer.named_parameters()}
    ends = []
    for k in range(layer.num_layers):
        found = []
        for suffix in ("", "_reverse")[: 1 + layer.bidirectional]:
            own = [part[len(ends)] for part in state]
            outputs = []
            for row in x[::-1] if suffix else x:
                given = row @ weights[f"weight_ih_l{k}{suffix}"].T
                more = own[0] @ weights[f"weight_hh_l{k}{suffix}"].T
                given = given + weights.get(f"bias_ih_l{k}{suffix}", 0.0)
                more = more + weights.get(f"bias_hh_l{k}{suffix}", 0.0)
                own = STEPS[type(layer)](given, more, own)
                outputs.append(own[0])
            found.append(np.stack(outputs[::-1] if suffix else outputs))
            ends.append(own)
        x = np.concatenate(found, -1)
    return x, [np.stack(part) for part in zip(*ends, strict=True)]


@pytest.mark.parametrize("kind", STEPS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("settings", [{}, {"num_layers": 2, "bidirectional": True, "bias": False}])
def test_a_layer_follows_its_formula(kind: Any, settings: dict[str, Any]) -> None:
    layer = kind(3, 4, **settings).double()
    parts = 2 if kind is nn.LSTM else 1
    count = 4 if settings else 1
    state = np.random.default_rng(1).normal(size=(parts, count, 2, 4))

    def run(x: Any, state: Any) -> Any:
        outputs, ends = layer(x, (state[0], state[1]) if parts == 2 else state[0])
        return outputs, ends if parts == 2 else (ends,)

    for function in (run, jitgrad.compile(run)):
        outputs, ends = function(jitgrad.tensor(X), jitgrad.tensor(state))
        wanted, last = _expected(layer, X, state)
        assert_close(outputs, wanted)
        for found, end in zip(ends, last, strict=True):
            assert_close(found, end)
    if not settings:
        check_grads(run, (X, state), order=1)


def test_axes_of_sequences_and_states_that_are_not_given() -> None:
    layer = nn.LSTM(3, 4, batch_first=True).double()
    outputs, (state, memory) = layer(jitgrad.tensor(X.swapaxes(0, 1)))
    assert outputs.shape == (2, 5, 4)
    assert state.shape == memory.shape == (1, 2, 4)
    assert_close(outputs[:, -1], state[0])
    alone, (last, _) = layer(jitgrad.tensor(X[:, 0]))
    assert last.shape == (1, 4)
    assert_close(alone, outputs[0])


def test_all_parameters_are_trained_and_named_as_in_pytorch() -> None:
    layer = nn.GRU(3, 4, 2, bidirectional=True)
    assert repr(layer) == "GRU(3, 4, num_layers=2, bidirectional=True)"
    layer(jitgrad.ones(5, 2, 3))[0].sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
    names = list(layer.state_dict())
    assert names[:4] == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    assert names[-1] == "bias_hh_l1_reverse"
    assert layer.weight_ih_l1.shape == (12, 8)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="must have size 3"):
        nn.RNN(3, 4)(jitgrad.ones(5, 2, 2))
    with pytest.raises(ArgumentError, match="nonlinearity is 'sin'"):
        nn.RNN(3, 4, nonlinearity="sin")
    with pytest.raises(ArgumentError, match="num_layers is 0"):
        nn.GRU(3, 4, 0)
