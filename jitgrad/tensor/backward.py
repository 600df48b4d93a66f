"""The reverse sweep: from outputs to leaves, each node once, newest first.

Nothing here is recursive, so that graphs of any depth work.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from jitgrad.core.bind import Boxed, active_trace, box
from jitgrad.core.errors import ArgumentError, GradientError, ShapeError
from jitgrad.ops.arithmetic import add
from jitgrad.tensor import anomaly
from jitgrad.tensor.hooks import AFTER_NODE, BEFORE_NODE, RetainGrad, run_leaf_hooks
from jitgrad.tensor.modes import enable_grad, modes, no_grad
from jitgrad.tensor.tape import AccumulateGrad, Edge, TapeNode

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import Tensor


def run_backward(
    outputs: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    retain_graph: bool | None,
    create_graph: bool,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Accumulate gradients of `outputs` into leaves; see `Tensor.backward`."""
    outputs = [shadow(output) for output in outputs]
    cts = start_cotangents("backward", outputs, gradients)
    retain = create_graph if retain_graph is None else retain_graph
    edges = [edge for output in outputs if (edge := output._edge()) is not None]
    if inputs is None:
        sweep(edges, cts, retain_graph=retain, create_graph=create_graph)
        return
    chosen: Any = [inputs] if isinstance(inputs, Boxed) else inputs
    leaves = [shadow(tensor) for tensor in chosen]
    if not leaves:
        raise GradientError("backward: inputs is empty", do="leave it out to reach every leaf")
    targets = [_target_edge("backward", leaf) for leaf in leaves]
    found = sweep(edges, cts, retain_graph=retain, create_graph=create_graph, targets=targets)
    for leaf, target in zip(leaves, targets, strict=True):
        if target in found and not leaf.retains_grad:
            leaf.accumulate_grad(found[target], create_graph)
            if leaf.is_leaf:
                run_leaf_hooks(leaf)


def straight_into_leaves(output: Tensor, keep: bool) -> bool:
    """Carry the gradient of one number that a compiled function made of leaves into the leaves.

    The usual case of a compiled loss, without a queue, hooks or modes. False if it is not that.
    """
    node = output._node
    run = getattr(node, "into_leaves", None)
    if run is None or not run(node):
        return False
    if not keep:
        node.free()  # type: ignore[union-attr]
    return True


def gradients_of(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    grad_outputs: Sequence[Tensor | None],
    *,
    retain_graph: bool | None,
    create_graph: bool,
    allow_unused: bool,
) -> list[Tensor | None]:
    """Return the gradient of the sum of `outputs` with respect to each input.

    Raises
    ------
    GradientError
        If an input was not used, unless `allow_unused`.
    """
    return gradients_between(
        [shadow(output) for output in outputs],
        [shadow(tensor) for tensor in inputs],
        grad_outputs,
        retain_graph=retain_graph,
        create_graph=create_graph,
        allow_unused=allow_unused,
    )


def gradients_between(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    grad_outputs: Sequence[Tensor | None],
    *,
    retain_graph: bool | None,
    create_graph: bool,
    allow_unused: bool,
) -> list[Tensor | None]:
    """Return the same for Tensors that the trace that is running may know nothing of.

    What was recorded before it began is gone back through inside it.
    """
    cts = start_cotangents("grad", outputs, grad_outputs)
    targets = [_target_edge("grad", tensor) for tensor in inputs]
    edges = [edge for output in outputs if (edge := output._edge()) is not None]
    found = sweep(
        edges,
        cts,
        retain_graph=create_graph if retain_graph is None else retain_graph,
        create_graph=create_graph,
        targets=targets,
    )
    for number, target in enumerate(targets):
        if target not in found and not allow_unused:
            raise GradientError(
                f"grad: input number {number} was not used to compute the outputs",
                why="so there is no gradient with respect to it",
                do="pass allow_unused=True to get None for it",
            )
    return [found.get(target) for target in targets]


def shadow(tensor: Tensor) -> Tensor:
    """Return what stands for `tensor` in the trace that is running, `tensor` itself in none."""
    trace = active_trace()
    return tensor if trace is None else trace.lift(tensor)


