"""Modules that hold others, or parameters, in an order or by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, cast, overload

from jitgrad.core.errors import DtypeError, IndexingError
from jitgrad.nn.module import Module
from jitgrad.nn.parameter import Parameter

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike


def _check_module(container: Module, module: object) -> None:
    if not isinstance(module, Module):
        raise DtypeError(
            f"{type(container).__name__}: {type(module).__name__} is not a Module",
            why="its parameters could not be found",
            do="wrap a function in a Module whose forward calls it",
        )


def _place(container: Module, index: int, length: int) -> int:
    """Return `index`, counted from the end where negative, as one from the beginning.

    Raises
    ------
    IndexingError
        If it lies outside.
    """
    if not -length <= index < length:
        raise IndexingError(
            f"{type(container).__name__}: index {index} is out of range",
            why=f"there are {length} entries",
        )
    return index % length


class _ModuleSequence(Module):
    """Modules in an order, counted from 0."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self._entries: list[Module] = []
        self.extend(modules)

    def _names(self) -> Iterable[str]:
        return map(str, range(len(self._entries)))

    def _members(self) -> Iterator[tuple[str, Any]]:
        yield from super()._members()
        yield from zip(self._names(), self._entries, strict=True)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._entries)

    @overload
    def __getitem__(self, index: int) -> Module: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> Module | Self:
        if isinstance(index, slice):
            return self._part(index)
        return self._entries[_place(self, index, len(self))]

    def _part(self, places: slice) -> Self:
        picked = type(self)()
        picked._entries = self._entries[places]
        return picked

    def __setitem__(self, index: int, module: Module) -> None:
        _check_module(self, module)
        self._entries[_place(self, index, len(self))] = module

    def append(self, module: Module) -> Self:
        """Add a module at the end.

        Parameters
        ----------
        module : Module
            What to add.

        Returns
        -------
        Module
            Itself.
        """
        _check_module(self, module)
        self._entries.append(module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end.

        Parameters
        ----------
        modules : iterable of Module
            What to add.

        Returns
        -------
        Module
            Itself.
        """
        for module in modules:
            self.append(module)
        return self


class Sequential(_ModuleSequence):
    """Modules that are called one after another, each on what the one before returned.

    Parameters
    ----------
    *modules : Module, or one dict of str to Module
        In order of the calls; a dict gives them names instead of numbers, under which they are
        also attributes.

    Examples
    --------
    >>> from jitgrad import nn
    >>> nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    Sequential(
      (0): Linear(in_features=2, out_features=8, bias=True)
      (1): Tanh()
      (2): Linear(in_features=8, out_features=1, bias=True)
    )
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        first = modules[0] if len(modules) == 1 else None
        named = first if isinstance(first, Mapping) else {}
        super().__init__(named.values() if named else cast(tuple[Module, ...], modules))
        for name in named:
            self._check_new(name)
        self._given_names = list(named)

    def _names(self) -> Iterable[str]:
        given = self._given_names
        return [*given, *map(str, range(len(given), len(self._entries)))]

    def _part(self, places: slice) -> Self:
        picked = super()._part(places)
        if self._given_names:
            picked._given_names = list(self._names())[places]
        return picked

    def __getattr__(self, name: str) -> Any:
        # Called only for what is no attribute. A copy in the making has no entries yet.
        names = vars(self).get("_given_names", ())
        if name in names:
            return self._entries[names.index(name)]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def forward(self, x: Any) -> Any:
        """Return what the last module makes of what the others made of `x`."""
        for module in self._entries:
            x = module(x)
        return x


class ModuleList(_ModuleSequence):
    """A list of modules, whose parameters are found.

    Parameters
    ----------
    modules : iterable of Module
        What it holds at first.

    Examples
    --------
    >>> from jitgrad import nn
    >>> layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    >>> len(list(layers.parameters()))
    6
    """

    def __delitem__(self, index: int) -> None:
        del self._entries[_place(self, index, len(self))]

    def insert(self, index: int, module: Module) -> None:
        """Add a module before the one at a place.

        Parameters
        ----------
        index : int
            The place, as for a list.
        module : Module
            What to add.
        """
        _check_module(self, module)
        self._entries.insert(index, module)


class ModuleDict(Module):
    """Modules by name, whose parameters are found.

    Parameters
    ----------
    modules : mapping of str to Module
        What it holds at first.

    Examples
    --------
    >>> from jitgrad import nn
    >>> choices = nn.ModuleDict({"relu": nn.ReLU(), "tanh": nn.Tanh()})
    >>> choices["relu"]
    ReLU()
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self._entries: dict[str, Module] = {}
        self.update(modules or {})

    def _members(self) -> Iterator[tuple[str, Any]]:
        yield from super()._members()
        yield from self._entries.items()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> Module:
        return self._entries[name]

    def __setitem__(self, name: str, module: Module) -> None:
        if name not in self._entries:
            self._check_new(name)
        _check_module(self, module)
        self._entries[name] = module

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def keys(self) -> Iterable[str]:
        """Return the names, in the order in which they were added."""
        return self._entries.keys()

    def values(self) -> Iterable[Module]:
        """Return the modules, in the order in which they were added."""
        return self._entries.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Return the names with the modules, in the order in which they were added."""
        return self._entries.items()

    def update(self, modules: Mapping[str, Module]) -> None:
        """Add modules, or replace those whose names exist.

        Parameters
        ----------
        modules : mapping of str to Module
            What to add.
        """
        for name, module in modules.items():
            self[name] = module


class ParameterList(Module):
    """A list of parameters that a module's `parameters` finds.

    Parameters
    ----------
    values : iterable of array_like
        What it holds at first; whatever is no Parameter becomes one.

    Examples
    --------
    >>> import jitgrad
    >>> weights = jitgrad.nn.ParameterList([jitgrad.zeros(2), jitgrad.ones(3)])
    >>> [w.shape for w in weights]
    [(2,), (3,)]
    """

    def __init__(self, values: Iterable[ArrayLike] = ()) -> None:
        super().__init__()
        self._entries: list[Parameter] = []
        self.extend(values)

    def _members(self) -> Iterator[tuple[str, Any]]:
        yield from super()._members()
        yield from ((str(place), entry) for place, entry in enumerate(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._entries)

    def __getitem__(self, index: int) -> Parameter:
        return self._entries[_place(self, index, len(self))]

    def __setitem__(self, index: int, value: ArrayLike) -> None:
        self._entries[_place(self, index, len(self))] = _as_parameter(value)

    def append(self, value: ArrayLike) -> Self:
        """Add a parameter at the end.

        Parameters
        ----------
        value : array_like
            What to add; it becomes a Parameter if it is none.

        Returns
        -------
        ParameterList
            Itself.
        """
        self._entries.append(_as_parameter(value))
        return self

    def extend(self, values: Iterable[ArrayLike]) -> Self:
        """Add parameters at the end.

        Parameters
        ----------
        values : iterable of array_like
            What to add.

        Returns
        -------
        ParameterList
            Itself.
        """
        for value in values:
            self.append(value)
        return self

    def extra_repr(self) -> str:
        """Return a line for each parameter."""
        return "\n".join(
            f"({place}): Parameter of shape {entry.shape}, {entry.dtype}"
            for place, entry in enumerate(self._entries)
        )


def _as_parameter(value: ArrayLike) -> Parameter:
    if isinstance(value, Parameter):
        return value
    return Parameter(value)
