"""Layers that go through a sequence and remember: plain, gated, with long and short memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy.typing as npt

from jitgrad.control.loops import scan
from jitgrad.core.errors import ArgumentError, ShapeError
from jitgrad.nn.init import uniform_
from jitgrad.nn.module import Module
from jitgrad.nn.parameter import Parameter
from jitgrad.ops.activations import linear, relu
from jitgrad.ops.creation import zeros
from jitgrad.ops.exponential import sigmoid, tanh
from jitgrad.ops.joining import cat, chunk, stack
from jitgrad.ops.rearranging import movedim
from jitgrad.tensor.tensor import box_tensor

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


class _Recurrent(Module):
    """What the layers share; parameters as in PyTorch."""

    gates: ClassVar[int]
    parts: ClassVar[int] = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        bidirectional: bool = False,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ArgumentError(f"{type(self).__name__}: num_layers is {num_layers}")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.bidirectional = bidirectional
        rows = self.gates * hidden_size
        for layer, suffix in self._places():
            inner = hidden_size * (1 + bidirectional)
            columns = input_size if layer == 0 else inner
            setattr(self, f"weight_ih{suffix}", Parameter(zeros(rows, columns, dtype=dtype)))
            setattr(self, f"weight_hh{suffix}", Parameter(zeros(rows, hidden_size, dtype=dtype)))
            if bias:
                setattr(self, f"bias_ih{suffix}", Parameter(zeros(rows, dtype=dtype)))
                setattr(self, f"bias_hh{suffix}", Parameter(zeros(rows, dtype=dtype)))
        self.reset_parameters()

    def _places(self) -> list[tuple[int, str]]:
        """Return number and suffix of the parameters for each layer and direction."""
        directions = ("", "_reverse") if self.bidirectional else ("",)
        return [(k, f"_l{k}{d}") for k in range(self.num_layers) for d in directions]

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size else 0.0
        for parameter in self.parameters():
            uniform_(parameter, -bound, bound)

    def _step(self, given: Any, remembered: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the next state, of which the first part is the output.

        `given` is what the input contributes, `remembered` what the state does.
        """
        raise NotImplementedError

    def _run(self, x: ArrayLike, state: tuple[Any, ...] | None) -> tuple[Any, list[Any]]:
        """Return outputs and last states, the latter stacked over layers and directions."""
        value: Any = box_tensor(x)
        if value.ndim not in (2, 3) or value.shape[-1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__}: an input of shape {tuple(value.shape)}",
                why=f"the last of two or three axes must have size {self.input_size}",
            )
        turned = self.batch_first and value.ndim == 3
        value = movedim(value, 0, 1) if turned else value
        places = self._places()
        if state is None:
            shape = (len(places), *value.shape[1:-1], self.hidden_size)
            state = (zeros(shape, dtype=value.dtype),) * self.parts
        last: list[tuple[Any, ...]] = []
        for layer in range(self.num_layers):
            found = []
            for number, (own, suffix) in enumerate(places):
                if own == layer:
                    first = tuple([part[number] for part in state])
                    outputs, end = self._direction(value, suffix, first)
                    found.append(outputs)
                    last.append(end)
            value = found[0] if len(found) == 1 else cat(found, -1)
        ends = [stack([end[k] for end in last]) for k in range(self.parts)]
        return movedim(value, 0, 1) if turned else value, ends

    def _direction(self, x: Any, suffix: str, first: tuple[Any, ...]) -> tuple[Any, Any]:
        """Return the outputs of one layer in one direction, and its last state."""
        weight, matrix = getattr(self, f"weight_ih{suffix}"), getattr(self, f"weight_hh{suffix}")
        biases = [getattr(self, f"bias_{of}{suffix}") if self.bias else None for of in ("ih", "hh")]
        # What the inputs contribute is one product of matrices for all steps.
        given = linear(x, weight, biases[0])

        def step(state: Any, part: Any) -> tuple[Any, Any]:
            new = self._step(part, linear(state[0], matrix, biases[1]), state)
            return new, new[0]

        end, outputs = scan(step, first, given, reverse=suffix.endswith("_reverse"))
        return outputs, end

    def extra_repr(self) -> str:
        """Return the sizes and what differs from the defaults."""
        shown = f"{self.input_size}, {self.hidden_size}"
        if self.num_layers != 1:
            shown += f", num_layers={self.num_layers}"
        for name, usual in (("bias", True), ("batch_first", False), ("bidirectional", False)):
            if getattr(self, name) != usual:
                shown += f", {name}={not usual}"
        return shown


