"""Products with Jacobians and Hessians: `vjp`, `jvp`, `linearize`, `hvp`.

There is one sweep, the one that carries cotangents back. It is linear in the cotangents, and so its
own derivative by them, the transpose of the transpose, carries tangents forward.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.api.autodiff import grad, immediately, is_numpy_program, leaf_of
from jitgrad.core.errors import ArgumentError, DtypeError, GradientError, ShapeError
from jitgrad.core.tree import Tree, flatten, unflatten
from jitgrad.ops.creation import ones
from jitgrad.syntax.calls import callee
from jitgrad.tensor.backward import gradients_between, leaves_behind
from jitgrad.tensor.modes import differentiating, is_grad_enabled
from jitgrad.tensor.tensor import Tensor, box_tensor
from jitgrad.trace.immediate import NeedsHistoryError
from jitgrad.trace.stand_ins import strong


def vjp(function: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Return the value of `function` and what carries cotangents back through it.

    Parameters
    ----------
    function : callable
        Returns Tensors or a nested structure of them; with `has_aux`, a pair of such and anything
        else.
    *primals : array_like or nested structures, floating
        The arguments of `function`.
    has_aux : bool
        Whether `function` returns a pair.

    Returns
    -------
    tuple
        ``(value, back)``, or ``(value, back, aux)``. ``back(cotangents)`` takes what has the
        structure, shapes and dtypes of `value`, and returns a tuple with the cotangents of each
        primal, in its structure. It can be called any number of times.

    Raises
    ------
    DtypeError
        If a primal is not floating, or a cotangent has another dtype than the value.
    ShapeError
        If a cotangent has another shape than the value.

    Examples
    --------
    >>> import jitgrad
    >>> value, back = jitgrad.vjp(lambda x, y: x * y, 2.0, 5.0)
    >>> [float(ct) for ct in back(1.0)]
    [5.0, 2.0]
    """
    run = _Run("vjp", function, primals, has_aux)
    followed = run.others_differentiate()

    def back(cotangents: Any) -> tuple[Any, ...]:
        cts = _like("vjp", "cotangent", cotangents, run.outputs, run.output_tree)
        pairs = [(y, ct) for y, ct in zip(run.outputs, cts, strict=True) if y.requires_grad]
        create = is_grad_enabled() and (followed or any(ct.requires_grad for ct in cts))
        found: list[Tensor | None] = [None] * len(run.leaves)
        if pairs:
            outputs, seeds = zip(*pairs, strict=True)
            found = _sweep(outputs, run.leaves, seeds, create_graph=create)
        filled = _filled(found, run.leaves)
        result: tuple[Any, ...] = unflatten(run.tree, filled)
        return result

    value = run.value(followed)
    return (value, back, run.aux(followed)) if has_aux else (value, back)


def jvp(
    function: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    has_aux: bool = False,
) -> tuple[Any, ...]:
    """Return the value of `function` and its derivative along a direction.

    Parameters
    ----------
    function : callable
        Returns Tensors or a nested structure of them; with `has_aux`, a pair of such and anything
        else.
    primals : tuple or list of array_like or nested structures, floating
        The arguments of `function`.
    tangents : tuple or list
        The direction, with the structure, shapes and dtypes of `primals`.
    has_aux : bool
        Whether `function` returns a pair.

    Returns
    -------
    tuple
        ``(value, tangent)``, or ``(value, tangent, aux)``; `tangent` has the structure, shapes and
        dtypes of `value`, and is zero for what does not depend on the primals.

    Raises
    ------
    ArgumentError
        If `primals` is no tuple or list, or `tangents` has another structure.
    DtypeError
        If a primal is not floating, or a tangent has another dtype than its primal.
    ShapeError
        If a tangent has another shape than its primal.

    Examples
    --------
    >>> import jitgrad
    >>> value, tangent = jitgrad.jvp(lambda x: x**3, (2.0,), (1.0,))
    >>> float(value), float(tangent)
    (8.0, 12.0)
    """
    given = _as_arguments("jvp", primals)
    if is_numpy_program(given):
        with contextlib.suppress(NeedsHistoryError):
            found: tuple[Any, ...] = immediately(jvp, (function, given, tangents, has_aux), {})
            return found
    run = _Run("jvp", function, given, has_aux)
    ts = _like("jvp", "tangent", _as_arguments("jvp", tangents), run.leaves, run.tree)
    tangent, followed = _Forward(run)(ts)
    value = run.value(followed)
    return (value, tangent, run.aux(followed)) if has_aux else (value, tangent)