def _target_edge(operation: str, tensor: Tensor) -> Edge:
    if not tensor.requires_grad:
        raise GradientError(
            f"{operation}: one of the inputs does not require a gradient",
            why="nothing was recorded of how the output depends on it",
            do="set requires_grad=True on it before the computation",
        )
    edge = tensor._edge()
    assert edge is not None
    return edge


def start_cotangents(
    operation: str, outputs: Sequence[Tensor], given: Sequence[Tensor | None]
) -> list[Any]:
    """Return the cotangents a sweep starts with: those given, 1 for scalars.

    Raises
    ------
    GradientError
        If an output needs no gradient, or has several elements and no cotangent is given.
    ShapeError
        If a cotangent has another shape than its output.
    """
    cts: list[Any] = []
    for output, ct in zip(outputs, given, strict=True):
        if not output.requires_grad:
            raise GradientError(
                f"{operation}: the output does not require a gradient",
                why="it was computed without any Tensor that has requires_grad=True, or under"
                " no_grad, or from detached values",
                do="set requires_grad=True on the inputs before the computation",
            )
        if ct is None:
            if output.numel() != 1:
                raise GradientError(
                    f"{operation}: an output of shape {tuple(output.shape)} needs a gradient",
                    why="only an output of one element has an implied gradient of 1",
                    do="pass gradient=..., of the output's shape, or reduce it with sum()",
                )
            cts.append(output.ones_like_this())
            continue
        if tuple(ct.shape) != tuple(output.shape):
            raise ShapeError(
                f"{operation}: the gradient has shape {tuple(ct.shape)}",
                why=f"the output has shape {tuple(output.shape)}; they must be the same",
            )
        cts.append(ct if ct.dtype == output.dtype else ct.to(output.dtype))
    return cts


def sweep(
    edges: Sequence[Edge],
    cts: Sequence[Any],
    *,
    retain_graph: bool,
    create_graph: bool,
    targets: Sequence[Edge] | None = None,
) -> dict[Edge, Any]:
    """Carry cotangents from `edges` back through the graph.

    Parameters
    ----------
    edges : sequence of (node, output number)
        Where to start.
    cts : sequence of Tensor
        Cotangent of each.
    retain_graph : bool
        Whether to keep what the nodes saved.
    create_graph : bool
        Whether to record the sweep itself, so that its results can be differentiated.
    targets : sequence of (node, output number), optional
        Return the cotangents of these and touch no leaf's ``.grad``; without it every leaf that
        is reached accumulates.

    Returns
    -------
    dict
        Cotangent of each target that was reached.
    """
    trace = active_trace()
    useful = None if targets is None else _leading_to({node for node, _ in targets}, edges)
    wanted = set(targets or ())
    found: dict[Edge, Any] = {}
    pending: dict[TapeNode, list[Any]] = {}
    queue: list[tuple[int, int, TapeNode]] = []

    def deliver(edge: Edge, ct: Any) -> None:
        node, slot = edge
        held = pending.get(node)
        if held is None:
            pending[node] = held = [None] * max(len(node.out_specs), slot + 1)
            heapq.heappush(queue, (-node.number, id(node), node))
        held[slot] = ct if held[slot] is None else add(held[slot], ct)

    with enable_grad() if create_graph else no_grad():
        for edge, ct in zip(edges, cts, strict=True):
            deliver(edge, ct)
        while queue:
            node = heapq.heappop(queue)[2]
            arrived = _through_hooks(node, pending.pop(node))
            for slot, ct in enumerate(arrived):
                if ct is not None and (node, slot) in wanted:
                    found[node, slot] = ct
            if isinstance(node, AccumulateGrad):
                if targets is None and (leaf := node.variable) is not None:
                    arrived = _before(node, arrived)
                    leaf.accumulate_grad(arrived[0], create_graph)
                    run_leaf_hooks(leaf)
                    _after(node, (), arrived)
                continue
            if useful is not None and not any(e and e[0] in useful for e in node.edges):
                continue
            complete = _before(node, _with_zeros(node, arrived))
            if trace is not None:
                trace.going_back_through(node)
            results = node.input_cotangents(complete, retain_graph)
            if modes.checks:
                anomaly.check(node, complete, results)
            results = _after(node, results, complete)
            for input_edge, ct in zip(node.edges, results, strict=True):
                if input_edge is None or ct is None:
                    continue
                if useful is None or input_edge[0] in useful:
                    deliver(input_edge, ct)
    if trace is not None:
        trace.going_back_through(None)
    return found


