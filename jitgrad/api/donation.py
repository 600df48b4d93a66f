"""Arguments that a compiled function may overwrite: its results are made in their memory."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from jitgrad.api.apart import any_shared
from jitgrad.api.compile import CompiledFunction, LeftToPython
from jitgrad.api.titles import title_of
from jitgrad.core.errors import ArgumentError
from jitgrad.core.tree import Tree, flatten, unflatten
from jitgrad.ir.graph import Value
from jitgrad.runtime.variant import Variant
from jitgrad.tensor.tensor import Tensor
from jitgrad.trace.capture import Source

# To use smaller arrays again costs as much as to make new ones.
_LEAST_BYTES = 1 << 14

# What `donate` may be: names of parameters, numbers of positional arguments, or one of these.
Donated = str | int | Iterable[str | int]


class SpentMemory:
    """In place of the elements of a Tensor that was donated: whatever asks for them is told so.

    Parameters
    ----------
    title : str
        The function that it was donated to.
    """

    def __init__(self, title: str) -> None:
        self._title = title

    def __getattr__(self, name: str) -> Any:
        raise ArgumentError(
            f"Tensor: its memory was donated to {self._title}",
            why="the function makes its results in the memory of arguments that donate= names",
            do="use the result instead, or pass a clone()",
        )

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return self.shape


class Donation:
    """Which arguments of a function are donated.

    Parameters
    ----------
    function : callable
        The plain function.
    title : str
        What errors call it.
    donated : str, int or sequence of these
        Parameters, or numbers of positional arguments.

    Raises
    ------
    ArgumentError
        If there is no such parameter.
    """

    def __init__(self, function: Callable[..., Any], title: str, donated: Donated) -> None:
        self.title = title
        self.memory = SpentMemory(title)
        listed = [donated] if isinstance(donated, (str, int)) else list(donated)
        parameters = list(inspect.signature(function).parameters.values())
        names = [p.name for p in parameters]
        positional = [
            p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        more = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        # Each by its number among positional arguments and by its name; one of them may be absent.
        self.places: list[tuple[int | None, str]] = []
        for place in listed:
            if isinstance(place, str) and place in names:
                number = positional.index(place) if place in positional else None
                self.places.append((number, place))
            elif type(place) is int and 0 <= place < (len(positional) if not more else place + 1):
                name = positional[place] if place < len(positional) else ""
                self.places.append((place, name))
            else:
                raise ArgumentError(
                    f"compile: donate names {place!r}, which is no argument of {title}",
                    why=f"its parameters are {', '.join(names) or 'none'}",
                )

    def chosen(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Return the leaves of the donated arguments of a call."""
        found = []
        for number, name in self.places:
            if number is not None and number < len(args):
                found.append(args[number])
            elif name in kwargs:
                found.append(kwargs[name])
        return flatten(found)[0]

    def check_apart(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Return the donated leaves of a call, which share memory with no other argument.

        Raises
        ------
        ArgumentError
            If one does.
        """
        chosen = self.chosen(args, kwargs)
        known = {id(leaf) for leaf in chosen}
        if any_shared([(leaf, id(leaf) in known) for leaf in flatten((args, kwargs))[0]]):
            raise ArgumentError(
                f"{self.title}: an argument that is donated shares memory with another one",
                do="pass a copy of one of them",
            )
        return chosen

    def spend(self, chosen: list[Any], result: Any) -> None:
        """Make the donated Tensors unusable, those apart that are the result."""
        returned = {id(leaf) for leaf in flatten(result)[0]}
        for leaf in chosen:
            if isinstance(leaf, Tensor) and id(leaf) not in returned:
                leaf._storage.change(self.title)
                leaf._raw = self.memory

    def give(self, variant: Variant, leaves: list[Any], tree: Tree, has_kwargs: bool) -> None:
        """Note which arguments of what was traced are used up, where it is one segment.

        In their memory nothing is made if the function returns them as they are, changes
        arguments, or reads what may share memory with them from elsewhere.
        """
        root = variant.tree.root
        if root is None or root.result is None:
            return
        numbers = unflatten(tree, range(len(leaves)))
        args, kwargs = numbers if has_kwargs else (numbers, {})
        passed_on = [leaf.content for leaf in root.result.leaves if leaf.kind == "source"]
        chosen = {k for k in self.chosen(args, kwargs) if Source("argument", k) not in passed_on}
        variant.spent = {k: self.memory for k in chosen if isinstance(leaves[k], Tensor)}
        inputs = variant.tree.inputs
        from_outside = any(source.kind == "captured" for source in inputs.values())
        if from_outside or root.result.checks or root.result.writes:
            return
        kept = {leaf.content for leaf in root.result.leaves if isinstance(leaf.content, Value)}
        kept |= {gradient for _, gradient in root.result.gradients if gradient is not None}
        given = {
            source.number: value
            for value, source in inputs.items()
            if source.kind == "argument"
            and not source.gradient
            and source.number in chosen
            and value not in kept
        }
        # In the order of the arguments, which is mostly that of the results.
        ordered = [given[number] for number in sorted(given)]
        root.given = tuple([v for v in ordered if v.spec.size * v.dtype.itemsize >= _LEAST_BYTES])


class DonatingFunction(CompiledFunction):
    """A compiled function that makes results in the memory of some of its arguments."""

    def __init__(self, function: Callable[..., Any], donate: Donated, *settings: Any) -> None:
        self._donation = Donation(function, title_of(function), donate)
        super().__init__(function, *settings)
        self._donated = donate

    def __reduce__(self) -> Any:
        found = super().__reduce__()
        if isinstance(found, str):
            return found
        function, *settings = found[1]
        return DonatingFunction, (function, self._donated, *settings)

    def _dispatch(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        chosen = self._donation.check_apart(args, kwargs)
        result = super()._dispatch(args, kwargs)
        if type(result) is not LeftToPython:
            self._donation.spend(chosen, result)
        return result

    def _after_trace(
        self, variant: Variant, leaves: list[Any], tree: Tree, has_kwargs: bool
    ) -> None:
        self._donation.give(variant, leaves, tree, has_kwargs)

    def _run_plain(self, why: LeftToPython, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if why.has_run and why.error is not None:
            # The arguments may be overwritten already.
            raise why.error
        return super()._run_plain(why, args, kwargs)