def linearize(
    function: Callable[..., Any], *primals: Any, has_aux: bool = False
) -> tuple[Any, ...]:
    """Return the value of `function` and its derivative there as a linear function.

    Parameters
    ----------
    function : callable
        Returns Tensors or a nested structure of them; with `has_aux`, a pair of such and anything
        else.
    *primals : array_like or nested structures, floating
        The arguments of `function`.
    has_aux : bool
        Whether `function` returns a pair.

    Returns
    -------
    tuple
        ``(value, forward)``, or ``(value, forward, aux)``. ``forward(*tangents)`` takes what has
        the structures, shapes and dtypes of `primals`, and returns the derivative along that
        direction, with the structure, shapes and dtypes of `value`. It can be called any number of
        times; `function` is not run again.

    Raises
    ------
    DtypeError
        If a primal is not floating, or a tangent has another dtype than its primal.
    ShapeError
        If a tangent has another shape than its primal.

    Examples
    --------
    >>> import jitgrad
    >>> value, forward = jitgrad.linearize(lambda x: x**3, 2.0)
    >>> float(value), float(forward(1.0)), float(forward(2.0))
    (8.0, 12.0, 24.0)
    """
    run = _Run("linearize", function, primals, has_aux)
    along = _Forward(run)
    followed = run.others_differentiate()

    def forward(*tangents: Any) -> Any:
        return along(_like("linearize", "tangent", tangents, run.leaves, run.tree))[0]

    value = run.value(followed)
    return (value, forward, run.aux(followed)) if has_aux else (value, forward)


def hvp(
    function: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, ...]:
    """Return the product of the Hessian of `function` and a direction.

    Parameters
    ----------
    function : callable
        Returns one number.
    primals : tuple or list of array_like or nested structures, floating
        The arguments of `function`.
    tangents : tuple or list
        The direction, with the structure, shapes and dtypes of `primals`.

    Returns
    -------
    tuple
        The product, with the structure, shapes and dtypes of `primals`.

    Raises
    ------
    GradientError
        If `function` does not return one number.

    Examples
    --------
    >>> import jitgrad
    >>> [float(product) for product in jitgrad.hvp(lambda x: x**3, (2.0,), (10.0,))]
    [120.0]
    """
    given = _as_arguments("hvp", primals)
    gradient = grad(function, argnums=tuple(range(len(given))))
    product: tuple[Any, ...] = jvp(gradient, given, tangents)[1]
    return product


class _Run:
    """One run of a function on leaves that stand for its arguments."""

    def __init__(
        self, name: str, function: Callable[..., Any], primals: tuple[Any, ...], has_aux: bool
    ) -> None:
        places: list[str] = []
        given, self.tree = flatten(primals)
        for number, primal in enumerate(primals):
            places += [f"{name}: argument {number}"] * len(flatten(primal)[0])
        self.leaves = [leaf_of(x, place) for x, place in zip(given, places, strict=True)]
        with differentiating():
            result = callee(function)(*unflatten(self.tree, self.leaves))
        self._aux: Any = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise GradientError(
                    f"{name}: with has_aux=True the function must return a pair (value, aux)",
                    why=f"it returned {type(result).__name__}",
                )
            result, self._aux = result
        found, self.output_tree = flatten(result)
        self.outputs = [_output(name, leaf) for leaf in found]

    def others_differentiate(self) -> bool:
        """Return whether an output depends on leaves other than those made for this run."""
        own = {id(leaf) for leaf in self.leaves}
        behind = [leaf for output in self.outputs for leaf in leaves_behind(output)]
        return is_grad_enabled() and any(id(leaf) not in own for leaf in behind)

    def value(self, followed: bool) -> Any:
        """Return what the function returned; with `followed` it can be differentiated."""
        return unflatten(self.output_tree, [y if followed else y.detach() for y in self.outputs])

    def aux(self, followed: bool) -> Any:
        """Return what the function returned besides."""
        leaves, tree = flatten(self._aux)
        detached = [x.detach() if isinstance(x, Tensor) and not followed else x for x in leaves]
        return unflatten(tree, detached)


