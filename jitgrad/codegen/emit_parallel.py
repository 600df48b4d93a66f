"""The text of a kernel that several threads run, its large nests in blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from jitgrad.codegen.emit import KernelEmitter, loop_name
from jitgrad.codegen.expressions import CAST_NAMES
from jitgrad.codegen.nests import (
    Call,
    Compute,
    Extent,
    IndexEntry,
    Item,
    Loop,
    MatrixProduct,
    Statement,
)
from jitgrad.codegen.parallel import Division, Nest, ParallelPlan
from jitgrad.codegen.storage import Buffer, leaves
from jitgrad.codegen.text import KernelText
from jitgrad.ir.graph import Value

_TEAM = ["team", "rank"]
_LEAD = "if rank == 0:"


class ParallelEmitter(KernelEmitter):
    """Writes a kernel that all threads of a team run; see `jitgrad/intrinsics/parallel.py`."""

    plan: ParallelPlan

    def run_with(self, plan: ParallelPlan) -> KernelText:
        """Return the text of the kernel that runs as `plan` says."""
        self.plan = plan
        # The nest that is being written, and the reductions whose partial results it adds to.
        self.nest: Nest | None = None
        self.part_name = self.unused_name("part")
        self.first_name, self.end_name = self.unused_name("first"), self.unused_name("end")
        self.nests_written = 0
        # Whether what follows is for the first thread alone.
        self.leading = False
        # Whether some threads may not have written yet what follows reads, or not have read yet
        # what follows may overwrite.
        self.unwritten = self.unread = False
        self.multiplies = any(
            isinstance(leaf, Call) for item in self.part.body for leaf in leaves(item)
        )
        text = self.run()
        text.team = True
        text.thread_bytes = plan.thread_bytes
        text.multiplies = self.multiplies
        text.nanoseconds = plan.nanoseconds
        return text

    def team_parameters(self) -> list[str]:
        """Return the names of the arguments that make threads a team."""
        return _TEAM

    def arena_bytes(self) -> int:
        """Return the size of the part of the arena that all threads use."""
        return self.plan.shared_bytes

    # -- who does what --------------------------------------------------------------------

    def body(self, items: list[Item], depth: int) -> None:
        """Write items; those of the whole kernel each for the threads that do them."""
        if items is not self.part.body:
            super().body(items, depth)
            return
        self.writer.line("enter(team, rank)")
        if self.multiplies:
            self.writer.line("share_blas(team, False)")
        starts = self.plan.starts()
        for item in items:
            if id(item) in starts:
                continue
            if isinstance(item, Loop) and item in self.plan.nests:
                self.blocks(self.plan.nests[item])
            elif isinstance(item, Call) and item in self.plan.products:
                self.product_in_blocks(item.step, self.plan.products[item])
            elif id(item) in self.plan.leading:
                self.lead()
                super().body([item], 0)
            else:
                self.follow()
                super().body([item], 0)
                self.unread |= isinstance(item, Compute) and self.reads_results(item.statement)
        self.end_of_leading()
        if self.multiplies:
            self.meet()
            self.writer.line("share_blas(team, True)")
        self.writer.line("leave(team, rank)")

    def reads_results(self, statement: Statement) -> bool:
        """Return whether a statement reads memory that this kernel writes."""
        made = (read.value for read in statement.reads())
        return any(self.storage.root(v) in self.storage.buffers for v in made)

    def lead(self) -> None:
        """Let the first thread alone do what follows."""
        if not self.leading:
            self.meet()
            self.writer.line(_LEAD)
            self.writer.depth += 1
            self.leading = True

    def follow(self) -> None:
        """Let all threads do what follows."""
        self.end_of_leading()
        if self.unwritten:
            self.meet()

    def end_of_leading(self) -> None:
        """End what the first thread alone does."""
        if self.leading:
            self.writer.depth -= 1
            self.leading = False
            if self.writer.lines[-1].endswith(_LEAD):
                # What was to come is written where it is read.
                self.writer.lines.pop()
            else:
                self.unwritten = True

    def meet(self) -> None:
        """Let all threads come here before any goes on, where one may not."""
        if self.unwritten or self.unread:
            self.writer.line("meet(team, rank)")
            self.unwritten = self.unread = False

    # -- nests in blocks ------------------------------------------------------------------

    @contextlib.contextmanager
    def in_blocks(self, count: int, extent: Extent) -> Iterator[str]:
        """Write the loop in which threads take blocks of `extent`, around what is written inside.

        Gives the name of the number of blocks.
        """
        self.end_of_leading()
        self.meet()
        part, blocks = self.part_name, self.unused_name(f"parts{self.nests_written}")
        self.nests_written += 1
        self.prologue.append(f"{blocks} = {self.size_parameter(count)}")
        size = self.extent_name(extent)
        self.writer.line(f"{part} = take(team)")
        self.writer.line(f"while {part} < {blocks}:")
        self.writer.depth += 1
        self.writer.line(f"{self.first_name} = first_of({part}, {blocks}, {size})")
        self.writer.line(f"{self.end_name} = first_of({part} + 1, {blocks}, {size})")
        yield blocks
        self.writer.line(f"{part} = take(team)")
        self.writer.depth -= 1
        self.unwritten = True

    def blocks(self, nest: Nest) -> None:
        """Write a nest that runs in blocks, and how their partial results are combined."""
        with self.in_blocks(nest.blocks, nest.loop.extent) as blocks:
            self.nest = nest
            for statement in nest.sums:
                self.carve_parts(statement.out, blocks)
                self.start_block(statement, nest)
            super().body([nest.loop], 0)
            self.nest = None
        if nest.sums:
            self.meet()
        for combine in (self.combine_scalars, self.combine_arrays):
            for statement in nest.sums:
                if self.is_scalar(statement.out) == (combine == self.combine_scalars):
                    combine(statement, nest, blocks)

    def product_in_blocks(self, step: MatrixProduct, division: Division) -> None:
        """Write a product of which each block computes some rows or columns."""
        result = step.result
        axis = result.rows_axis if division.by_rows else result.columns_axis
        share = f"{self.first_name}:{self.end_name}"
        rows, columns = (share, "") if division.by_rows else ("", share)
        with self.in_blocks(division.blocks, self.lowered.extent(step.out, axis)):
            self.matrix_product(step, rows, columns)

    def carve_parts(self, value: Value, blocks: str) -> None:
        """Define the array of partial results, a row for each block."""
        buffer = self.plan.partial[value]
        own = self.shape_text(value, buffer.axes).strip("(),")
        shape = f"({blocks}, {own})" if own else f"({blocks},)"
        offset, dtype = self.size_parameter(buffer.offset), CAST_NAMES[value.dtype.name]
        text = f"block(arena, {offset}, {shape}, {dtype}, {buffer.slot})"
        self.prologue.append(f"{self.parts_name(value)} = {text}")

    def start_block(self, statement: Statement, nest: Nest) -> None:
        """Store the first value of a block's accumulator."""
        if self.is_scalar(statement.out):
            super().body([nest.starts[statement]], 0)
            return
        depth = self.writer.depth
        names = self.loops_over_result(statement)
        target = self.buffer_text(statement.out, statement.out_index, names)
        self.writer.line(f"{target} = {self.identity_text(statement)}")
        self.writer.depth = depth

    def combine_scalars(self, statement: Statement, nest: Nest, blocks: str) -> None:
        """Write how a number is combined from those of the blocks."""
        out = statement.out
        super().body([nest.starts[statement]], 0)
        self.writer.line(f"for {self.part_name} in range({blocks}):")
        self.writer.depth += 1
        self.update(statement, self.scalar_name(out), f"{self.parts_name(out)}[{self.part_name}]")
        self.writer.depth -= 1
        super().finish(statement, 0)

    def combine_arrays(self, statement: Statement, nest: Nest, blocks: str) -> None:
        """Write how an array is combined from those of the blocks."""
        self.lead()
        if statement in nest.starts:
            super().body([nest.starts[statement]], 0)
        depth = self.writer.depth
        self.writer.line(f"for {self.part_name} in range({blocks}):")
        self.writer.depth += 1
        names = self.loops_over_result(statement)
        target = self.buffer_text(statement.out, statement.out_index, names)
        self.update(statement, target, self.parts_text(target, statement.out))
        self.writer.depth = depth

    def loops_over_result(self, statement: Statement) -> list[str]:
        """Begin loops over what a reduction over the outermost loop keeps; return their names."""
        kept = [n for n in range(len(statement.axes)) if n not in statement.reduced]
        names = [""] * len(statement.axes)
        for position, number in enumerate(kept):
            names[number] = loop_name(position)
            extent = self.extent_name(statement.axes[number])
            self.writer.line(f"for {names[number]} in range({extent}):")
            self.writer.depth += 1
        return names

    # -- names ----------------------------------------------------------------------------

    def loop_bounds(self, loop: Loop) -> tuple[str, str]:
        """Return the text of the first index of a loop, and of where it ends."""
        if self.nest is None or self.nest.loop not in (loop, loop.inside):
            return super().loop_bounds(loop)
        return self.first_name, self.end_name

    def offset_text(self, buffer: Buffer) -> str:
        """Return the text of where a buffer begins in the arena."""
        own = self.plan.own.get(buffer.value)
        if own is None:
            return super().offset_text(buffer)
        offset = self.size_parameter(self.plan.shared_bytes + own)
        return f"{offset} + rank * {self.size_parameter(self.plan.thread_bytes)}"

    def buffer_text(self, value: Value, index: tuple[IndexEntry, ...], loops: list[str]) -> str:
        """Return the text of an element, that of the block in place of a total."""
        text = super().buffer_text(value, index, loops)
        if self.nest is None or all(value is not s.out for s in self.nest.sums):
            return text
        return self.parts_text(text, value)

    def parts_text(self, text: str, value: Value) -> str:
        """Return the text of an element of a block's partial result, given that of the total."""
        index = text.removeprefix(f"{self.names[value]}[").removesuffix("]")
        return f"{self.parts_name(value)}[{self.part_name}, {index}]"

    def parts_name(self, value: Value) -> str:
        """Return the name of the array of partial results."""
        return self.unused_name(f"{self.names[value]}_parts")

    def finish(self, statement: Statement, depth: int) -> None:
        """Store a finished accumulator, as a partial result inside a block."""
        if self.nest is None or statement not in self.nest.sums:
            super().finish(statement, depth)
        elif self.is_scalar(statement.out):
            target = f"{self.parts_name(statement.out)}[{self.part_name}]"
            self.writer.line(f"{target} = {self.scalar_name(statement.out)}")
