"""Gradients as functions of functions: `grad`, `value_and_grad`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.core.bind import active_trace, tracing
from jitgrad.core.dtypes import is_floating, is_supported
from jitgrad.core.errors import ArgumentError, DtypeError, GradientError
from jitgrad.core.tree import Tree, flatten, map_tree, unflatten
from jitgrad.runtime.dispatch import as_array
from jitgrad.syntax.calls import callee
from jitgrad.tensor.backward import gradients_of, leaves_behind
from jitgrad.tensor.modes import differentiating, enable_grad, is_grad_enabled
from jitgrad.tensor.tensor import Tensor, box_tensor
from jitgrad.trace.immediate import ImmediateTrace, NeedsHistoryError
from jitgrad.trace.narrow import is_narrow
from jitgrad.trace.stand_ins import ArrayStandIn, mark, stand_in, strong

Argnums = int | Sequence[int]


def value_and_grad(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Return a function that gives the value of `function` and its gradient.

    Parameters
    ----------
    function : callable
        Returns one number (a Tensor or array of one element); with `has_aux`, a pair of it and
        anything else.
    argnums : int or sequence of int
        Which positional arguments to differentiate by; each an array, Tensor, float, or a nested
        structure of them.
    has_aux : bool
        Whether `function` returns a pair.

    Returns
    -------
    callable
        Takes the arguments of `function`; returns ``(value, gradient)``, or ``((value, aux),
        gradient)``. The gradient has the structure, shapes and dtypes of the argument, a tuple of
        such if `argnums` is a sequence; NumPy arrays where the argument has NumPy arrays (a
        NumPy scalar for what has no axes).

    Raises
    ------
    GradientError
        If `function` does not return one number, when called.
    DtypeError
        If an argument to differentiate by is not floating, when called.

    Examples
    --------
    >>> import jitgrad
    >>> value, slope = jitgrad.value_and_grad(lambda x: x * x)(3.0)
    >>> float(value), float(slope)
    (9.0, 6.0)
    """
    several = not isinstance(argnums, int)
    numbers = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)

    @functools.wraps(function, updated=())
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        if is_numpy_program([args[k] for k in numbers if k < len(args)]):
            with contextlib.suppress(NeedsHistoryError):
                return immediately(differentiated, args, kwargs)
        parts = _Parts(function, args, numbers)
        with differentiating():
            result = callee(function)(*parts.arguments, **kwargs)
        output, aux = _split_aux(result, has_aux)
        followed = is_grad_enabled() and parts.others_differentiate(output)
        gradients = parts.gradients(output, followed)
        value = parts.as_given(output if followed else output.detach())
        if has_aux:
            value = (value, aux if followed else _detached(aux))
        return value, (gradients if several else gradients[0])

    return differentiated


def grad(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Return a function that gives the gradient of `function`.

    Parameters
    ----------
    function : callable
        Returns one number; with `has_aux`, a pair of it and anything else.
    argnums : int or sequence of int
        Which positional arguments to differentiate by.
    has_aux : bool
        Whether `function` returns a pair.

    Returns
    -------
    callable
        Takes the arguments of `function`; returns the gradient as `value_and_grad` does, or
        ``(gradient, aux)``.

    Raises
    ------
    GradientError
        If `function` does not return one number, when called.
    DtypeError
        If an argument to differentiate by is not floating, when called.

    Examples
    --------
    >>> import jitgrad
    >>> float(jitgrad.grad(jitgrad.grad(lambda x: x * x * x))(2.0))
    12.0
    """
    both = value_and_grad(function, argnums, has_aux)

    @functools.wraps(function, updated=())
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return differentiated


def is_numpy_program(arguments: Any) -> bool:
    """Return whether a function that is differentiated by these has NumPy's arrays, uncompiled.

    Programs in NumPy do what Tensors don't allow: overwrite what they were given, fill arrays.
    """
    is_eager = active_trace() is None
    return is_eager and any(isinstance(leaf, np.ndarray) for leaf in flatten(arguments)[0])


def immediately(
    differentiated: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Return what `differentiated` gives, with NumPy's meaning of all that is done with arrays."""
    trace = ImmediateTrace()

    def traced(leaf: Any) -> Any:
        supported = isinstance(leaf, np.ndarray) and (is_supported(leaf.dtype) or is_narrow(leaf))
        return trace.add_array(leaf) if supported else leaf

    with tracing(trace):
        result = differentiated(*map_tree(traced, args), **map_tree(traced, kwargs))
    trace.write_back()
    return trace.result(result)


class _Parts:
    """The arguments of one call, those to differentiate by replaced by leaves of their own."""

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], numbers: tuple[int, ...]
    ) -> None:
        self.arguments = list(args)
        self.trees: list[Tree] = []
        self.leaves: list[Tensor] = []
        self.given: list[Any] = []
        name = getattr(function, "__name__", "function")
        for number in numbers:
            if not -len(args) <= number < len(args):
                raise ArgumentError(
                    f"grad: {name} was called with {len(args)} positional arguments",
                    why=f"argnums asks for number {number}",
                    do="pass the arguments to differentiate by positionally",
                )
            given, tree = flatten(args[number])
            leaves = [leaf_of(leaf, f"grad: argument {number}") for leaf in given]
            self.trees.append(tree)
            self.given.extend(given)
            self.leaves.extend(leaves)
            passed = [_argument_of(leaf, x) for leaf, x in zip(leaves, given, strict=True)]
            self.arguments[number] = unflatten(tree, passed)

    def gradients(self, output: Tensor, followed: bool) -> tuple[Any, ...]:
        """Return the gradient of `output` in the structure of each argument.

        With `followed` the computation is recorded, to be differentiated in turn.
        """
        found: list[Tensor | None] = [None] * len(self.leaves)
        if output.requires_grad:
            found = gradients_of(
                [output],
                self.leaves,
                [None],
                retain_graph=None,
                create_graph=followed,
                allow_unused=True,
            )
        results = [
            _like_given(Tensor.zeros_of(leaf.spec) if ct is None else ct, given)
            for ct, leaf, given in zip(found, self.leaves, self.given, strict=True)
        ]
        remaining = iter(results)
        return tuple([unflatten(tree, remaining) for tree in self.trees])

    def others_differentiate(self, output: Tensor) -> bool:
        """Return whether `output` depends on leaves other than those made for this call.

        Whoever made those may differentiate what is returned, which then has to be recorded.
        """
        own = {id(leaf) for leaf in self.leaves}
        return any(id(leaf) not in own for leaf in leaves_behind(output))

    def as_given(self, value: Tensor) -> Any:
        """Return `value` as an array where all that was given are arrays."""
        return _like_given(value, self.given[0]) if self.given else value