def leaves_behind(output: Tensor) -> list[Tensor]:
    """Return the leaves that a sweep from `output` would reach."""
    edge = output._edge() if output.requires_grad else None
    found: list[Tensor] = []
    seen: set[TapeNode] = set()
    stack = [] if edge is None else [edge[0]]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node, AccumulateGrad) and (leaf := node.variable) is not None:
            found.append(leaf)
        stack.extend(edge[0] for edge in node.edges if edge is not None)
    return found


def _leading_to(targets: set[TapeNode], starts: Iterable[Edge]) -> set[TapeNode]:
    """Return the nodes reachable from `starts` from which a target can be reached."""
    order: list[TapeNode] = []
    seen: set[TapeNode] = set()
    stack = [node for node, _ in starts]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        order.append(node)
        stack.extend(edge[0] for edge in node.edges if edge is not None)
    useful = set(targets)
    # Inputs are older than outputs, so one pass from old to new settles every node.
    for node in sorted(order, key=lambda n: n.number):
        if any(edge is not None and edge[0] in useful for edge in node.edges):
            useful.add(node)
    return useful


def _through_hooks(node: TapeNode, cts: list[Any]) -> list[Any]:
    """Return `cts` after the hooks; those that keep a gradient see it last."""
    if node.hooks:
        for slot, hooks in node.hooks.items():
            if slot >= 0 and cts[slot] is not None:
                for hook in sorted(hooks, key=lambda hook: isinstance(hook, RetainGrad)):
                    replaced = hook(cts[slot])
                    if replaced is not None:
                        cts[slot] = _checked(node, cts[slot], box(replaced))
    return cts


def _before(node: TapeNode, cts: list[Any]) -> list[Any]:
    """Return `cts` after the hooks that see them before the node does."""
    for hook in (node.hooks or {}).get(BEFORE_NODE, ()):
        replaced = hook(tuple(cts))
        if replaced is not None:
            cts = _all_checked(node, cts, replaced)
    return cts


def _after(node: TapeNode, results: Sequence[Any], cts: Sequence[Any]) -> Sequence[Any]:
    """Return what came out of a node after the hooks that see that."""
    for hook in (node.hooks or {}).get(AFTER_NODE, ()):
        replaced = hook(tuple(results), tuple(cts))
        if replaced is not None:
            results = _all_checked(node, results, replaced)
    return results


def _all_checked(node: TapeNode, cts: Sequence[Any], replaced: Any) -> list[Any]:
    given = tuple(replaced) if isinstance(replaced, (tuple, list)) else (replaced,)
    if len(given) != len(cts):
        raise ArgumentError(
            f"a hook of {node.name()} returned {len(given)} gradients",
            why=f"it was given {len(cts)}",
        )
    return [
        new if new is None or ct is None else _checked(node, ct, box(new))
        for ct, new in zip(cts, given, strict=True)
    ]


def _checked(node: TapeNode, ct: Any, replaced: Any) -> Any:
    if tuple(replaced.shape) != tuple(ct.shape):
        raise ShapeError(
            f"register_hook: a hook of {node.name()} returned shape {tuple(replaced.shape)}",
            why=f"the gradient that it replaces has shape {tuple(ct.shape)}",
        )
    return replaced if replaced.dtype == ct.dtype else replaced.to(ct.dtype)


def _with_zeros(node: TapeNode, cts: list[Any]) -> list[Any]:
    """Return `cts` with zeros for the outputs that received nothing, if the node wants them."""
    if len(cts) == 1 or not node.materialize:
        return cts
    some = next(ct for ct in cts if ct is not None)
    return [
        some.zeros_of(spec) if ct is None else ct
        for ct, spec in zip(cts, node.out_specs, strict=True)
    ]
