"""The Module: a function with parameters, that finds the parameters of what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self, TypeVar

import numpy.typing as npt

from jitgrad.core.dtypes import as_dtype, float32, float64, is_floating
from jitgrad.core.errors import ArgumentError, DtypeError, ShapeError
from jitgrad.nn.parameter import Parameter
from jitgrad.ops.cast import convert
from jitgrad.syntax.calls import callee
from jitgrad.tensor.tensor import Tensor

T = TypeVar("T")


class IncompatibleKeys(NamedTuple):
    """The names in which a state and a module differ.

    Parameters
    ----------
    missing_keys : list of str
        Names that the module has and the state lacks.
    unexpected_keys : list of str
        Names that the state has and the module lacks.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


def _no_forward(self: Module, *args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError(
        f"{type(self).__name__} has no forward: define forward(self, ...), which is what calling"
        " the module does"
    )


class Module:
    """Base of everything that has parameters: layers, losses, whole networks.

    A subclass sets Parameters and other Modules as attributes and defines ``forward``, which is
    what calling the module does. They are ordinary attributes: the module finds its parameters by
    looking through them, in the order in which they were set.

    Attributes
    ----------
    training : bool
        Whether the module behaves as in training (dropout drops); set by `train` and `eval`.

    Examples
    --------
    >>> import jitgrad
    >>> from jitgrad import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = nn.Linear(4, 8)
    ...         self.output = nn.Linear(8, 1)
    ...
    ...     def forward(self, x):
    ...         return self.output(jitgrad.tanh(self.hidden(x)))
    >>> net = Net()
    >>> net(jitgrad.ones(10, 4)).shape
    (10, 1)
    >>> [name for name, _ in net.named_parameters()]
    ['hidden.weight', 'hidden.bias', 'output.weight', 'output.bias']
    """

    training: bool = True
    # For each buffer, whether it is part of the state.
    _persistence: Mapping[str, bool] = {}

    forward: Callable[..., Any] = _no_forward

    def __init__(self) -> None:
        self.training = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what ``forward`` makes of the arguments."""
        return callee(self.forward)(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        replaced = isinstance(vars(self).get(name), Parameter) and isinstance(value, Tensor)
        if replaced and not isinstance(value, Parameter):
            raise DtypeError(
                f"{type(self).__name__}: attribute {name} is a Parameter, the new value is a"
                " plain Tensor",
                why="the module would lose a parameter without a word",
                do=f"assign nn.Parameter(...), or change the values: module.{name}.data = values",
            )
        # A compiled function checks attributes that are there, so this one must be from the start,
        # even where a subclass forgets to call super().__init__().
        vars(self).setdefault("training", True)
        super().__setattr__(name, value)

    # -- what it is made of -------------------------------------------------------------

    def _members(self) -> Iterator[tuple[str, Any]]:
        """Yield the names and values among which the module's own parameters are."""
        yield from vars(self).items()

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Return an iterator over the modules directly in this one, each once, with their names.

        Returns
        -------
        iterator of (str, Module)
            In the order in which they were set.
        """
        return _once((n, m) for n, m in self._members() if isinstance(m, Module))

    def children(self) -> Iterator[Module]:
        """Return an iterator over the modules directly in this one.

        Returns
        -------
        iterator of Module
            Each once.
        """
        return (child for _, child in self.named_children())

    def named_modules(
        self, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Return an iterator over this module and all inside it, with their dotted names.

        Parameters
        ----------
        prefix : str
            Name of this module, put before the others'.
        remove_duplicate : bool
            Whether a module that occurs in several places comes once.

        Returns
        -------
        iterator of (str, Module)
            This one first; each before those inside it.
        """
        found = self._walk(prefix)
        return _once(found) if remove_duplicate else found

    def _walk(self, prefix: str) -> Iterator[tuple[str, Module]]:
        yield prefix, self
        for name, member in self._members():
            if isinstance(member, Module):
                yield from member._walk(_joined(prefix, name))

    def modules(self) -> Iterator[Module]:
        """Return an iterator over this module and all inside it.

        Returns
        -------
        iterator of Module
            Each once.
        """
        return (module for _, module in self.named_modules())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Return an iterator over the parameters with their dotted names.

        Parameters
        ----------
        prefix : str
            Put before the names.
        recurse : bool
            Whether to include those of the modules inside.
        remove_duplicate : bool
            Whether a parameter that occurs in several places comes once.

        Returns
        -------
        iterator of (str, Parameter)
            In the order in which they were set.
        """
        found = (
            (_joined(path, name), member)
            for path, module in self._holders(prefix, recurse)
            for name, member in module._members()
            if isinstance(member, Parameter)
        )
        return _once(found) if remove_duplicate else found

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Return an iterator over the parameters.

        Parameters
        ----------
        recurse : bool
            Whether to include those of the modules inside.

        Returns
        -------
        iterator of Parameter
            Each once.
        """
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Return an iterator over the buffers with their dotted names.

        Parameters
        ----------
        prefix : str
            Put before the names.
        recurse : bool
            Whether to include those of the modules inside.
        remove_duplicate : bool
            Whether a buffer that occurs in several places comes once.

        Returns
        -------
        iterator of (str, Tensor)
            In the order in which they were registered.
        """
        found = (
            (_joined(path, name), getattr(module, name))
            for path, module in self._holders(prefix, recurse)
            for name in module._persistence
            if getattr(module, name) is not None
        )
        return _once(found) if remove_duplicate else found

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Return an iterator over the buffers.

        Parameters
        ----------
        recurse : bool
            Whether to include those of the modules inside.

        Returns
        -------
        iterator of Tensor
            Each once.
        """
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _holders(self, prefix: str, recurse: bool) -> Iterator[tuple[str, Module]]:
        return self._walk(prefix) if recurse else iter([(prefix, self)])

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Set an attribute that belongs to the module's state but is not trained.

        Parameters
        ----------
        name : str
            Name of the attribute.
        tensor : Tensor or None
            Its value; None for one that may come later.
        persistent : bool
            Whether `state_dict` includes it.

        Raises
        ------
        ArgumentError
            If the name is taken, or can't be an attribute's.
        """
        self._check_new(name)
        vars(self)["_persistence"] = {**self._persistence, name: persistent}
        setattr(self, name, tensor)

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Set an attribute that is trained; the same as setting it.

        Parameters
        ----------
        name : str
            Name of the attribute.
        parameter : Parameter or None
            Its value; None for one that this module does without.

        Raises
        ------
        ArgumentError
            If the name is taken, or can't be an attribute's.
        """
        self._check_new(name)
        setattr(self, name, parameter)

    def add_module(self, name: str, module: Module | None) -> None:
        """Set an attribute that is a module; the same as setting it.

        Parameters
        ----------
        name : str
            Name of the attribute.
        module : Module or None
            Its value.

        Raises
        ------
        ArgumentError
            If the name is taken, or can't be an attribute's.
        """
        self._check_new(name)
        setattr(self, name, module)

    def _check_new(self, name: str) -> None:
        if not name or "." in name:
            raise ArgumentError(
                f"{type(self).__name__}: {name!r} can't be the name of a part of a module",
                why="dots separate the names of modules inside modules",
            )
        if hasattr(self, name):
            raise ArgumentError(
                f"{type(self).__name__}: attribute {name} exists already",
                do="choose another name, or assign to the attribute to replace it",
            )

    # -- state --------------------------------------------------------------------------

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """Return the parameters and persistent buffers by name.

        Parameters
        ----------
        prefix : str
            Put before each name as it is; PyTorch has the dot in it: ``"encoder."``.

        Returns
        -------
        dict of str to Tensor
            They share memory with the module's; copy them to keep a state that training has
            left behind.
        """
        return {prefix + name: value.detach() for name, value in self._state()}

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        for path, module in self._walk(""):
            for name, member in module._members():
                if isinstance(member, Parameter):
                    yield _joined(path, name), member
            for name, persistent in module._persistence.items():
                buffer: Tensor | None = getattr(module, name)
                if persistent and buffer is not None:
                    yield _joined(path, name), buffer

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy the values of `state_dict` into the parameters and buffers.

        Parameters
        ----------
        state_dict : mapping of str to array_like
            As of `state_dict`.
        strict : bool
            Whether its names must be those of this module.

        Returns
        -------
        IncompatibleKeys
            The names that only one of the two has; empty when `strict`.

        Raises
        ------
        ArgumentError
            If `strict` and the names differ.
        ShapeError
            If a value has another shape than the module's. Nothing is changed then.
        """
        own = dict(self._state())
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        if strict and (missing or unexpected):
            raise ArgumentError(
                "load_state_dict: the state is not that of this module",
                why=_difference(missing, unexpected),
                do="pass strict=False to load the names that both have",
            )
        values = {
            name: value if isinstance(value, Tensor) else Tensor(value)
            for name, value in state_dict.items()
            if name in own
        }
        for name, value in values.items():
            if value.shape != own[name].shape:
                raise ShapeError(
                    f"load_state_dict: {name} has shape {value.shape} in the state",
                    why=f"the module's has shape {own[name].shape}",
                )
        for name, value in values.items():
            own[name].data = convert(value.detach(), own[name].dtype)
        return IncompatibleKeys(missing, unexpected)

    # -- changing all of it -------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Make this module and those inside it behave as in training, or not.

        Parameters
        ----------
        mode : bool
            The value of ``training``.

        Returns
        -------
        Module
            Itself.
        """
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Make this module and those inside it behave as in use: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set whether the parameters are trained.

        Parameters
        ----------
        requires_grad : bool
            Whether operations on them are recorded.

        Returns
        -------
        Module
            Itself.
        """
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters.

        Parameters
        ----------
        set_to_none : bool
            Whether ``.grad`` becomes None, or zeros.
        """
        for parameter in self.parameters():
            forget_gradient(parameter, set_to_none)

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Call `fn` on every module inside this one, and last on this one.

        Parameters
        ----------
        fn : callable
            Takes a Module; what it returns is ignored.

        Returns
        -------
        Module
            Itself.
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def to(self, dtype: npt.DTypeLike) -> Self:
        """Give parameters and floating buffers another dtype.

        The parameters stay the same objects. Make optimizers afterwards: their state has the
        dtype that the parameters have then.

        Parameters
        ----------
        dtype : dtype_like
            A floating dtype.

        Returns
        -------
        Module
            Itself.

        Raises
        ------
        DtypeError
            If the dtype is not floating.
        """
        wanted = as_dtype(dtype)
        if not is_floating(wanted):
            raise DtypeError(
                f"Module.to: {wanted} is not a floating dtype",
                why="parameters must be able to have gradients",
            )
        for module in self.modules():
            for _, member in module._members():
                if isinstance(member, Parameter) and is_floating(member.dtype):
                    member.convert_(wanted)
            for name in module._persistence:
                buffer: Tensor | None = getattr(module, name)
                if buffer is not None and is_floating(buffer.dtype):
                    setattr(module, name, convert(buffer.detach(), wanted))
        return self

    def float(self) -> Self:
        """Give parameters and floating buffers the dtype float32; see `to`."""
        return self.to(float32)

    def double(self) -> Self:
        """Give parameters and floating buffers the dtype float64; see `to`."""
        return self.to(float64)

    # -- text ---------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """Return what stands between the parentheses of ``repr(module)``."""
        return ""

    def __repr__(self) -> str:
        name, extra = type(self).__name__, self.extra_repr()
        lines = extra.splitlines()
        for key, member in self._members():
            if isinstance(member, Module):
                lines.append(f"({key}): " + repr(member).replace("\n", "\n  "))
        if not lines or lines == [extra]:
            return f"{name}({extra})"
        return f"{name}(\n  " + "\n  ".join(lines) + "\n)"


def forget_gradient(tensor: Tensor, set_to_none: bool) -> None:
    """Make ``tensor.grad`` None, or zeros where it is something."""
    if set_to_none:
        tensor.grad = None
    elif tensor.grad is not None:
        tensor.grad = Tensor.zeros_of(tensor.spec)


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _once(items: Iterator[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    seen: set[int] = set()
    for name, item in items:
        if id(item) not in seen:
            seen.add(id(item))
            yield name, item


def _difference(missing: list[str], unexpected: list[str]) -> str:
    parts = [
        f"{which}: {', '.join(names)}"
        for which, names in (("missing", missing), ("unexpected", unexpected))
        if names
    ]
    return "; ".join(parts)
