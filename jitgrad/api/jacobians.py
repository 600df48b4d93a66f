"""Whole matrices of derivatives, row by row: `jacrev`, `hessian`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.api.autodiff import Argnums
from jitgrad.api.directional import vjp
from jitgrad.core.errors import ArgumentError
from jitgrad.core.tree import flatten, unflatten
from jitgrad.ops.creation import eye
from jitgrad.ops.joining import stack
from jitgrad.syntax.calls import callee
from jitgrad.tensor.tensor import Tensor


def jacrev(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Return a function that gives the Jacobian of `function`, row by row.

    There is one sweep back for each element of the value, and a compiled program holds all of them.

    Parameters
    ----------
    function : callable
        Returns Tensors or a nested structure of them; with `has_aux`, a pair of such and anything
        else.
    argnums : int or sequence of int
        Which positional arguments to differentiate by.
    has_aux : bool
        Whether `function` returns a pair.

    Returns
    -------
    callable
        Takes the arguments of `function`; returns the Jacobian, or ``(jacobian, aux)``. It has the
        structure of the value, with the structure of the argument in place of each Tensor, a tuple
        of such if `argnums` is a sequence; the shapes are those of value and argument joined.

    Raises
    ------
    ArgumentError
        If there is no argument of such a number, when called.
    DtypeError
        If an argument to differentiate by is not floating, when called.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.jacrev(lambda x: x * x)(jitgrad.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    several = not isinstance(argnums, int)
    numbers = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)

    @functools.wraps(function, updated=())
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        for number in numbers:
            if not -len(args) <= number < len(args):
                raise ArgumentError(
                    f"jacrev: the function was called with {len(args)} positional arguments",
                    why=f"argnums asks for number {number}",
                    do="pass the arguments to differentiate by positionally",
                )

        def of_chosen(*chosen: Any) -> Any:
            arguments = list(args)
            for number, argument in zip(numbers, chosen, strict=True):
                arguments[number] = argument
            return callee(function)(*arguments, **kwargs)

        value, back, *aux = vjp(of_chosen, *[args[k] for k in numbers], has_aux=has_aux)
        outputs, tree = flatten(value)
        blocks = [_rows(back, outputs, tree, k) for k in range(len(outputs))]
        jacobian = unflatten(tree, [block if several else block[0] for block in blocks])
        return (jacobian, *aux) if has_aux else jacobian

    return differentiated


def hessian(function: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """Return a function that gives the second derivatives of `function`.

    There is one sweep for each element of the gradient, and a compiled program holds all of them.

    Parameters
    ----------
    function : callable
        Returns Tensors or a nested structure of them, most often one number.
    argnums : int or sequence of int
        Which positional arguments to differentiate by.

    Returns
    -------
    callable
        Takes the arguments of `function`; returns the Jacobian of its Jacobian, in the structure
        that `jacrev` gives.

    Raises
    ------
    DtypeError
        If an argument to differentiate by is not floating, when called.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.hessian(lambda x: (x * x).sum() + x[0] * x[1])(jitgrad.tensor([1.0, 2.0]))
    tensor([[2., 1.],
            [1., 2.]])
    """
    return jacrev(jacrev(function, argnums), argnums)


def _rows(back: Callable[[Any], Any], outputs: list[Tensor], tree: Any, number: int) -> Any:
    """Return the derivatives of output `number`, in the structure of the arguments."""
    output = outputs[number]
    count = output.numel()
    cts = [Tensor.zeros_of(y.spec) for y in outputs]
    basis = eye(count, dtype=output.dtype)
    rows: list[list[Tensor]] = []
    # At least once: what has no elements has rows of a structure, too.
    for k in range(max(count, 1)):
        cts[number] = basis[k].reshape(output.shape) if count else cts[number]
        leaves, structure = flatten(back(unflatten(tree, cts)))
        rows.append(leaves)
    joined = [
        stack(column)[:count].reshape((*output.shape, *column[0].shape))
        for column in zip(*rows, strict=True)
    ]
    return unflatten(structure, joined)