class RNN(_Recurrent):
    """Goes through a sequence; each state is a function of the input and of the state before.

    Parameters
    ----------
    input_size : int
        Size of the last axis of the input.
    hidden_size : int
        Size of a state.
    num_layers : int
        How many layers, each of which goes through the states of the one before.
    nonlinearity : {"tanh", "relu"}
        The function.
    bias : bool
        Whether there are summands.
    batch_first : bool
        Whether the axis of sequences comes before that of steps.
    bidirectional : bool
        Whether each layer goes through its input backwards, too.
    dtype : dtype_like, optional
        Dtype of the parameters; the default dtype where not given.

    Raises
    ------
    ArgumentError
        If there is no such function, or no layer.

    Examples
    --------
    >>> import jitgrad
    >>> outputs, last = jitgrad.nn.RNN(3, 4)(jitgrad.ones(7, 2, 3))
    >>> outputs.shape, last.shape
    ((7, 2, 4), (1, 2, 4))
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        bidirectional: bool = False,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(
                f"RNN: nonlinearity is {nonlinearity!r}", do="pass 'tanh' or 'relu'"
            )
        self.nonlinearity = nonlinearity
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, bidirectional, dtype
        )

    def _step(self, given: Any, remembered: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        total = given + remembered
        return (tanh(total) if self.nonlinearity == "tanh" else relu(total),)

    def forward(self, x: ArrayLike, state: ArrayLike | None = None) -> tuple[Tensor, Tensor]:
        """Return the states of the last layer at all steps, and the last ones of all layers."""
        outputs, ends = self._run(x, None if state is None else (box_tensor(state),))
        return outputs, ends[0]


class GRU(_Recurrent):
    """Goes through a sequence; gates decide how much of a state is kept [1]_.

    Parameters
    ----------
    input_size : int
        Size of the last axis of the input.
    hidden_size : int
        Size of a state.
    num_layers : int
        How many layers, each of which goes through the states of the one before.
    bias : bool
        Whether there are summands.
    batch_first : bool
        Whether the axis of sequences comes before that of steps.
    bidirectional : bool
        Whether each layer goes through its input backwards, too.
    dtype : dtype_like, optional
        Dtype of the parameters; the default dtype where not given.

    References
    ----------
    .. [1] K. Cho et al., Learning phrase representations using RNN encoder-decoder,
       arXiv:1406.1078 (2014).
    """

    gates = 3

    def _step(self, given: Any, remembered: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        reset, keep, new = chunk(given, 3, -1)
        own_reset, own_keep, own_new = chunk(remembered, 3, -1)
        share: Any = sigmoid(keep + own_keep)
        proposed: Any = tanh(new + sigmoid(reset + own_reset) * own_new)
        return ((1 - share) * proposed + share * state[0],)

    def forward(self, x: ArrayLike, state: ArrayLike | None = None) -> tuple[Tensor, Tensor]:
        """Return the states of the last layer at all steps, and the last ones of all layers."""
        outputs, ends = self._run(x, None if state is None else (box_tensor(state),))
        return outputs, ends[0]


class LSTM(_Recurrent):
    """Goes through a sequence, with a memory that gates write to and read from [1]_.

    Parameters
    ----------
    input_size : int
        Size of the last axis of the input.
    hidden_size : int
        Size of a state.
    num_layers : int
        How many layers, each of which goes through the states of the one before.
    bias : bool
        Whether there are summands.
    batch_first : bool
        Whether the axis of sequences comes before that of steps.
    bidirectional : bool
        Whether each layer goes through its input backwards, too.
    dtype : dtype_like, optional
        Dtype of the parameters; the default dtype where not given.

    References
    ----------
    .. [1] S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997),
       1735-1780.
    """

    gates = 4
    parts = 2

    def _step(self, given: Any, remembered: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        write, keep, new, show = chunk(given + remembered, 4, -1)
        memory = sigmoid(keep) * state[1] + sigmoid(write) * tanh(new)
        return sigmoid(show) * tanh(memory), memory

    def forward(
        self, x: ArrayLike, state: tuple[ArrayLike, ArrayLike] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the states of the last layer at all steps, and last states and memories of all."""
        given = None if state is None else tuple([box_tensor(part) for part in state])
        outputs, ends = self._run(x, given)
        return outputs, (ends[0], ends[1])
