"""What all optimizers share: groups of parameters, their state, and the step over them.

Whatever changes from step to step is a Tensor that is changed in place: the moments, the count of
steps, and the learning rate. So a compiled training step takes them as inputs and stays valid,
where a Python number would have been baked in.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, cast

import numpy as np

from jitgrad.core.errors import ArgumentError, DtypeError, GradientError, ShapeError
from jitgrad.ops.cast import convert
from jitgrad.tensor.modes import enable_grad, no_grad
from jitgrad.tensor.tensor import Tensor

State = dict[str, Tensor]
Parameters = Iterable[Tensor] | Iterable[Mapping[str, Any]] | Iterable[tuple[str, Tensor]]


def scalar(value: float) -> Tensor:
    """Return a 0-d float64 Tensor, which as an operand leaves the dtype of arrays as it is."""
    return Tensor(np.array(value, np.float64))


class ParamGroup(MutableMapping[str, Any]):
    """Parameters with the settings that hold for them; used like the dict that PyTorch has here.

    Parameters
    ----------
    settings : mapping
        ``"params"``, a list of Tensors, ``"lr"``, and the other settings by name.

    Attributes
    ----------
    params : list of Tensor
        Also under ``"params"``.
    states : list of dict
        What the optimizer keeps for each parameter.
    rate : Tensor, shape ()
        The learning rate as optimizers read it. What is set under ``"lr"`` is written into it,
        so that a schedule does not make a compiled step be compiled again. A Tensor given at
        first is used itself.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.params: list[Tensor] = settings["params"]
        self.states: list[State] = []
        given = settings["lr"]
        self._shows_tensor = isinstance(given, Tensor)
        self.rate: Tensor = given if isinstance(given, Tensor) else scalar(given)
        self._others = {k: v for k, v in settings.items() if k not in ("params", "lr")}

    def __getitem__(self, name: str) -> Any:
        if name == "params":
            return self.params
        if name == "lr":
            return self.rate if self._shows_tensor else float(self.rate)
        return self._others[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "params":
            raise ArgumentError(
                "the parameters of a group can't be replaced",
                why="the optimizer keeps a state for each of them",
                do="make a new optimizer, or call add_param_group",
            )
        if name == "lr":
            self.rate.data = scalar(float(value))
        else:
            self._others[name] = value

    def __delitem__(self, name: str) -> None:
        del self._others[name]

    def __iter__(self) -> Iterator[str]:
        return iter(["params", "lr", *self._others])

    def __len__(self) -> int:
        return 2 + len(self._others)

    def __repr__(self) -> str:
        return repr(dict(self))


class Optimizer:
    """Base of the optimizers: changes parameters in place so that a loss becomes smaller.

    A subclass says what it keeps for a parameter, `new_state`, and how it changes one,
    `update_parameter`.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        What to optimize: leaves that require gradients. A dict is a group: its ``"params"``, and
        settings that differ from `defaults`.
    defaults : mapping
        Settings of the groups that don't give their own.

    Attributes
    ----------
    param_groups : list of ParamGroup
        Each has ``"params"`` and the settings by name, which may be changed at any time.

    Raises
    ------
    ArgumentError
        If there is no parameter, or one occurs twice.
    DtypeError
        If something is not a Tensor.
    GradientError
        If a parameter is not a leaf.
    """

    def __init__(self, params: Parameters, defaults: Mapping[str, Any]) -> None:
        if isinstance(params, (Tensor, Mapping)):
            raise DtypeError(
                f"{type(self).__name__}: the parameters are a single {type(params).__name__}",
                why="what is expected is a list, or another iterable, of Tensors",
                do="put it into a list: [w]",
            )
        self.defaults = dict(defaults)
        self.param_groups: list[ParamGroup] = []
        given = list(params)
        if not given:
            raise ArgumentError(
                f"{type(self).__name__}: there are no parameters",
                why="the iterable is empty; a generator can be used only once",
                do="pass a list, or call module.parameters() anew",
            )
        if isinstance(given[0], Mapping):
            for group in given:
                self.add_param_group(cast(Mapping[str, Any], group))
        else:
            self.add_param_group({"params": given})

    @property
    def state(self) -> dict[Tensor, State]:
        """For each parameter a dict of Tensors, what is kept from step to step."""
        return {
            tensor: state
            for group in self.param_groups
            for tensor, state in zip(group.params, group.states, strict=True)
        }

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Optimize more parameters, with their own settings.

        Parameters
        ----------
        param_group : mapping
            ``"params"``, and the settings that differ from the defaults.

        Raises
        ------
        ArgumentError
            If a parameter is optimized already.
        """
        params = param_group["params"]
        listed = [params] if isinstance(params, Tensor) else list(params)
        tensors = [item[1] if isinstance(item, tuple) else item for item in listed]
        for place, tensor in enumerate(tensors):
            self._check_parameter(place, tensor)
        known = {id(tensor) for tensor in self.state}
        if len(known | {id(tensor) for tensor in tensors}) < len(known) + len(tensors):
            raise ArgumentError(
                f"{type(self).__name__}: a parameter occurs twice",
                why="it would be changed twice a step",
                do="put each parameter into one group, once",
            )
        group = ParamGroup({**self.defaults, **param_group, "params": tensors})
        self.check_settings(group)
        # Made now and not in the first step, which may be one that is being compiled.
        group.states = [self.new_state(tensor, group) for tensor in tensors]
        self.param_groups.append(group)

    def _check_parameter(self, place: int, tensor: Any) -> None:
        if not isinstance(tensor, Tensor):
            raise DtypeError(
                f"{type(self).__name__}: parameter {place} is of type {type(tensor).__name__}",
                why="only Tensors can be optimized",
            )
        if not tensor.is_leaf:
            raise GradientError(
                f"{type(self).__name__}: parameter {place}, of shape {tensor.shape}, is not a leaf",
                why="it was computed from other Tensors, and backward() fills .grad of leaves only",
                do="optimize what it was computed from, or a copy: x.detach().requires_grad_()",
            )

    def require(self, group: Mapping[str, Any], name: str, low: float, high: float) -> None:
        """Check that a setting is a number at least `low` and below `high`.

        Raises
        ------
        ArgumentError
            If it is not.
        """
        if not low <= float(group[name]) < high:
            limit = f" and below {high:g}" if high < float("inf") else ""
            raise ArgumentError(
                f"{type(self).__name__}: {name} is {float(group[name]):g}",
                why=f"it must be at least {low:g}{limit}",
            )

    # -- what a subclass defines --------------------------------------------------------

    def check_settings(self, group: ParamGroup) -> None:
        """Raise ArgumentError if the settings of `group` make no sense."""
        raise NotImplementedError

    def new_state(self, parameter: Tensor, group: ParamGroup) -> State:
        """Return what is kept for `parameter`, as before the first step."""
        raise NotImplementedError

    def update_parameter(
        self, parameter: Tensor, grad: Tensor, state: State, group: ParamGroup
    ) -> None:
        """Change `parameter` and `state` in place by one step; nothing is recorded."""
        raise NotImplementedError

    # -- what a user calls --------------------------------------------------------------

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Change every parameter that has a gradient by one step.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and calls backward; run first.

        Returns
        -------
        Tensor or None
            What `closure` returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                for parameter, state in zip(group.params, group.states, strict=True):
                    grad = parameter.grad
                    if grad is not None:
                        grad = -grad if group["maximize"] else grad
                        self.update_parameter(parameter, grad, state, group)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters.

        Parameters
        ----------
        set_to_none : bool
            Whether ``.grad`` becomes None, or zeros.
        """
        for group in self.param_groups:
            for parameter in group.params:
                if set_to_none:
                    parameter.grad = None
                elif parameter.grad is not None:
                    parameter.grad = Tensor.zeros_of(parameter.spec)

    def state_dict(self) -> dict[str, Any]:
        """Return the state and the settings, with numbers in place of the parameters.

        Returns
        -------
        dict
            ``"state"`` has a dict of Tensors for the number of each parameter; they share memory
            with the optimizer's. ``"param_groups"`` has the groups.
        """
        count = itertools.count()
        return {
            "state": {n: dict(state) for n, state in enumerate(self.state.values())},
            "param_groups": [
                {**group, "params": [next(count) for _ in group.params]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy the values of `state_dict` into the state, and take over the settings.

        Parameters
        ----------
        state_dict : mapping
            As of `state_dict`, of an optimizer of the same kind and as many parameters.

        Raises
        ------
        ArgumentError
            If the groups have other sizes.
        ShapeError
            If a Tensor has another shape. Nothing is changed then.
        """
        given = state_dict["param_groups"]
        sizes = [len(group.params) for group in self.param_groups]
        given_sizes = [len(group["params"]) for group in given]
        if sizes != given_sizes:
            raise ArgumentError(
                "load_state_dict: the state is not that of this optimizer",
                why=f"its groups have {given_sizes} parameters, the optimizer's have {sizes}",
            )
        numbers = [number for group in given for number in group["params"]]
        pairs: list[tuple[Tensor, Tensor]] = []
        for number, own in zip(numbers, self.state.values(), strict=True):
            for name, value in state_dict["state"].get(number, {}).items():
                if name not in own:
                    continue
                if value.shape != own[name].shape:
                    raise ShapeError(
                        f"load_state_dict: {name} of parameter {number} has shape {value.shape}",
                        why=f"the optimizer's has shape {own[name].shape}",
                    )
                pairs.append((own[name], value))
        for own_value, value in pairs:
            own_value.data = convert(value.detach(), own_value.dtype)
        for group, settings in zip(self.param_groups, given, strict=True):
            group.update({k: v for k, v in settings.items() if k != "params"})

    def __repr__(self) -> str:
        lines = []
        for number, group in enumerate(self.param_groups):
            settings = (f"    {name}: {group[name]}" for name in sorted(group) if name != "params")
            lines.append("\n".join([f"  group {number}", *settings]))
        return f"{type(self).__name__} (\n" + "\n".join(lines) + "\n)"
