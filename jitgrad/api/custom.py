"""Functions with derivatives of the user's own, as decorators: `custom_vjp`, `custom_jvp`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.core.dtypes import is_floating
from jitgrad.core.errors import ArgumentError, GradientError
from jitgrad.core.tree import Tree, flatten, leaf_count, unflatten
from jitgrad.tensor.backward import gradients_of
from jitgrad.tensor.function import Function
from jitgrad.tensor.modes import enable_grad, modes
from jitgrad.tensor.tensor import Tensor, box_tensor


class _Custom:
    """What both decorators share.

    Parameters
    ----------
    fun : callable
        The function; its differentiable arguments are Tensors, arrays, floats or nested structures
        of them.
    nondiff_argnums : sequence of int
        Which positional arguments are handed on as they are.
    """

    def __init__(self, fun: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        functools.update_wrapper(self, fun)
        self.fun = fun
        self.nondiff_argnums = tuple(nondiff_argnums)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        if kwargs:
            bound = inspect.signature(self.fun).bind(*args, **kwargs)
            bound.apply_defaults()
            args = bound.args
        fixed = {k: args[k] for k in self.nondiff_argnums}
        leaves, tree = flatten([a for k, a in enumerate(args) if k not in fixed])
        call = _Call(self, fixed, tree)
        found = _Apply.apply(call, *map(box_tensor, leaves))
        assert call.result is not None
        return unflatten(call.result, list(found))

    def there(self, fixed: dict[int, Any], args: list[Any]) -> tuple[Any, Any]:
        """Return the result, and what the way back starts from."""
        raise NotImplementedError

    def back(self, fixed: dict[int, Any], kept: Any, ct: Any) -> Sequence[Any]:
        """Return a cotangent for each differentiable argument."""
        raise NotImplementedError

    def _missing(self, what: str) -> ArgumentError:
        name = getattr(self, "__name__", "the function")
        return ArgumentError(
            f"{name}: it has no derivative yet",
            why=f"it is decorated with {type(self).__name__}, and nobody called {what}",
            do=f"call {name}.{what} before {name} itself",
        )


class _Call:
    """One call: which function, its arguments' structure, and that of its result."""

    def __init__(self, custom: _Custom, fixed: dict[int, Any], tree: Tree) -> None:
        self.custom = custom
        self.fixed = fixed
        self.tree = tree
        self.result: Tree | None = None

    def there(self, leaves: Sequence[Any]) -> tuple[tuple[Any, ...], Any]:
        result, kept = self.custom.there(self.fixed, unflatten(self.tree, list(leaves)))
        found, self.result = flatten(result)
        return tuple(map(box_tensor, found)), kept

    def back(self, kept: Any, cts: Sequence[Any]) -> list[Any]:
        assert self.result is not None
        ct = unflatten(self.result, list(cts))
        found = self.custom.back(self.fixed, kept, ct)
        name = getattr(self.custom, "__name__", "the function")
        if not isinstance(found, (tuple, list)) or len(found) != len(self.tree.children):
            raise GradientError(
                f"{name}: its backward function returned {type(found).__name__}",
                why=f"there are {len(self.tree.children)} differentiable arguments",
                do="return a tuple of one cotangent for each; None stands for zero",
            )
        leaves: list[Any] = []
        for argument, given in zip(self.tree.children, found, strict=True):
            count = leaf_count(argument)
            mine, tree = ([None] * count, argument) if given is None else flatten(given)
            if tree != argument:
                raise GradientError(
                    f"{name}: its backward function returned a cotangent of another structure",
                    why="it must be that of the argument",
                )
            leaves += mine
        return leaves


