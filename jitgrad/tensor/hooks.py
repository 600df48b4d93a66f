"""Functions that see, and may replace, a gradient on its way."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jitgrad.core.bind import active_trace
from jitgrad.core.errors import GradientError
from jitgrad.core.public import publish
from jitgrad.tensor.modes import modes

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import Tensor

Hook = Callable[..., Any]
# In place of an output's number: hooks that see a leaf after its gradient was added to, and those
# of a node, before it carries cotangents back and afterwards.
AFTER, BEFORE_NODE, AFTER_NODE = -1, -2, -3


class HookHandle:
    """What `register_hook` returns; `remove` takes the hook away.

    Parameters
    ----------
    hooks : list
        Where the hook is kept.
    hook : callable
        The hook.
    """

    def __init__(self, hooks: list[Hook], hook: Hook) -> None:
        self._hooks = hooks
        self._hook = hook

    def remove(self) -> None:
        """Take the hook away; doing so twice does nothing."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)


class RetainGrad:
    """Hook that keeps the cotangent of a Tensor that is no leaf in its ``.grad``.

    Parameters
    ----------
    tensor : Tensor
        The Tensor.
    """

    __slots__ = ("_tensor",)

    def __init__(self, tensor: Tensor) -> None:
        # Weak: the node that holds this hook is held by the Tensor.
        self._tensor = weakref.ref(tensor)

    def keeps_for(self, tensor: Tensor) -> bool:
        """Return whether it is `tensor` whose ``.grad`` this fills."""
        return self._tensor() is tensor

    def __call__(self, ct: Tensor) -> None:
        """Add `ct` to the Tensor's ``.grad``."""
        tensor = self._tensor()
        if tensor is not None:
            held = tensor._grad
            if held is not None:
                tensor._grad = held + ct
            else:
                tensor._grad = ct.clone() if modes.grad else ct.owned_copy()


@contextmanager
def move_retained(tensor: Tensor) -> Iterator[None]:
    """Let `retain_grad` of `tensor` hold for the history that it gets inside the block."""
    node = tensor._node
    hooks = node.hooks.get(tensor._slot, []) if node is not None and node.hooks else []
    retained = [h for h in hooks if isinstance(h, RetainGrad) and h.keeps_for(tensor)]
    yield
    for hook in retained:
        hooks.remove(hook)
        if tensor._node is not None:
            tensor._node.add_hook(tensor._slot, hook)


def add_tensor_hook(tensor: Tensor, hook: Hook) -> HookHandle:
    """Let `hook` see the cotangent of `tensor`; see `Tensor.register_hook`."""
    trace = active_trace()
    if trace is not None:
        trace.refuse("a hook is registered inside it")
    edge = tensor._edge() if tensor.requires_grad else None
    if edge is None:
        raise GradientError(
            "register_hook: this Tensor does not require a gradient",
            why="no gradient will ever come by",
            do="set requires_grad=True on it, or register the hook on a Tensor computed from one",
        )
    node, slot = edge
    return HookHandle(node.add_hook(slot, hook), hook)


def add_leaf_hook(x: Tensor, hook: Callable[[Any], None]) -> HookHandle:
    """Call `hook` with this leaf after `backward` has added to its ``.grad``.

    Parameters
    ----------
    x : Tensor
        The leaf.
    hook : callable
        Takes the leaf; may step an optimizer and set ``.grad`` to None, to save memory.

    Returns
    -------
    HookHandle
        Its ``remove()`` takes the hook away.

    Raises
    ------
    GradientError
        If the Tensor is no leaf, or does not require a gradient.
    """
    trace = active_trace()
    if trace is not None:
        trace.refuse("a hook is registered inside it")
    edge = x._edge() if x.is_leaf else None
    if edge is None:
        raise GradientError(
            "register_post_accumulate_grad_hook: this Tensor accumulates no gradient",
            why="it is no leaf, or does not require one",
            do="register it on a leaf with requires_grad=True; elsewhere use register_hook",
        )
    return HookHandle(edge[0].add_hook(AFTER, hook), hook)


publish(add_leaf_hook, "register_post_accumulate_grad_hook", namespace="Tensor")


def run_leaf_hooks(leaf: Tensor) -> None:
    """Call the hooks that wait for the gradient of `leaf` to be complete."""
    edge = leaf._edge()
    hooks = None if edge is None else edge[0].hooks
    for hook in (hooks or {}).get(AFTER, ()):
        hook(leaf)
