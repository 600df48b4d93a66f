"""Derivatives of functions under PyTorch's names: ``jitgrad.autograd.functional``.

Functions take one Tensor or a tuple of Tensors, and return the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.api.autodiff import grad as _grad
from jitgrad.api.directional import jvp as _jvp
from jitgrad.api.directional import vjp as _vjp
from jitgrad.api.jacobians import jacfwd as _jacfwd
from jitgrad.api.jacobians import jacrev as _jacrev
from jitgrad.core.errors import ArgumentError, GradientError, ShapeError
from jitgrad.core.tree import map_tree
from jitgrad.tensor.backward import gradients_of
from jitgrad.tensor.modes import differentiating
from jitgrad.tensor.tensor import Tensor, box_tensor

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Tensors = Tensor | tuple[Tensor, ...]
_STRATEGIES = {"reverse-mode": _jacrev, "forward-mode": _jacfwd}


def jacobian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """Return the Jacobian of a function.

    Parameters
    ----------
    func : callable
        Takes as many Tensors as `inputs` has; returns a Tensor or a tuple of Tensors.
    inputs : Tensor or tuple of Tensor, floating
        Where.
    create_graph : bool
        Whether the result can be differentiated in turn.
    strict : bool
        Whether it is an error that an output does not depend on an input; else zeros are returned.
    vectorize : bool
        Taken for PyTorch's sake; all rows are computed together in any case.
    strategy : {"reverse-mode", "forward-mode"}
        Whether sweeps go back from the outputs or forward from the inputs.

    Returns
    -------
    Tensor, or tuple, or tuple of tuples
        For each output, for each input, a Tensor of the shapes of both joined; not nested where
        there is no tuple.

    Raises
    ------
    GradientError
        If `strict` and an output does not depend on an input.
    ArgumentError
        If there is no such strategy.
    """
    if strategy not in _STRATEGIES:
        raise ArgumentError(
            f"jacobian: strategy is {strategy!r}", why=f"it must be one of {tuple(_STRATEGIES)}"
        )
    given, is_tuple = _inputs("jacobian", inputs)
    if strict:
        _check_dependence("jacobian", func, given)
    transform = _STRATEGIES[strategy]
    found = transform(func, argnums=tuple(range(len(given))))(*given)
    return _finished(found if is_tuple else _without_tuples(func, found), create_graph)


def hessian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Return the Hessian of a function that gives one number.

    Parameters
    ----------
    func : callable
        Takes as many Tensors as `inputs` has; returns a Tensor of one element.
    inputs : Tensor or tuple of Tensor, floating
        Where.
    create_graph, strict, vectorize
        As of `jacobian`.
    outer_jacobian_strategy : {"reverse-mode", "forward-mode"}
        How the gradient is differentiated.

    Returns
    -------
    Tensor, or tuple of tuples of Tensor
        For each two inputs a Tensor of the shapes of both joined; a Tensor for a single input.

    Raises
    ------
    GradientError
        If `func` gives more than one number; if `strict` and it does not depend on an input.
    """
    given, is_tuple = _inputs("hessian", inputs)
    if strict:
        _check_dependence("hessian", func, given)
    numbers = tuple(range(len(given)))
    if outer_jacobian_strategy not in _STRATEGIES:
        raise ArgumentError(
            f"hessian: outer_jacobian_strategy is {outer_jacobian_strategy!r}",
            why=f"it must be one of {tuple(_STRATEGIES)}",
        )
    transform = _STRATEGIES[outer_jacobian_strategy]
    found = transform(_grad(func, argnums=numbers), argnums=numbers)(*given)
    return _finished(found if is_tuple else found[0][0], create_graph)


def vjp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return the outputs of a function, and the product of a vector and its Jacobian.

    Parameters
    ----------
    func : callable
        Takes as many Tensors as `inputs` has; returns a Tensor or a tuple of Tensors.
    inputs : Tensor or tuple of Tensor, floating
        Where.
    v : Tensor or tuple of Tensor, optional
        Like the outputs; may be left out where these are one number.
    create_graph, strict : bool
        As of `jacobian`.

    Returns
    -------
    outputs : Tensor or tuple of Tensor
        What `func` gives.
    product : Tensor or tuple of Tensor
        Like `inputs`.
    """
    given, is_tuple = _inputs("vjp", inputs)
    if strict:
        _check_dependence("vjp", func, given)
    outputs, back = _vjp(func, *given)
    product = back(_vector("vjp", v, outputs))
    value, found = _finished((outputs, product if is_tuple else product[0]), create_graph)
    return value, found


def jvp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return the outputs of a function, and the product of its Jacobian and a vector.

    Parameters
    ----------
    func : callable
        Takes as many Tensors as `inputs` has; returns a Tensor or a tuple of Tensors.
    inputs : Tensor or tuple of Tensor, floating
        Where.
    v : Tensor or tuple of Tensor, optional
        Like `inputs`; may be left out where these are one number.
    create_graph, strict : bool
        As of `jacobian`.

    Returns
    -------
    outputs : Tensor or tuple of Tensor
        What `func` gives.
    product : Tensor or tuple of Tensor
        Like the outputs.
    """
    given, _ = _inputs("jvp", inputs)
    if strict:
        _check_dependence("jvp", func, given)
    pair = _jvp(func, given, _as_tuple(_vector("jvp", v, inputs)))
    outputs, product = _finished(pair, create_graph)
    return outputs, product


