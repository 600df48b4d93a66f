"""Loop programs as machine code, and the memory that they work in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from jitgrad.codegen.generate import module_source
from jitgrad.core.dtypes import float64, int64
from jitgrad.core.recycling import is_recycled, recycled
from jitgrad.loops.emit import emit
from jitgrad.loops.heights import SOME, heights
from jitgrad.loops.program import Array as Memory
from jitgrad.loops.program import Program
from jitgrad.runtime.build import ArgumentType, build_kernel
from jitgrad.runtime.failures import raise_failure

Array = np.ndarray[Any, Any]
# Numbers that a stack has room for at first, at most.
_MOST_AT_FIRST = 1 << 20
_MOST_RECYCLED = 1 << 23


class LoopKernel:
    """A loop program as machine code.

    Parameters
    ----------
    program : Program
        What it does.
    title : str
        The user's function, for the file of the source.
    """

    def __init__(self, program: Program, title: str) -> None:
        self.program = program
        self.text = text = emit(program)
        written = {id(a) for a in (*program.outputs, *program.temporaries)}
        types = [ArgumentType(a.dtype, len(a.shape)) for a in text.arrays]
        types += [ArgumentType(float64, 1) for _ in text.stacks]
        types += [ArgumentType(int64, is_scalar=True) for _ in text.counts]
        self.rest: list[Any] = []
        for numbers, dtype in ((text.sizes, int64), (text.numbers, float64)):
            if numbers:
                types.append(ArgumentType(dtype, 1))
                self.rest.append(np.array(numbers, dtype))
        if text.tells:
            types.append(ArgumentType(int64, 1))
        self.kernel = build_kernel(module_source(text.source, title), "kernel", tuple(types))
        self.makers: dict[Memory, Callable[[], Array]] = {
            a: new_array(a.shape, a.dtype) for a in text.arrays if id(a) in written
        }
        self._pool: list[dict[Memory, Array]] = []

    def run(
        self,
        given: dict[Memory, Array],
        counts: Sequence[int] = (),
        stacks: Sequence[Array] = (),
        heights: Sequence[int] = (),
    ) -> tuple[int, list[int]]:
        """Run it; memory that is not given is taken from a pool.

        Returns
        -------
        int
            0, or ``-1 - k`` where stack number `k` is full.
        list of int
            Heights of the stacks; of one that is full the least height that is needed.
        """
        try:
            spare = self._pool.pop()
        except IndexError:
            spare = {}
        arguments: list[Any] = []
        for memory in self.text.arrays:
            array = given.get(memory)
            if array is None:
                array = spare.get(memory)
                if array is None:
                    array = spare[memory] = np.empty(memory.shape, memory.dtype)
            arguments.append(array)
        arguments += stacks
        arguments += counts
        arguments += self.rest
        if not self.text.tells:
            self.kernel.unchecked(*arguments)
            self._pool.append(spare)
            return 0, []
        failures = np.zeros(1 + len(self.text.stacks), np.int64)
        failures[1:] = heights
        self.kernel.unchecked(*arguments, failures)
        self._pool.append(spare)
        code, *reached = failures.tolist()
        if code > 0:
            raise_failure(self.text.failures, code)
        return code, reached


class Stacks:
    """Memory for the stacks of a program, which grows to what its runs need.

    Parameters
    ----------
    kernel : LoopKernel
        The program.
    """

    def __init__(self, kernel: LoopKernel) -> None:
        needed = heights(kernel.program)
        # About how many bytes an iteration keeps of a loop of which nobody knows how many it has.
        self.bytes_each = -(-8 * sum(needed.values()) // SOME)
        self.rooms = [min(max(needed.get(s, 0), 1), _MOST_AT_FIRST) for s in kernel.text.stacks]
        self._makers = [new_array((room,), float64) for room in self.rooms]

    def make(self) -> list[Array]:
        """Return empty stacks."""
        return [make() for make in self._makers]

    def run_with_room(
        self,
        kernel: LoopKernel,
        written: Iterable[Memory],
        inputs: dict[Memory, Array],
        counts: Sequence[int],
    ) -> tuple[dict[Memory, Array], list[Array], list[int]]:
        """Run the program, again with more room where a stack was full.

        Returns
        -------
        dict
            The arrays that it wrote to, among others.
        list of ndarray, list of int
            The stacks, and how many numbers are on each.
        """
        while True:
            given = {m: kernel.makers[m]() for m in written} | inputs
            stacks = self.make()
            code, heights = kernel.run(given, counts, stacks, [0] * len(stacks))
            if not code:
                return given, stacks, heights
            self.grow(-1 - code, heights[-1 - code])

    def grow(self, number: int, height: int) -> None:
        """Let one of them have room for more."""
        self.rooms[number] = room = max(2 * self.rooms[number], height + height // 2)
        # Very large ones are given back to the system when nobody needs them any more.
        large = room > _MOST_RECYCLED
        self._makers[number] = (lambda: np.empty(room)) if large else new_array((room,), float64)


def new_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Callable[[], Array]:
    """Return a function that gives memory, which may have been used before."""
    if is_recycled(shape, dtype):
        return recycled(shape, dtype)
    return lambda: np.empty(shape, dtype)
