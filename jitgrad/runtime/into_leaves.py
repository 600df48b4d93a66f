"""A generated function for `backward` of one number into leaves, without a sweep of the tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.core.bind import thread_state
from jitgrad.runtime.graph_function import Derivative
from jitgrad.runtime.native import MISS
from jitgrad.runtime.program import USUAL_LAYOUT, layout_of
from jitgrad.tensor.tensor import Tensor


def raw_of(thing: Any) -> Any:
    """Return the array that a program is given for an argument; numbers as they are."""
    if isinstance(thing, np.generic):
        return np.asarray(thing)
    return thing._raw if isinstance(thing, Tensor) else thing


def write_into_leaves(derivative: Derivative, arguments: list[Any]) -> Callable[..., Any]:
    """Write what carries the gradient of one number into the leaves it was computed from.

    Parameters
    ----------
    derivative : Derivative
        The function's derivative; each input it is taken by is a leaf.
    arguments : list
        What the function was called with.

    Returns
    -------
    callable
        Takes the tape's node; False if it has changed nothing since something is unusual.
    """
    plan = derivative.split
    number = {value: k for k, value in enumerate(derivative.graph.inputs)}
    place = {value: k for k, value in enumerate(plan.kept)}
    lines = [
        "if node.hooks or thread.trace is not None: return False",
        "a, v, k = node.arguments, node.versions, node.kept",
    ]
    raws, layouts = [], []
    for value in plan.saved:
        if value in place:
            raws.append(f"k[{place[value]}]")
            layouts.append(USUAL_LAYOUT)
            continue
        position = number[value]
        thing = arguments[position]
        if isinstance(thing, Tensor):
            lines.append(f"if a[{position}]._storage.version != v[{position}]: return False")
        raws.append(f"a[{position}]" + ("._raw" if isinstance(thing, Tensor) else ""))
        layouts.append(layout_of(raw_of(thing)))
    program = derivative.backward_program((*layouts, USUAL_LAYOUT))
    native = program.make_native()
    leaves = [f"l{k}" for k in range(len(derivative.wrt))]
    lines.append("e = node.edges")
    for k, leaf in enumerate(leaves):
        lines.append(f"{leaf} = e[{k}][0]")
        lines.append(f"if {leaf}.hooks: return False")
    lines.append(f"o = run({', '.join([*raws, 'one'])})")
    if native is not None:
        lines.append("if o is MISS: return False")
    for k, leaf in enumerate(leaves):
        lines.append(f"{leaf} = {leaf}._leaf()")
        lines.append(f"if {leaf} is not None:")
        lines.append(f"    if {leaf}._grad is None:")
        lines.append(f"        t = new(Tensor); t._raw = o[{k}]; {leaf}._grad = t")
        lines.append(f"    else: {leaf}.accumulate_array(o[{k}])")
    lines.append("return True")
    body = "".join(f"    {line}\n" for line in lines)
    spec = derivative.out_specs[0]
    namespace: dict[str, Any] = {
        "run": native or program.run, "one": np.ones(spec.shape, spec.dtype), "MISS": MISS,
        "new": object.__new__, "Tensor": Tensor, "thread": thread_state,
    }  # fmt: skip
    exec(f"def into_leaves(node):\n{body}", namespace)
    made: Callable[..., Any] = namespace["into_leaves"]
    return made