class _Forward:
    """Carries tangents through a run: the sweep back is linear, and this is its transpose."""

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.numbers = [k for k, y in enumerate(run.outputs) if y.requires_grad]
        self.cts: list[Tensor] = []
        self.back: list[Tensor | None] = [None] * len(run.leaves)
        if self.numbers:
            outputs = [run.outputs[k] for k in self.numbers]
            with differentiating():
                # Where the cotangents are does not matter; at ones nothing is degenerate.
                self.cts = [ones(y.shape, dtype=y.dtype).requires_grad_() for y in outputs]
                self.back = _sweep(outputs, run.leaves, self.cts, create_graph=True)

    def __call__(self, tangents: Sequence[Tensor]) -> tuple[Any, bool]:
        """Return the tangent of the value, and whether it can be differentiated."""
        run = self.run
        followed = is_grad_enabled() and (
            run.others_differentiate() or any(t.requires_grad for t in tangents)
        )
        found: list[Tensor | None] = [None] * len(run.outputs)
        pairs = [
            (gradient, tangent)
            for gradient, tangent in zip(self.back, tangents, strict=True)
            if gradient is not None and gradient.requires_grad
        ]
        if pairs:
            gradients, seeds = zip(*pairs, strict=True)
            forward = _sweep(gradients, self.cts, seeds, create_graph=followed)
            for k, tangent in zip(self.numbers, forward, strict=True):
                found[k] = tangent
        filled = _filled(found, run.outputs)
        leaves = filled if followed else [t.detach() for t in filled]
        return unflatten(run.output_tree, leaves), followed


def _as_arguments(name: str, values: Any) -> tuple[Any, ...]:
    if not isinstance(values, (tuple, list)):
        raise ArgumentError(
            f"{name}: primals and tangents must be tuples or lists",
            why=f"got {type(values).__name__}; there is one element for each argument",
            do="for a function of one argument pass (x,) and (t,)",
        )
    return tuple(values)


def _output(name: str, leaf: Any) -> Tensor:
    if not isinstance(leaf, (Tensor, float, int, np.ndarray, np.generic)):
        raise GradientError(
            f"{name}: the function must return Tensors, or a nested structure of them",
            why=f"it returned {type(leaf).__name__}",
            do="return other results as aux with has_aux=True",
        )
    tensor: Tensor = strong(box_tensor(leaf))
    return tensor


def _like(name: str, word: str, given: Any, models: Sequence[Tensor], tree: Tree) -> list[Tensor]:
    """Return the leaves of `given` as Tensors, which must be of the kind of `models`."""
    leaves, structure = flatten(given)
    if structure != tree:
        raise ArgumentError(
            f"{name}: the {word}s have another structure than what they belong to",
            why=f"there are {len(leaves)} for {len(models)}, or they are nested otherwise",
            do=f"pass one {word} for each, in the same tuples, lists and dicts",
        )
    found: list[Tensor] = []
    for number, (leaf, model) in enumerate(zip(leaves, models, strict=True)):
        tensor: Tensor = strong(box_tensor(leaf))
        if isinstance(leaf, (int, float)):
            tensor = tensor.to(model.dtype)
        if tensor.shape != model.shape:
            raise ShapeError(
                f"{name}: {word} {number} has shape {tuple(tensor.shape)}",
                why=f"what it belongs to has shape {tuple(model.shape)}",
            )
        if tensor.dtype != model.dtype:
            raise DtypeError(
                f"{name}: {word} {number} has dtype {tensor.dtype}",
                why=f"what it belongs to has dtype {model.dtype}",
                do="convert one of them, for instance with t.to(x.dtype)",
            )
        found.append(tensor)
    return found


def _sweep(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    create_graph: bool,
) -> list[Tensor | None]:
    return gradients_between(
        outputs,
        inputs,
        cotangents,
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
    )


def _filled(found: Sequence[Tensor | None], models: Sequence[Tensor]) -> list[Tensor]:
    """Return `found` with zeros for what does not depend on anything."""
    return [
        Tensor.zeros_of(model.spec) if x is None else x
        for x, model in zip(found, models, strict=True)
    ]
