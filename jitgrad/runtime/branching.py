"""A generated function for calls that take branches: the tree of segments as nested ``if``.

Between two segments stands the comparison of the value that was asked for with those that are
known. A value never seen before is a miss, and the general way traces it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad.core.tree import Tree
from jitgrad.ir.graph import Literal, Operand, Value
from jitgrad.ir.walk import active_values
from jitgrad.runtime.dispatch import compile_segment
from jitgrad.runtime.into_leaves import raw_of
from jitgrad.runtime.program import USUAL_LAYOUT, layout_of
from jitgrad.runtime.straight import CallWriter, Straight
from jitgrad.runtime.variant import Variant
from jitgrad.tensor.modes import modes
from jitgrad.trace.segments import Segment

# Beyond so many segments a walk down the tree is as good.
_MOST_SEGMENTS = 32


def make_branching(
    variant: Variant,
    leaves: Sequence[Any],
    tree: Tree,
    dynamic: frozenset[int],
    captured: Sequence[Any],
    title: str,
) -> Straight | None:
    """Return the function for calls like this one, None where the general way is needed.

    That is where something is changed in place, random numbers are drawn or gradients may be asked
    for afterwards. The parameters are those of `make_straight`.
    """
    paths = variant.tree
    if paths.writes or paths.draws or len(paths.in_order()) > _MOST_SEGMENTS:
        return None
    writer = _TreeWriter(variant, leaves, captured, title)
    return None if writer.is_differentiated() else writer.write_tree(tree, dynamic)


class _TreeWriter(CallWriter):
    def __init__(self, variant: Variant, *given: Any) -> None:
        super().__init__(variant, *given)
        # What the segments so far have computed: number of each output, and each one's operand.
        self.made: dict[Value, int] = {}
        self.operands: list[Operand] = []

    def is_differentiated(self) -> bool:
        """Return whether a result may be asked for its gradient."""
        wrt = [
            value
            for value, source in self.variant.tree.inputs.items()
            if modes.grad and getattr(self.now(source), "_requires_grad", False)
        ]
        nodes = [node for segment in self.variant.tree.in_order() for node in segment.nodes]
        return not active_values(nodes, wrt).issubset(wrt)

    def write_tree(self, tree: Tree, dynamic: frozenset[int]) -> Straight | None:
        """Return the function; None if a part can't be written."""
        self.miss_if(f"thread.trace is not None or modes.grad is not {modes.grad}")
        if not self.take_apart("given", tree):
            return None
        sources = self.variant.tree.inputs.values()
        passed = {s.number for s in sources if s.kind == "argument" and not s.gradient}
        passed = self.arrays_to_check(passed)
        for number, argument in enumerate(self.arguments):
            if not self.check_argument(number, argument, number in dynamic, number in passed):
                return None
        if not self.check_arrays(passed):
            return None
        self.check_guards()
        self.check_identities()
        root = self.variant.tree.root
        assert root is not None
        return self.finish() if self.segment(root) else None

    def segment(self, segment: Segment) -> bool:
        """Write a segment and all that may follow; False if it can't be written."""
        compiled = segment.compiled or compile_segment(segment, self.title)
        function, outputs = compiled.function, compiled.function.graph.outputs
        if outputs:
            texts, layouts = [], []
            for value in compiled.inputs:
                if value in self.made:
                    name = f"o{self.made[value]}"
                    texts.append(f"{name}.item()" if value.spec.weak else name)
                    layouts.append(-1 if value.spec.weak else USUAL_LAYOUT)
                else:
                    source = self.variant.tree.inputs[value]
                    texts.append(self.raw(source, False))
                    layouts.append(layout_of(raw_of(self.now(source))))
            program = function.forward_program(tuple(layouts))
            if program.fallback or any(isinstance(operand, Literal) for operand in outputs):
                return False
            native = program.make_native()
            run = self.bind("run", native or program.run)
            self.lines.append(f"o = {run}({', '.join(texts)})")
            if native is not None:
                self.miss_if("o is MISS")
            first = len(self.operands)
            self.operands += outputs
            self.made |= {value: first + k for k, value in enumerate(compiled.outputs)}
            names = [f"o{first + k}" for k in range(len(outputs))]
            self.lines.append(f"{', '.join(names)}, = o")
        if segment.result is not None:
            self.lines.append(f"return {self.result_text(segment.result, None)}")
            return True
        return self.branches(segment)

    def branches(self, segment: Segment) -> bool:
        """Write what follows, for each value that was seen."""
        asked = segment.demanded
        if asked is None or asked not in self.made:
            return False
        name = f"o{self.made[asked]}"
        answer = f"asarray({name}.item())" if asked.spec.weak else name
        self.lines.append(f"answer = {answer}.tobytes()")
        for seen, following in segment.branches.items():
            before = dict(self.raws), set(self.tensors), dict(self.made), list(self.operands)
            outer, self.lines = self.lines, []
            written = self.segment(following)
            outer.append(f"if answer == {seen!r}:")
            outer += [f"    {line}" for line in self.lines]
            self.lines = outer
            self.raws, self.tensors, self.made, self.operands = before
            if not written:
                return False
        self.lines.append("return MISS")
        return True

    def numbers(self) -> dict[Value, int]:
        return self.made

    def operand(self, k: int) -> Operand:
        return self.operands[k]
