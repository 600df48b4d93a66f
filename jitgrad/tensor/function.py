"""User-written operations: a forward computation with its own derivative."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from jitgrad.core.bind import active_trace, box
from jitgrad.core.dtypes import bool_, is_floating
from jitgrad.core.errors import ArgumentError, GradientError, ShapeError
from jitgrad.core.spec import Shape, Spec
from jitgrad.ops.derivatives import conform
from jitgrad.tensor.modes import modes, no_grad
from jitgrad.tensor.tape import Edge, Saved, TapeNode, freed_error
from jitgrad.tensor.tensor import Tensor, connected_tensor

# Stands for an output that is no Tensor; told apart by identity.
_NOTHING = Spec((), bool_)


Recorder = Callable[[type["Function"], tuple[Any, ...]], Any]
_record: Recorder


def set_recorder(recorder: Recorder) -> None:
    """Let `recorder` record the calls of user-written operations that are traced."""
    global _record
    _record = recorder


class FunctionContext(TapeNode):
    """What `forward` and `backward` of a `Function` share: the first argument ``ctx`` of both.

    It is also the ``grad_fn`` of the outputs. Values that are no Tensors may be kept on it as
    attributes; Tensors go through `save_for_backward`.

    Parameters
    ----------
    function : type
        The subclass of `Function`.
    inputs : tuple
        What `apply` was called with.
    """

    needs_input_grad: tuple[bool, ...]
    # The sweep leaves it to this node; an output may be no Tensor at all.
    materialize = False

    def __init__(self, function: type[Function], inputs: tuple[Any, ...]) -> None:
        edges = [
            a._edge() if modes.grad and isinstance(a, Tensor) and a.requires_grad else None
            for a in inputs
        ]
        super().__init__(f"{function.__name__}Backward", edges, ())
        self.needs_input_grad = tuple([edge is not None for edge in edges])
        self._function = function
        self._input_specs = [a.spec if isinstance(a, Tensor) else None for a in inputs]
        self._to_save: tuple[Tensor | None, ...] = ()
        self._saved: list[tuple[Saved, Edge | int | None] | None] | None = None
        self._non_differentiable: tuple[Tensor, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or outputs for `backward`, which finds them in `saved_tensors`.

        Parameters
        ----------
        *tensors : Tensor or None
            Replaces what an earlier call kept.
        """
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                raise ArgumentError(
                    f"save_for_backward: a {type(tensor).__name__} is not a Tensor",
                    do="keep it as an attribute: ctx.name = value",
                )
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The Tensors that `save_for_backward` kept, with their history.

        Raises
        ------
        GradientError
            If one was changed in place since, or an earlier backward freed them.
        """
        if self._saved is None:
            if self.out_specs:
                raise freed_error(self.name_)
            return self._to_save
        return tuple([None if item is None else self._unpack(*item) for item in self._saved])

    def _unpack(self, saved: Saved, origin: Edge | int | None) -> Tensor:
        # An output is saved without its edge, which would make a cycle of the node with itself.
        edge = (self, origin) if isinstance(origin, int) else origin
        return saved.unpack(self, connected_tensor, edge)

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Say that these outputs have no gradient.

        Parameters
        ----------
        *outputs : Tensor
            Outputs of `forward`.
        """
        self._non_differentiable = outputs

    def mark_dirty(self, *inputs: Tensor) -> None:
        """Say that `forward` changed these inputs in place; they must be outputs as well.

        Parameters
        ----------
        *inputs : Tensor
            Inputs of `forward`.
        """
        self._dirty = inputs

    @property
    def is_dirty(self) -> bool:
        """Whether `forward` said that it changed inputs in place."""
        return bool(self._dirty)

    def set_materialize_grads(self, value: bool) -> None:
        """Set whether `backward` gets zeros, rather than None, for outputs that were not used.

        Parameters
        ----------
        value : bool
            True initially.
        """
        self._materialize = value

    def input_cotangents(self, cts: list[Any], keep: bool) -> Sequence[Any]:
        """Return what the user's `backward` gives; see `TapeNode`."""
        if self._materialize:
            cts = [
                Tensor.zeros_of(spec) if ct is None and spec is not _NOTHING else ct
                for ct, spec in zip(cts, self.out_specs, strict=True)
            ]
        results = self.call_backward(cts)
        if not keep and self._saved:
            self._saved = None
        return results

    def call_forward(self, args: tuple[Any, ...]) -> Any:
        """Return what the user's `forward` gives."""
        setup = self._function.setup_context
        if setup is None:
            return self._function.forward(self, *args)
        result = self._function.forward(*args)
        setup(self, args, result)
        return result

    def call_backward(self, cts: list[Any]) -> list[Any]:
        """Return what the user's `backward` gives, each in the shape and dtype of its input."""
        returned = self._function.backward(self, *cts)
        given = returned if isinstance(returned, (tuple, list)) else (returned,)
        name = f"{self._function.__name__}.backward"
        count = len(self.edges)
        extra = [ct for ct in given[count:] if ct is not None]
        if len(given) < count or extra:
            raise GradientError(
                f"{name}: returned {len(given)} gradients",
                why=f"forward takes {count} inputs after ctx; each needs one",
                do="return None for inputs that have no gradient",
            )
        return [self._fitted(name, number, ct) for number, ct in enumerate(given[:count])]

    def _fitted(self, name: str, number: int, ct: Any) -> Any:
        """Return the gradient of one input in that input's shape and dtype."""
        spec = self._input_specs[number]
        if ct is None or not self.needs_input_grad[number]:
            if ct is not None and spec is None:
                raise GradientError(
                    f"{name}: returned a gradient for input number {number}",
                    why="that input is not a Tensor",
                    do="return None in its place",
                )
            return None
        assert spec is not None
        boxed = box(ct)
        if not _broadcasts(spec, tuple(boxed.shape)):
            raise ShapeError(
                f"{name}: the gradient of input number {number} has shape {tuple(boxed.shape)}",
                why=f"the input has shape {spec.shape}; they must be the same",
            )
        return conform(boxed, spec)

    def connect(self, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return `outputs` with this node as their history, and keep what is to be saved."""
        for tensor in self._dirty:
            self._check_dirty(tensor, outputs)
        connected = tuple(
            [
                self._connected(slot, output, inputs) if isinstance(output, Tensor) else output
                for slot, output in enumerate(outputs)
            ]
        )
        self.out_specs = tuple([a.spec if isinstance(a, Tensor) else _NOTHING for a in outputs])
        self._saved = [
            None if tensor is None else self._keep(tensor, inputs, outputs)
            for tensor in self._to_save
        ]
        self._to_save = self._dirty = self._non_differentiable = ()
        return connected

    def _keep(
        self, tensor: Tensor, inputs: tuple[Any, ...], outputs: tuple[Any, ...]
    ) -> tuple[Saved, Edge | int | None]:
        origin: Edge | int | None = None
        for number, value in enumerate(inputs):
            if value is tensor:
                origin = self.edges[number]
        if origin is None or _holds(self._dirty, tensor):
            for slot, value in enumerate(outputs):
                if value is tensor and self._differentiable(value):
                    origin = slot
        return Saved(tensor, None), origin

    def _connected(self, slot: int, output: Tensor, inputs: tuple[Any, ...]) -> Tensor:
        differentiable = self._differentiable(output)
        if _holds(self._dirty, output):
            result = output
        elif not differentiable and not _holds(inputs, output):
            return output
        else:
            # The same memory under a new identity: the output may be an input, or kept somewhere.
            result = connected_tensor(output._raw, None, output._storage)
        if differentiable:
            result._requires_grad = True
            result._node, result._slot = self, slot
        return result

    def _differentiable(self, output: Tensor) -> bool:
        return is_floating(output.dtype) and not _holds(self._non_differentiable, output)

    def _check_dirty(self, tensor: Tensor, outputs: tuple[Any, ...]) -> None:
        name = f"{self._function.__name__}.forward"
        if not _holds(outputs, tensor):
            raise GradientError(
                f"{name}: a Tensor marked as dirty is not returned",
                why="its new value would have no history",
                do="return it as one of the outputs",
            )
        if tensor._view is not None or (tensor.requires_grad and tensor.is_leaf):
            what = "a view" if tensor._view is not None else "a leaf that requires a gradient"
            raise GradientError(
                f"{name}: {what} can't be changed in place",
                do="work on a copy: x.clone()",
            )


def _holds(tensors: Sequence[Any], wanted: Tensor) -> bool:
    return any(tensor is wanted for tensor in tensors)


def _broadcasts(spec: Spec, shape: Shape) -> bool:
    """Return whether a value of this spec broadcasts to `shape`."""
    added = len(shape) - len(spec.shape)
    return added >= 0 and all(
        have in (1, want) for have, want in zip(spec.shape, shape[added:], strict=True)
    )


class Function:
    """Base of user-written operations with their own derivative.

    A subclass defines the static methods ``forward(ctx, *args)`` and
    ``backward(ctx, *grad_outputs)``, and is called through `apply`. Only Tensors that are direct
    arguments take part in differentiation. ``forward`` runs without being recorded; ``backward``
    is recorded when a gradient of the gradient is asked for, so it should be written with
    jitgrad's operations.

    Instead of taking ``ctx``, ``forward`` may take the arguments alone, if the subclass also
    defines ``setup_context(ctx, inputs, output)``.

    Examples
    --------
    >>> import jitgrad
    >>> class Cube(jitgrad.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * x**2 * grad
    >>> x = jitgrad.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12.)
    """

    setup_context: ClassVar[Callable[..., None] | None] = None

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs; a subclass must define it."""
        raise NotImplementedError("a Function must define a static method forward(ctx, ...)")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Return the gradient of each argument; a subclass must define it."""
        raise NotImplementedError("a Function must define a static method backward(ctx, ...)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call the operation.

        Parameters
        ----------
        *args : any
            What ``forward`` takes after ``ctx``.

        Returns
        -------
        Tensor or tuple
            What ``forward`` returns.
        """
        trace = active_trace()
        if trace is not None:
            args = tuple([trace.lift(a) if isinstance(a, Tensor) else a for a in args])
            if any(isinstance(a, Tensor) and a.requires_grad for a in args):
                if hasattr(cls.backward, "once_differentiable"):
                    trace.refuse(f"the derivative of {cls.__name__} can't be differentiated")
                return _record(cls, args)
        ctx = FunctionContext(cls, args)
        with no_grad():
            result = ctx.call_forward(args)
        if not any(ctx.needs_input_grad):
            return result
        if isinstance(result, tuple):
            return ctx.connect(args, result)
        return ctx.connect(args, (result,))[0]


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Declare that the decorated ``backward`` of a `Function` can't be differentiated itself.

    It then runs without being recorded, so that it may compute with NumPy.

    Parameters
    ----------
    backward : callable
        The static method; this decorator stands below ``@staticmethod``.

    Returns
    -------
    callable
        A ``backward`` whose results raise an error when differentiated.
    """

    @functools.wraps(backward)
    def once(ctx: Any, *grad_outputs: Any) -> Any:
        with no_grad():
            results = backward(ctx, *grad_outputs)
        if not modes.grad:
            return results
        several = results if isinstance(results, (tuple, list)) else (results,)
        boxed = [None if ct is None else box(ct) for ct in several]
        tensors = [g for g in grad_outputs if isinstance(g, Tensor) and g.requires_grad]
        node = _NotTwice(
            f"{ctx.name()}Backward",
            [*ctx.edges, *(g._edge() for g in tensors)],
            [_NOTHING if ct is None else ct.spec for ct in boxed],
        )
        return tuple(
            [
                None if ct is None else connected_tensor(ct._raw, (node, slot), ct._storage)
                for slot, ct in enumerate(boxed)
            ]
        )

    once.once_differentiable = True  # type: ignore[attr-defined]
    return once


class _NotTwice(TapeNode):
    """The history of gradients that can't be differentiated."""

    __slots__ = ()

    def input_cotangents(self, cts: list[Any], keep: bool) -> Sequence[Any]:
        """Raise the error that says so."""
        name = self.name_.removesuffix("BackwardBackward")
        raise GradientError(
            f"backward: {name} can't be differentiated twice",
            why="its backward is marked with once_differentiable",
            do="write its backward with jitgrad's operations and without the mark",
        )
