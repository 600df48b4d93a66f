"""Small graphs with loops as one kernel, so that nothing is paid between loops."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.codegen.text import KernelText
from jitgrad.core.dtypes import float64
from jitgrad.ir.graph import Graph, Literal, Value
from jitgrad.runtime.build import Kernel
from jitgrad.runtime.native import (
    ArrayInput,
    Held,
    NewArray,
    Scratch,
    WriteBack,
    native_call,
)

if TYPE_CHECKING:
    from jitgrad.loops.program import Array as Memory
    from jitgrad.runtime.loop_kernels import LoopKernel, Stacks

# So many elements may be computed outside of loops, where loop programs are not as good.
_MOST_OUTSIDE = 1 << 14
# ndarray.flags.num of arrays that are C-contiguous, aligned, writeable: the runtime's usual ones.
_USUAL = 0x501

Small = tuple[
    Callable[..., tuple[Any, ...]], Kernel, KernelText, Callable[..., Callable[..., Any] | None]
]


def small_loops(graph: Graph, layout: dict[Value, int], title: str) -> Small | None:
    """Return what runs a small graph with loops as one kernel; None for other graphs.

    Parameters
    ----------
    graph : Graph
        Simplified.
    layout : dict
        For each input bits of its flags, -1 for a number.
    title : str
        The user's function.

    Returns
    -------
    callable
        Takes the inputs, returns the outputs.
    Kernel, KernelText
        What it runs, and the text of that.
    callable
        Returns a quicker form of the first; None if there is none.
    """
    loops = ("loop", "loop_backward")
    if not any(node.primitive.name in loops for node in graph.nodes):
        return None
    outside = [n for n in graph.nodes if n.primitive.name not in loops]
    if sum(v.spec.size for n in outside for v in n.outputs) > _MOST_OUTSIDE:
        return None
    if any(isinstance(output, Literal) for output in graph.outputs):
        return None
    from jitgrad.loops.builder import NotLowerableError
    from jitgrad.loops.lower import lower_graph
    from jitgrad.runtime.loop_kernels import LoopKernel, Stacks

    try:
        kernel = LoopKernel(lower_graph(graph), title)
    except NotLowerableError:
        return None
    program, text = kernel.program, kernel.text
    stacks = Stacks(kernel)

    def run(*inputs: Any) -> tuple[Any, ...]:
        given = {
            memory: np.asarray(x, memory.dtype, order="C")
            for memory, x in zip(program.inputs, inputs, strict=True)
        }
        while True:
            made = {m: kernel.makers[m]() for m in program.outputs}
            code, heights = kernel.run(
                {**given, **made}, (), stacks.make(), [0] * len(stacks.rooms)
            )
            if not code:
                return tuple([made[m] for m in program.outputs])
            stacks.grow(-1 - code, heights[-1 - code])

    outputs = [output for output in graph.outputs if isinstance(output, Value)]
    shown = KernelText(
        text.source, [*graph.inputs, *outputs], set(outputs), text.sizes, text.numbers, 0,
        text.failures, text.source.count("\n"), text.source.count("\n    for "),
    )  # fmt: skip
    native = functools.cache(functools.partial(_native, kernel, stacks, graph, layout))
    return run, kernel.kernel, shown, native


def _native(
    kernel: LoopKernel,
    stacks: Stacks,
    graph: Graph,
    layout: dict[Value, int],
    *written: tuple[int, int],
) -> Callable[..., Any] | None:
    """Return the call without Python in between, as of `Program.make_native`."""
    if any(layout[value] != _USUAL for value in graph.inputs):
        return None
    program, text = kernel.program, kernel.text
    inputs = [ArrayInput(v.shape, v.dtype, _USUAL, layout[v]) for v in graph.inputs]
    number = {memory: k for k, memory in enumerate(program.inputs)}
    targets = dict(written)
    new: dict[Memory, NewArray | WriteBack] = {}
    for place, memory in enumerate(program.outputs):
        if place not in targets:
            new[memory] = NewArray(memory.shape, memory.dtype, memory.shape)
        elif graph.inputs[targets[place]].dtype == memory.dtype:
            new[memory] = WriteBack(targets[place], memory.shape, memory.dtype)
        else:
            return None
    arguments: list[Any] = []
    for memory in text.arrays:
        if memory in number:
            arguments.append(number[memory])
        elif memory in new:
            arguments.append(new[memory])
        else:
            arguments.append(Scratch.of(memory.shape, memory.dtype))
    arguments += [Scratch.of((room,), float64) for room in stacks.rooms]
    arguments += map(Held, kernel.rest)
    if text.tells:
        arguments.append(Scratch(8 * (1 + len(text.stacks)), is_failure=True))
    results = [made for made in new.values() if isinstance(made, NewArray)]
    return native_call(inputs, arguments, results, kernel.kernel)
