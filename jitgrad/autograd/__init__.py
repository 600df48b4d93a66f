"""Gradients of what was computed eagerly, under PyTorch's names: ``jitgrad.autograd``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.autograd import functional, graph
from jitgrad.core.errors import ArgumentError
from jitgrad.tensor.anomaly import detect_anomaly, set_detect_anomaly
from jitgrad.tensor.backward import gradients_of, run_backward
from jitgrad.tensor.function import Function, FunctionContext, once_differentiable
from jitgrad.tensor.modes import enable_grad, inference_mode, no_grad, set_grad_enabled
from jitgrad.tensor.tensor import ArrayLike, Tensor, box_tensor
from jitgrad.testing import check_grads

__all__ = [
    "Function",
    "FunctionContext",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "no_grad",
    "once_differentiable",
    "set_detect_anomaly",
    "set_grad_enabled",
]

Tensors = Tensor | Sequence[Tensor]
Gradients = ArrayLike | Sequence[ArrayLike | None] | None


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Gradients = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """Return the gradient of the sum of `outputs` with respect to each of `inputs`.

    No ``.grad`` is touched.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        What to differentiate.
    inputs : Tensor or sequence of Tensor
        With respect to what; leaves, or Tensors on the way from leaves to `outputs`.
    grad_outputs : Tensor or sequence of Tensor or None, optional
        Cotangent of each output, of its shape; 1 for outputs of one element where not given.
    retain_graph : bool, optional
        Keep what the graph saved, so that it can be differentiated again; as `create_graph` by
        default.
    create_graph : bool
        Record this computation, so that the gradients can be differentiated.
    allow_unused : bool, optional
        Whether an input that was not used to compute `outputs` is no error; as
        `materialize_grads` by default.
    materialize_grads : bool
        Whether the gradient with respect to such an input is zeros rather than None.

    Returns
    -------
    tuple of Tensor or None
        One for each input, of its shape and dtype.

    Raises
    ------
    GradientError
        If an output needs a gradient and none is given, or an input was not used.
    ShapeError
        If a gradient has another shape than its output.
    """
    ys, xs = _sequence(outputs), _sequence(inputs)
    if materialize_grads and allow_unused is False:
        raise ArgumentError(
            "grad: materialize_grads=True contradicts allow_unused=False",
            do="leave allow_unused out",
        )
    found = gradients_of(
        ys,
        xs,
        _cotangents("grad", grad_outputs, len(ys)),
        retain_graph=retain_graph,
        create_graph=create_graph,
        allow_unused=materialize_grads if allow_unused is None else allow_unused,
    )
    if not materialize_grads:
        return tuple(found)
    return tuple(
        [Tensor.zeros_of(x.spec) if g is None else g for g, x in zip(found, xs, strict=True)]
    )


def backward(
    tensors: Tensors,
    grad_tensors: Gradients = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensors | None = None,
) -> None:
    """Add the gradient of the sum of `tensors` to the ``.grad`` of the leaves.

    Parameters
    ----------
    tensors : Tensor or sequence of Tensor
        What to differentiate.
    grad_tensors : Tensor or sequence of Tensor or None, optional
        Cotangent of each, of its shape; 1 for Tensors of one element where not given.
    retain_graph : bool, optional
        Keep what the graph saved, so that it can be differentiated again; as `create_graph` by
        default.
    create_graph : bool
        Record this computation, so that the gradients can be differentiated.
    inputs : Tensor or sequence of Tensor, optional
        Accumulate into these only; into all leaves where not given.

    Raises
    ------
    GradientError
        If one of `tensors` does not require a gradient, or needs one that is not given.
    ShapeError
        If a gradient has another shape than its Tensor.
    """
    ys = _sequence(tensors)
    given = _cotangents("backward", grad_tensors, len(ys))
    run_backward(ys, given, retain_graph, create_graph, inputs)


def _sequence(tensors: Tensors) -> Sequence[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _cotangents(operation: str, given: Any, count: int) -> list[Tensor | None]:
    if given is None:
        return [None] * count
    several = list(given) if isinstance(given, (tuple, list)) else [given]
    if len(several) != count:
        raise ArgumentError(
            f"{operation}: {len(several)} gradients are given for {count} outputs",
            do="give one for each, None for those of one element whose gradient is 1",
        )
    return [None if g is None else box_tensor(g) for g in several]


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Check the gradient of a function against finite differences, in float64.

    Parameters
    ----------
    func : callable
        Takes `inputs`, returns a Tensor or several.
    inputs : Tensor or sequence
        Floating ones are differentiated with respect to.
    eps : float
        Step of the differences.
    atol, rtol : float
        How far the gradient may be from the finite difference.
    raise_exception : bool
        Whether to raise, rather than return False, where the gradient is wrong.

    Returns
    -------
    bool
        Whether the gradient is right.

    Raises
    ------
    AssertionError
        If it is not, and `raise_exception`.

    See Also
    --------
    jitgrad.testing.check_grads : The same with other defaults, of any order.
    """
    return _passes(func, inputs, 1, eps, atol, rtol, raise_exception)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Check first and second derivatives of a function against finite differences, in float64.

    Parameters
    ----------
    func : callable
        Takes `inputs`, returns a Tensor or several.
    inputs : Tensor or sequence
        Floating ones are differentiated with respect to.
    eps : float
        Step of the differences.
    atol, rtol : float
        How far a derivative may be from the finite difference.
    raise_exception : bool
        Whether to raise, rather than return False, where a derivative is wrong.

    Returns
    -------
    bool
        Whether the derivatives are right.

    Raises
    ------
    AssertionError
        If one is not, and `raise_exception`.
    """
    return _passes(func, inputs, 2, eps, atol, rtol, raise_exception)


def _passes(
    function: Callable[..., Any],
    inputs: Any,
    order: int,
    eps: float,
    atol: float,
    rtol: float,
    raise_exception: bool,
) -> bool:
    given = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    try:
        check_grads(function, given, order, atol=atol, rtol=rtol, eps=eps)
    except AssertionError:
        if raise_exception:
            raise
        return False
    return True
