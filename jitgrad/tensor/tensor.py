"""The Tensor: an array, or a value of a trace, with what `backward` needs to know."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from jitgrad.core.bind import active_trace, set_owner
from jitgrad.core.dtypes import DType, bool_, is_floating
from jitgrad.core.errors import DtypeError, GradientError, JitgradWarning
from jitgrad.core.extents import known_length
from jitgrad.core.primitive import Primitive
from jitgrad.core.spec import Count, Shape, Spec
from jitgrad.ir.graph import Value
from jitgrad.ir.interpret import evaluate_primitive
from jitgrad.ops.creation import full_primitive
from jitgrad.tensor import anomaly
from jitgrad.tensor.backward import run_backward, shadow, straight_into_leaves
from jitgrad.tensor.conversion import array_of
from jitgrad.tensor.hooks import HookHandle, RetainGrad, add_tensor_hook
from jitgrad.tensor.modes import modes
from jitgrad.tensor.operators import Operators
from jitgrad.tensor.tape import (
    AccumulateGrad,
    Edge,
    PrimitiveNode,
    Storage,
    StorageWhenAsked,
    TapeNode,
    record,
)
from jitgrad.tensor.values import as_float, format_tensor, only_element
from jitgrad.tensor.views import View, attach_view

Array = np.ndarray[Any, Any]
ArrayLike = Union["Tensor", npt.ArrayLike]

_NUMBERS = (bool, int, float)
# The ``.grad`` of a stand-in in a trace until somebody asks for it.
UNREAD: Any = object()


class Tensor(Operators):
    """A multi-dimensional array that can be differentiated; made by `tensor`, `zeros` and so on.

    Parameters
    ----------
    data : array_like
        Any shape; Python floats get the default dtype, arrays keep theirs and their memory.
    requires_grad : bool
        Whether to record operations on it, so that `backward` can compute its gradient.

    Attributes
    ----------
    grad : Tensor or None
        The gradient that `backward` accumulated, of the Tensor's shape and dtype.
    requires_grad : bool
        Whether operations on it are recorded.

    Raises
    ------
    DtypeError
        If `requires_grad` is asked for a dtype that is not floating.
    """

    # Most Tensors live for one operation: what they rarely have is a default of the class.
    _raw: Any
    _storage: Storage = StorageWhenAsked()  # type: ignore[assignment]
    _requires_grad: bool = False
    _grad: Tensor | None = None
    _node: TapeNode | None = None
    _slot: int = 0
    _leaf: AccumulateGrad | None = None
    _view: View | None = None
    _is_numpy: bool = False
    # Whether its elements are known to lie one after the other, also where it is traced.
    _in_order: bool = False

    def __init__(self, data: ArrayLike, requires_grad: bool = False) -> None:
        self._raw = data._raw if isinstance(data, Tensor) else array_of(data)
        if isinstance(data, Tensor):
            self._storage = data._storage
        if requires_grad:
            self.requires_grad_()

    # -- how operations reach Tensors ---------------------------------------------------

    @classmethod
    def __bind__(cls, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Call `primitive` on Tensors, arrays and numbers; record it if a gradient may come."""
        trace = active_trace()
        boxed: list[Any] = []
        raws: list[Any] = []
        requires = False
        numbers = 0
        for arg in args:
            if not isinstance(arg, Tensor):
                if isinstance(arg, _NUMBERS):
                    if type(arg) not in _NUMBERS and (trace is None or type(arg) is not Count):
                        # numpy.float64 is a float, and an IntEnum an int; NumPy would not treat
                        # the first as a Python number.
                        arg = float(arg) if isinstance(arg, float) else int(arg)
                        if trace is not None:
                            trace.met_scalar()
                    numbers += 1
                    boxed.append(arg)
                    raws.append(arg)
                    continue
                arg = make_tensor(array_of(arg))
            if trace is not None:
                arg = trace.lift(arg)
            if arg._view is not None:
                arg._view.refresh(arg)
            if arg._requires_grad:
                requires = True
            boxed.append(arg)
            raws.append(arg._raw)
        if numbers and numbers == len(boxed):
            # Numbers alone: a Tensor of the default dtype comes out, as of a list of numbers.
            return cls.__bind__(primitive, tuple(map(make_tensor, map(array_of, boxed))), params)
        if trace is None:
            results = evaluate_primitive(primitive, raws, params)
        else:
            if requires and not modes.grad:
                # The graph does not know of grad modes; it must see that nothing flows back.
                raws = [trace.constant(raw) for raw in raws]
            results = trace.evaluate(primitive, tuple(raws), params)
        outputs = list(map(make_tensor, results))
        if primitive.view:
            attach_view(primitive, params, boxed, outputs[0])
        if requires and modes.grad and primitive.differentiable:
            record(primitive, params, boxed, outputs)
            if modes.anomaly and (node := next((y._edge() for y in outputs), None)) is not None:
                anomaly.note(node[0], primitive, boxed, outputs)
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    @classmethod
    def __box__(cls, value: Any) -> Tensor:
        """Return an array, number or nested list as a Tensor."""
        return make_tensor(array_of(value))

    # -- what it is ---------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """Sizes of the axes."""
        shape: Shape = self._raw.shape
        return shape

    @property
    def dtype(self) -> DType:
        """Dtype of the elements, a NumPy dtype."""
        dtype: DType = self._raw.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._raw.shape)

    def dim(self) -> int:
        """Return the number of axes."""
        return len(self._raw.shape)

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or the size of one axis.

        Parameters
        ----------
        dim : int, optional
            The axis.

        Returns
        -------
        tuple of int, or int
            All sizes, or that of `dim`.
        """
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """Return the number of elements."""
        return self.spec.size

    @property
    def spec(self) -> Spec:
        """Shape and dtype together."""
        raw = self._raw
        return raw.spec if isinstance(raw, Value) else Spec(raw.shape, raw.dtype)

    @property
    def data(self) -> Tensor:
        """The same values in the same memory, without history; assigning replaces the values."""
        return self.detach()

    @data.setter
    def data(self, values: ArrayLike) -> None:
        from jitgrad.tensor.inplace import replace_values

        replace_values(self, values)

    # -- gradients ----------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether operations on it are recorded for `backward`."""
        if self._view is not None:
            self._view.refresh(self)
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set whether operations on this leaf are recorded, and return it.

        Raises
        ------
        DtypeError
            If the dtype is not floating.
        GradientError
            If it was computed from others that require a gradient, and `requires_grad` is False.
        """
        if requires_grad and not is_floating(self.dtype):
            raise DtypeError(
                f"requires_grad: a Tensor of dtype {self.dtype} can't have a gradient",
                why="only floating values vary continuously",
                do="convert it first: x.float().requires_grad_()",
            )
        if not requires_grad and self._node is not None:
            raise GradientError(
                "requires_grad_: only a leaf's requires_grad can be set to False",
                why=f"this Tensor was computed by {self._node.name()}",
                do="use x.detach() for a copy without history",
            )
        if self.requires_grad != bool(requires_grad):
            # A view of a constant becomes a leaf of its own; it no longer follows the constant.
            self._view = None
            self._requires_grad = bool(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user rather than computed from what requires a gradient."""
        return self.grad_fn is None

    @property
    def grad_fn(self) -> TapeNode | None:
        """The recorded operation that computed it; None for a leaf."""
        if self._view is not None:
            self._view.refresh(self)
        return self._node

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient; only leaves (and after `retain_grad` others) keep one."""
        tensor = shadow(self)
        if tensor._grad is UNREAD:
            active_trace().load_gradient(tensor)  # type: ignore[union-attr]
        if tensor._grad is None and tensor.grad_fn is not None and not tensor.retains_grad:
            warnings.warn(
                "the .grad of a Tensor that is not a leaf is not filled by backward(); "
                "call retain_grad() on it before if you want it",
                JitgradWarning,
                stacklevel=2,
            )
        return tensor._grad

    @grad.setter
    def grad(self, value: ArrayLike | None) -> None:
        tensor = shadow(self)
        new = None if value is None else box_tensor(value)
        if new is not None and (new.shape, new.dtype) != (tensor.shape, tensor.dtype):
            raise GradientError(
                f"grad: a gradient of shape {tuple(new.shape)} and dtype {new.dtype} can't be"
                " assigned",
                why=f"the Tensor has shape {tuple(tensor.shape)} and dtype {tensor.dtype}",
            )
        tensor._grad = new

    @property
    def retains_grad(self) -> bool:
        """Whether it is no leaf and `retain_grad` was called on it."""
        node = self._node
        hooks = node.hooks.get(self._slot, ()) if node is not None and node.hooks else ()
        return any(isinstance(hook, RetainGrad) and hook.keeps_for(self) for hook in hooks)

    def retain_grad(self) -> None:
        """Let `backward` fill ``.grad`` of this Tensor though it is not a leaf.

        Raises
        ------
        GradientError
            If the Tensor does not require a gradient.
        """
        if not self.requires_grad:
            raise GradientError(
                "retain_grad: this Tensor does not require a gradient",
                why="no gradient will ever come by",
                do="set requires_grad=True on what it is computed from",
            )
        if self._node is not None and not self.retains_grad:
            add_tensor_hook(self, RetainGrad(self))

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> HookHandle:
        """Call `hook` with the gradient of this Tensor during `backward`.

        Parameters
        ----------
        hook : callable
            Takes the gradient; what it returns, unless None, takes the gradient's place.

        Returns
        -------
        HookHandle
            Its ``remove()`` takes the hook away.

        Raises
        ------
        GradientError
            If the Tensor does not require a gradient.
        """
        return add_tensor_hook(self, hook)

    def _edge(self) -> Edge | None:
        """Return where this Tensor's cotangent goes; None if it needs none."""
        if not self._requires_grad:
            return None
        if self._node is not None:
            return (self._node, self._slot)
        if self._leaf is None:
            self._leaf = AccumulateGrad(self)
        return (self._leaf, 0)

    def accumulate_grad(self, ct: Tensor, keep_history: bool) -> None:
        """Add a cotangent to ``.grad``; in place, unless a history is to be kept."""
        if self._grad is UNREAD:
            active_trace().load_gradient(self)  # type: ignore[union-attr]
        held = self._grad
        if held is None:
            self._grad = ct.clone() if keep_history else ct.owned_copy()
        elif keep_history or isinstance(ct._raw, Value):
            self._grad = held + ct
        else:
            self.accumulate_array(ct._raw)

    def accumulate_array(self, added: Array) -> None:
        """Add an array to ``.grad``, which there is; in place where that changes nothing else."""
        held: Any = self._grad
        raw = held._raw
        if held._requires_grad or isinstance(raw, Value) or not raw.flags.writeable:
            self._grad = held + make_tensor(added)
        else:
            held._storage.version += 1
            raw += added

    def owned_copy(self) -> Tensor:
        """Return the same values without history, in memory that nothing else uses."""
        raw = self._raw
        return make_tensor(raw if isinstance(raw, Value) else raw.copy())

    def ones_like_this(self) -> Tensor:
        """Return ones of the same shape and dtype, without history."""
        result: Tensor = full_primitive(shape=self.shape, value=1, dtype=self.dtype)
        return result

    @staticmethod
    def zeros_of(spec: Spec) -> Tensor:
        """Return zeros of this shape and dtype."""
        result: Tensor = full_primitive(shape=spec.shape, value=0, dtype=spec.dtype)
        return result

    def backward(
        self,
        gradient: ArrayLike | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Tensor | Sequence[Tensor] | None = None,
    ) -> None:
        """Compute the gradient with respect to leaves and add it to their ``.grad``.

        Parameters
        ----------
        gradient : array_like, of this Tensor's shape, optional
            Cotangent to start with; 1 for a Tensor of one element.
        retain_graph : bool, optional
            Keep what was saved, so that backward can run again; as `create_graph` by default.
        create_graph : bool
            Record this computation, so that the gradient can be differentiated.
        inputs : Tensor or sequence of Tensor, optional
            Accumulate into these only; into all leaves where not given.

        Raises
        ------
        GradientError
            If the Tensor does not require a gradient, has several elements and no `gradient` is
            given, was freed by an earlier backward, or needs a value that was changed since.
        ShapeError
            If `gradient` has another shape.
        """
        usual = gradient is None and inputs is None and not create_graph
        if usual and straight_into_leaves(self, bool(retain_graph)):
            return
        given = None if gradient is None else box_tensor(gradient)
        run_backward([self], [given], retain_graph, create_graph, inputs)

    # -- copies and conversions ----------------------------------------------------------

    def detach(self) -> Tensor:
        """Return the same values in the same memory, as a constant of differentiation."""
        if active_trace() is not None:
            from jitgrad.ops.cast import stop_gradient

            traced: Tensor = stop_gradient(self)
            return traced
        return connected_tensor(self._raw, None, self._storage)

    def numpy(self) -> Array:
        """Return the array itself: memory is shared.

        Raises
        ------
        GradientError
            If the Tensor requires a gradient, which would be lost.
        """
        if self.requires_grad:
            raise GradientError(
                "numpy: this Tensor requires a gradient, which NumPy would lose",
                do="call x.detach().numpy()",
            )
        return self._concrete()

    def _concrete(self) -> Array:
        """Return the values as an array; during a trace this asks for the value."""
        trace = active_trace()
        tensor = self if trace is None else trace.lift(self)
        if tensor._view is not None:
            tensor._view.refresh(tensor)
        raw: Any = tensor._raw
        if isinstance(raw, Value):
            if trace is None:
                raise_leaked(self)
            raw = trace.demand(raw)  # type: ignore[union-attr]
        array: Array = raw
        return array

    def item(self) -> Any:
        """Return the only element as a Python number.

        Raises
        ------
        ShapeError
            If there is not exactly one element.
        """
        return only_element(self)

    def tolist(self) -> Any:
        """Return the values as nested lists of Python numbers."""
        return self._concrete().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self.requires_grad:
            raise GradientError(
                "this Tensor requires a gradient, which a NumPy array would lose",
                do="call x.detach() first, or use jitgrad's function of the same name",
            )
        array = self._concrete()
        return np.array(array, dtype=dtype) if copy or dtype else array

    def __reduce__(self) -> tuple[Any, ...]:
        """Let ``copy`` and ``pickle`` take values and gradient; a history can't be taken."""
        if not self.is_leaf:
            raise GradientError(
                "a Tensor with a history can't be deep-copied or pickled",
                why=f"its grad_fn is {self._node.name() if self._node else None}",
                do="take x.detach(), or x.clone() to stay connected",
            )
        return _restored, (type(self), self._concrete(), self._requires_grad, self.grad)

    # -- Python's protocols ----------------------------------------------------------------

    def __len__(self) -> int:
        if not self.shape:
            raise DtypeError("len: a 0-d Tensor has no length")
        return known_length(self._raw.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise DtypeError("a 0-d Tensor can't be iterated over")
        return (self[i] for i in range(self.shape[0]))

    def __bool__(self) -> bool:
        if self.numel() == 1 and active_trace() is not None and self.dtype != bool_:
            # Asking a trace whether it is zero, not for the number, lets one branch serve many.
            return bool((self != 0).item())
        return bool(self.item())

    def __float__(self) -> float:
        return as_float(self)

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "ib":
            raise DtypeError(f"a Tensor of dtype {self.dtype} can't be an index")
        return int(self.item())

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return format_tensor(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and not self.shape else format(repr(self), spec)

    def __getitem__(self, index: Any) -> Tensor:
        from jitgrad.ops.indexing import get_item

        result: Tensor = get_item(self, index)
        return result

    def __setitem__(self, index: Any, value: ArrayLike) -> None:
        from jitgrad.tensor.inplace import set_item

        set_item(self, index, value)


def _restored(kind: type[Tensor], array: Array, requires_grad: bool, grad: Any) -> Tensor:
    """Return a leaf that was copied or pickled; whoever copies has copied the arguments."""
    tensor = kind.__new__(kind)
    tensor._raw = array
    tensor._requires_grad = requires_grad
    tensor._grad = grad
    return tensor


_new = object.__new__


def make_tensor(raw: Any) -> Tensor:
    """Return a Tensor that holds an array or a graph value as it is."""
    tensor = _new(Tensor)
    tensor._raw = raw
    return tensor


def connected_tensor(raw: Any, edge: Edge | None, storage: Storage) -> Tensor:
    """Return a Tensor with this value whose history is `edge`."""
    tensor = make_tensor(raw)
    tensor._storage = storage
    if edge is not None:
        tensor._requires_grad = True
        tensor._node, tensor._slot = edge
    return tensor


def box_tensor(value: ArrayLike) -> Tensor:
    """Return `value` as a Tensor, itself if it is one."""
    return value if isinstance(value, Tensor) else make_tensor(array_of(value))


def raise_leaked(tensor: Tensor) -> None:
    """Raise the error for a Tensor of a finished trace.

    Raises
    ------
    TraceError
        Always.
    """
    from jitgrad.core.errors import TraceError

    raise TraceError(
        f"a Tensor of shape {tuple(tensor.shape)} has no value here",
        why="it was made while a compiled function was being traced, and kept after the trace",
        do="return it from the function instead of storing it elsewhere",
    )


PrimitiveNode.make_tensor = staticmethod(connected_tensor)
set_owner(Tensor)