def vhp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return the output of a function, and the product of a vector and its Hessian.

    Parameters
    ----------
    func : callable
        Takes as many Tensors as `inputs` has; returns a Tensor of one element.
    inputs : Tensor or tuple of Tensor, floating
        Where.
    v : Tensor or tuple of Tensor, optional
        Like `inputs`; may be left out where these are one number.
    create_graph, strict : bool
        As of `jacobian`.

    Returns
    -------
    output : Tensor
        What `func` gives.
    product : Tensor or tuple of Tensor
        Like `inputs`.
    """
    given, is_tuple = _inputs("vhp", inputs)
    if strict:
        _check_dependence("vhp", func, given)
    vector = _as_tuple(_vector("vhp", v, inputs))
    gradient = _grad(func, argnums=tuple(range(len(given))))
    _, back = _vjp(gradient, *given)
    product = back(vector)
    value, found = _finished((func(*given), product if is_tuple else product[0]), create_graph)
    return value, found


def hvp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return the output of a function, and the product of its Hessian and a vector.

    The Hessian is symmetric, so it is the product that `vhp` gives.

    Parameters
    ----------
    func : callable
        Takes as many Tensors as `inputs` has; returns a Tensor of one element.
    inputs : Tensor or tuple of Tensor, floating
        Where.
    v : Tensor or tuple of Tensor, optional
        Like `inputs`; may be left out where these are one number.
    create_graph, strict : bool
        As of `jacobian`.

    Returns
    -------
    output : Tensor
        What `func` gives.
    product : Tensor or tuple of Tensor
        Like `inputs`.
    """
    return vhp(func, inputs, v, create_graph, strict)


# -- arguments and results -----------------------------------------------------------------------


def _inputs(name: str, inputs: Any) -> tuple[tuple[Tensor, ...], bool]:
    given = _as_tuple(inputs)
    if not given or not all(isinstance(x, Tensor) for x in given):
        raise ArgumentError(
            f"{name}: inputs must be a Tensor or a tuple of Tensors",
            why=f"got {type(inputs).__name__}",
        )
    return given, isinstance(inputs, tuple)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _vector(name: str, v: Any, like: Any) -> Any:
    """Return what to multiply by: ones where it was left out and there is one number."""
    models = [box_tensor(x) for x in _as_tuple(like)]
    if v is None:
        if len(models) != 1 or models[0].numel() != 1:
            raise ShapeError(
                f"{name}: the vector v is missing",
                why="it may be left out where there is one number only",
            )
        return map_tree(lambda x: Tensor.zeros_of(box_tensor(x).spec) + 1, like)
    return tuple(v) if isinstance(like, tuple) and isinstance(v, list) else v


def _without_tuples(func: Callable[..., Any], found: Any) -> Any:
    """Return blocks by the only input, from tuples of one for each output."""
    return found[0] if isinstance(found[0], Tensor) else tuple([block[0] for block in found])


def _finished(result: Any, create_graph: bool) -> Any:
    if create_graph:
        return result
    return map_tree(lambda x: x.detach() if isinstance(x, Tensor) else x, result)


def _check_dependence(name: str, func: Callable[..., Any], given: Sequence[Tensor]) -> None:
    leaves = [x.detach().clone().requires_grad_() for x in given]
    with differentiating():
        outputs = _as_tuple(func(*leaves))
    for place, output in enumerate(outputs):
        found: Sequence[Tensor | None] = [None] * len(leaves)
        if output.requires_grad:
            seed = Tensor.zeros_of(output.spec)
            found = gradients_of(
                [output], leaves, [seed], retain_graph=True, create_graph=False, allow_unused=True
            )
        for number, ct in enumerate(found):
            if ct is None:
                raise GradientError(
                    f"{name}: output {place} does not depend on input {number}",
                    why="strict=True asks for that",
                    do="leave out strict to get zeros",
                )