class _Apply(Function):
    """The operation behind both decorators."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *leaves: Any) -> Any:
        outputs, ctx.kept = call.there(leaves)
        ctx.call = call
        ctx.save_for_backward(*leaves)
        return outputs

    @staticmethod
    def backward(ctx: Any, *cts: Any) -> Any:
        kept = ctx.kept
        if modes.grad:
            # Computed again so that it has a history: the gradient may be differentiated.
            _, kept = ctx.call.there(ctx.saved_tensors)
        return (None, *ctx.call.back(kept, cts))


class custom_vjp(_Custom):  # noqa: N801 - a decorator, named as in JAX
    """Let a function have the derivative that `defvjp` states.

    Parameters
    ----------
    fun : callable
        Takes and returns Tensors, arrays, numbers or nested structures of them.
    nondiff_argnums : sequence of int
        Positional arguments that are no such thing, or constant; the rules get them as they are.

    Notes
    -----
    What `fun` reads from outside of its arguments counts as constant.

    Examples
    --------
    >>> import jitgrad
    >>> @jitgrad.custom_vjp
    ... def clipped(x):
    ...     return x * x
    >>> clipped.defvjp(lambda x: (x * x, x), lambda x, ct: (jitgrad.clamp(2 * x * ct, -1, 1),))
    >>> float(jitgrad.grad(clipped)(3.0))
    1.0
    """

    fwd: Callable[..., Any] | None = None
    bwd: Callable[..., Any] | None = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """State the derivative.

        Parameters
        ----------
        fwd : callable
            Takes the arguments of the function; returns ``(result, residuals)``.
        bwd : callable
            ``bwd(*nondiff_arguments, residuals, cotangent)`` returns a tuple of one cotangent for
            each other argument, in its structure; None for zero.
        """
        self.fwd, self.bwd = fwd, bwd

    def there(self, fixed: dict[int, Any], args: list[Any]) -> tuple[Any, Any]:
        """Return the result and the residuals."""
        if self.fwd is None:
            raise self._missing("defvjp")
        result, kept = self.fwd(*_all(fixed, args))
        return result, kept

    def back(self, fixed: dict[int, Any], kept: Any, ct: Any) -> Sequence[Any]:
        """Return what the user's backward function gives."""
        assert self.bwd is not None
        found: Sequence[Any] = self.bwd(*fixed.values(), kept, ct)
        return found


class custom_jvp(_Custom):  # noqa: N801 - a decorator, named as in JAX
    """Let a function have the derivative that `defjvp` states; reverse mode is its transpose.

    Parameters
    ----------
    fun : callable
        Takes and returns Tensors, arrays, numbers or nested structures of them.
    nondiff_argnums : sequence of int
        Positional arguments that are no such thing, or constant; the rule gets them as they are.

    Notes
    -----
    What `fun` reads from outside of its arguments counts as constant.

    Examples
    --------
    >>> import jitgrad
    >>> @jitgrad.custom_jvp
    ... def log1pexp(x):
    ...     return jitgrad.log(1 + jitgrad.exp(x))
    >>> @log1pexp.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), t * jitgrad.sigmoid(x)
    >>> float(jitgrad.grad(log1pexp)(100.0))
    1.0
    """

    rule: Callable[..., Any] | None = None

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """State the derivative; may be used as a decorator.

        Parameters
        ----------
        rule : callable
            ``rule(*nondiff_arguments, primals, tangents)``, with tuples of the arguments and their
            tangents, returns ``(result, tangent of the result)``, the tangent linear in the
            tangents.

        Returns
        -------
        callable
            `rule`.
        """
        self.rule = rule
        return rule

    def there(self, fixed: dict[int, Any], args: list[Any]) -> tuple[Any, Any]:
        """Return the result; the rule is transposed at the arguments."""
        if self.rule is None:
            raise self._missing("defjvp")
        return self.fun(*_all(fixed, args)), args

    def back(self, fixed: dict[int, Any], kept: Any, ct: Any) -> Sequence[Any]:
        """Return the transpose of the rule, applied to a cotangent."""
        assert self.rule is not None
        again = modes.grad
        leaves, tree = flatten(kept)
        places = [k for k, leaf in enumerate(leaves) if is_floating(leaf.dtype)]
        tangents = [Tensor.zeros_of(leaf.spec) for leaf in leaves]
        with enable_grad():
            for k in places:
                tangents[k] = tangents[k].detach().requires_grad_()
            _, moved = self.rule(
                *fixed.values(), tuple(unflatten(tree, leaves)), tuple(unflatten(tree, tangents))
            )
            outputs = [(box_tensor(t), c) for t, c in _pairs(moved, ct)]
            outputs = [(t, c) for t, c in outputs if t.requires_grad]
        found: list[Any] = [None] * len(leaves)
        if outputs:
            gradients = gradients_of(
                [t for t, _ in outputs],
                [tangents[k] for k in places],
                [c for _, c in outputs],
                retain_graph=again,
                create_graph=again,
                allow_unused=True,
            )
            for k, gradient in zip(places, gradients, strict=True):
                found[k] = gradient
        found = [
            Tensor.zeros_of(leaf.spec) if ct is None else ct
            for leaf, ct in zip(leaves, found, strict=True)
        ]
        together: Sequence[Any] = unflatten(tree, found)
        return together


def _pairs(moved: Any, ct: Any) -> list[tuple[Any, Any]]:
    return list(zip(flatten(moved)[0], flatten(ct)[0], strict=True))


def _all(fixed: dict[int, Any], args: list[Any]) -> list[Any]:
    """Return all arguments in their order."""
    rest = iter(args)
    return [fixed[k] if k in fixed else next(rest) for k in range(len(fixed) + len(args))]