def leaf_of(leaf: Any, place: str) -> Tensor:
    """Return a Tensor equal to `leaf` that requires a gradient and follows from it.

    Parameters
    ----------
    leaf : object
        What was given.
    place : str
        The transform and the argument, for messages.

    Raises
    ------
    DtypeError
        If it is not floating.
    """
    if isinstance(leaf, (bool, int)) or not isinstance(leaf, (Tensor, np.ndarray, float)):
        raise DtypeError(
            f"{place} holds {type(leaf).__name__} {leaf!r}",
            why="only floats, and arrays and Tensors of floats, can be differentiated by",
            do="pass a float (1.0 instead of 1), or differentiate by other arguments",
        )
    tensor: Tensor = strong(box_tensor(leaf))
    if not is_floating(tensor.dtype):
        raise DtypeError(
            f"{place} has dtype {tensor.dtype}",
            why="only floating values vary continuously",
            do="convert it first, for instance x.astype(float)",
        )
    if tensor.requires_grad and is_grad_enabled():
        # A copy that remembers where it came from, so that outer derivatives go through it.
        copy: Tensor = tensor.clone()
        return copy
    return tensor.detach().requires_grad_()


def _argument_of(leaf: Tensor, given: Any) -> Any:
    """Return what the function gets in place of `given`, of which `leaf` is the leaf."""
    if not isinstance(given, ArrayStandIn):
        return leaf
    with enable_grad():
        # A copy, to which the function may write.
        return stand_in(leaf.clone(), ArrayStandIn)


def _split_aux(result: Any, has_aux: bool) -> tuple[Tensor, Any]:
    aux = None
    if has_aux:
        if not isinstance(result, tuple) or len(result) != 2:
            raise GradientError(
                "grad: with has_aux=True the function must return a pair (value, aux)",
                why=f"it returned {type(result).__name__}",
            )
        result, aux = result
    if not isinstance(result, Tensor):
        if not isinstance(result, (float, np.ndarray, np.floating)):
            raise GradientError(
                "grad: the function must return one number",
                why=f"it returned {type(result).__name__}",
                do="return a Tensor of one element; other results go into aux with has_aux=True",
            )
        result = box_tensor(result)
    if result.numel() != 1:
        raise GradientError(
            f"grad: the function returned shape {tuple(result.shape)}",
            why="a gradient belongs to one number",
            do="reduce the result, for instance with sum() or mean()",
        )
    return result, aux


def _detached(aux: Any) -> Any:
    leaves, tree = flatten(aux)
    return unflatten(tree, [x.detach() if isinstance(x, Tensor) else x for x in leaves])


def _like_given(value: Tensor, given: Any) -> Any:
    """Return `value` as an array where an array was given."""
    if isinstance(given, ArrayStandIn):
        # What follows from outer arguments is differentiated in turn.
        return mark(value.clone() if value.requires_grad else value.detach())
    if isinstance(given, np.ndarray) and isinstance(value._raw, np.ndarray):
        return as_array(value.detach().numpy())
    return value
