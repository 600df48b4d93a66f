"""The text of a loop program: a Python function of arrays, for the compiler and for people."""

from __future__ import annotations

import keyword
import re
from collections import Counter
from dataclasses import dataclass, field

from jitgrad.codegen.expressions import (
    CAST_NAMES,
    cast,
    computing_dtype,
    literal,
    parenthesised,
    template_text,
)
from jitgrad.codegen.text import Failure, Writer
from jitgrad.core.dtypes import DType, bool_, float64, is_floating
from jitgrad.core.primitive import Template
from jitgrad.core.spec import Count as SizeNumber
from jitgrad.intrinsics.catalogue import all_intrinsics
from jitgrad.loops.distribute import distribute
from jitgrad.loops.forwarding import forward_elements
from jitgrad.loops.gather import gather
from jitgrad.loops.independent import is_order_free, note_independence
from jitgrad.loops.program import (
    Apply,
    Array,
    Block,
    Check,
    Combine,
    Count,
    For,
    If,
    Index,
    Linear,
    Load,
    Number,
    Pop,
    Program,
    Push,
    Scalar,
    Stack,
    Statement,
    Store,
    While,
    statements,
)
from jitgrad.loops.stacked import places_on_stacks

# Larger whole numbers are sizes, or follow from them; the text does not contain those.
_LARGEST = 8
_INDEX_NAMES = "ijklmopq"
_RESERVED = {
    "sizes", "numbers", "failures", "kernel", "range", "independent", "inf", "nan", "disjoint",
    "sized",
    *CAST_NAMES.values(), *keyword.kwlist,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class LoopText:
    """The text of a loop program.

    Parameters
    ----------
    source : str
        Of the function, without imports.
    arrays : list of Array
        What it takes, in order.
    counts : list of Scalar
        Whole numbers that it takes after them.
    sizes, numbers : list
        Contents of the arguments that follow; there is none for an empty list.
    failures : list of Failure
        What number ``k + 1`` in the argument ``failures`` means; ``-1 - k`` is stack number `k`
        being full.
    stacks : list of Stack
        Stacks that it takes after the arrays; their heights, before and after, follow the first
        element of ``failures``.
    """

    source: str
    arrays: list[Array]
    counts: list[Scalar]
    sizes: list[int]
    numbers: list[float]
    failures: list[Failure]
    stacks: list[Stack]

    @property
    def tells(self) -> bool:
        """Whether it takes ``failures``."""
        return bool(self.failures or self.stacks)


def emit(program: Program) -> LoopText:
    """Return the text of a loop program."""
    return _Emitter(forward_elements(note_independence(distribute(gather(program))))).run()


@dataclass(slots=True)
class _Names:
    """Gives each thing a name of its own."""

    taken: set[str] = field(default_factory=set)
    held: dict[object, str] = field(default_factory=dict)

    def of(self, thing: Scalar | Array, stem: str) -> str:
        found = self.held.get(thing)
        if found is not None:
            return found
        stem = thing.name or stem
        if not stem.isidentifier():
            stem = "value"
        name, number = stem, 0
        while name in self.taken or re.fullmatch(r"(n|s|saved|top)\d+", name):
            number += 1
            name = f"{stem}_{number}"
        self.taken.add(name)
        self.held[thing] = name
        return name


class _Emitter:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.writer = Writer()
        intrinsics = {record.name for record in all_intrinsics()}
        self.names = _Names({*_RESERVED, *intrinsics})
        self.sizes: list[int] = []
        self.numbers: list[float] = []
        self.failures: list[Failure] = []
        everything = list(statements(program.body))
        used = [s.stack for s in everything if isinstance(s, (Push, Pop))]
        self.stacks = list(dict.fromkeys(used))
        self.depth = 0
        self.places: dict[Push | Pop, Linear] = {}

    def run(self) -> LoopText:
        program = self.program
        arrays = list(dict.fromkeys([*program.inputs, *program.outputs, *program.temporaries]))
        texts = [self.names.of(a, "x") for a in arrays]
        counts = [self.names.of(c, "n") for c in program.counts]
        saved = [f"saved{k}" for k in range(len(self.stacks))]
        texts = [*texts, *saved]
        self.block(program.body)
        body = self.writer.lines
        parameters = [*texts, *counts]
        self.writer = Writer()
        for given, name in ((self.sizes, "sizes"), (self.numbers, "numbers")):
            parameters += [name] if given else []
            for number in range(len(given)):
                self.writer.line(f"{name[0]}{number} = {name}[{number}]")
        parameters += ["failures"] if self.failures or self.stacks else []
        if len(texts) > 1:
            self.writer.line(f"{', '.join(texts)} = disjoint({', '.join(texts)})")
            for name, array in zip(texts, arrays, strict=False):
                self.tell_sizes(name, array)
        for number in range(len(saved)):
            self.writer.line(f"top{number} = failures[{number + 1}]")
        lines = [f"def kernel({', '.join(parameters)}):", *self.writer.lines, *body]
        lines += [f"    failures[{number + 1}] = top{number}" for number in range(len(saved))]
        if len(lines) == 1:
            lines.append("    pass")
        source = "\n".join(lines) + "\n"
        return LoopText(
            source, arrays, program.counts, self.sizes, self.numbers, self.failures, self.stacks
        )

    def tell_sizes(self, name: str, array: Array) -> None:
        """Write how long an array's short axes are, which its text depends on anyway."""
        sizes = [size if 0 < size <= _LARGEST else -1 for size in array.shape]
        if any(size > 0 for size in sizes[1:]):
            self.writer.line(f"{name} = sized({', '.join([name, *map(str, sizes)])})")

    # -- expressions ----------------------------------------------------------------------

    def whole(self, number: int) -> str:
        if abs(number) <= _LARGEST:
            return str(number)
        if number not in self.sizes:
            self.sizes.append(number)
        return f"s{self.sizes.index(number)}"

    def linear(self, value: Linear) -> str:
        parts: list[str] = []
        for scalar, coefficient in value.terms:
            name = self.names.of(scalar, "k")
            sign = "-" if coefficient < 0 else "+"
            size = abs(coefficient)
            parts.append(f"{sign} {name}" if size == 1 else f"{sign} {self.whole(size)} * {name}")
        constant = value.constant
        if constant or not parts:
            sign = "-" if -_LARGEST <= constant < 0 else "+"
            text = self.whole(abs(constant) if sign == "-" else constant)
            parts.append(f"{sign} {text}")
        text = " ".join(parts)
        return text[2:] if text.startswith("+ ") else f"-{text[2:]}"

    def index(self, index: Index) -> str:
        return f"[{', '.join(map(self.linear, index)) if index else '()'}]"

    def number(self, number: Number, dtype: DType) -> str:
        """Return the text of a number, as one of a dtype."""
        if isinstance(number, Scalar):
            return cast(self.names.of(number, "v"), number.dtype, dtype)
        if isinstance(number.number, SizeNumber):
            value = float(number.number)
            if value not in self.numbers:
                self.numbers.append(value)
            return cast(f"n{self.numbers.index(value)}", float64, dtype)
        return literal(number.number, dtype)

    def own(self, number: Number) -> str:
        """Return the text of a number as what it is."""
        dtype = number.dtype if isinstance(number, Scalar) else number.spec.dtype
        return self.number(number, dtype)

    # -- statements -----------------------------------------------------------------------

    def block(self, block: Block) -> None:
        if not block:
            self.writer.line("pass")
        previous: Statement | None = None
        for statement in block:
            if (
                isinstance(statement, Push)
                and statement not in self.places
                and not isinstance(previous, Push)
            ):
                self.check_room(statement.stack, str(len(block)))
            getattr(self, f"write_{type(statement).__name__}")(statement)
            previous = statement

    def check_room(self, stack: Stack, count: str) -> None:
        """Write the end of the program where a stack has no room for so many numbers."""
        number = self.stacks.index(stack)
        self.writer.line(f"if top{number} + {count} > saved{number}.shape[0]:")
        self.writer.line(f"    failures[{number + 1}] = top{number} + {count}")
        self.writer.line(f"    failures[0] = {-1 - number}")
        self.writer.line("    return")

    def write_Apply(self, statement: Apply) -> None:  # noqa: N802 - named by the statement
        node = statement.node
        form = node.primitive.lowering
        assert isinstance(form, Template)
        names, specs = node.primitive.inputs, list(node.specs)
        out = statement.out
        dtype = computing_dtype(form, names, specs, node.outputs[0].spec)
        if form.text == "{x}":
            dtype = out.dtype
        fields = {}
        for name, number in zip(names, statement.inputs, strict=True):
            text = self.own(number) if name in form.uncast else self.number(number, dtype)
            fields[name] = parenthesised(text)
        text = template_text(form, dtype).format(**fields)
        if out.dtype.name == "int32" and dtype.name == "int32":
            text = f"i32({text})"
        self.writer.line(f"{self.names.of(out, 'v')} = {text}")

    def write_Combine(self, statement: Combine) -> None:  # noqa: N802
        dtype = statement.out.dtype
        accumulator = self.number(statement.accumulator, dtype)
        x = self.number(statement.element, dtype)
        text = statement.form.combine.format(acc=parenthesised(accumulator), x=parenthesised(x))
        self.writer.line(f"{self.names.of(statement.out, 'total')} = {text}")

    def write_Count(self, statement: Count) -> None:  # noqa: N802
        text = self.linear(statement.value)
        self.writer.line(f"{self.names.of(statement.out, 'k')} = {text}")

    def write_Load(self, statement: Load) -> None:  # noqa: N802
        array = self.names.of(statement.array, "x")
        name = self.names.of(statement.out, f"{array}_")
        self.writer.line(f"{name} = {array}{self.index(statement.index)}")

    def write_Store(self, statement: Store) -> None:  # noqa: N802
        array = statement.array
        target = f"{self.names.of(array, 'x')}{self.index(statement.index)}"
        sign = "+=" if statement.adds else "="
        self.writer.line(f"{target} {sign} {self.number(statement.value, array.dtype)}")

    def write_Check(self, statement: Check) -> None:  # noqa: N802
        size = statement.size.known
        self.failures.append(Failure(statement.node, statement.axis, size))
        index = parenthesised(self.linear(statement.value))
        self.writer.line(f"if {index} < 0 or {index} >= {self.linear(statement.size)}:")
        self.writer.line(f"    failures[0] = {len(self.failures)}")
        self.writer.line("    return")

    def write_Push(self, statement: Push) -> None:  # noqa: N802
        number = statement.value
        dtype = number.dtype if isinstance(number, Scalar) else number.spec.dtype
        text = self.number(number, dtype)
        if not is_floating(dtype):
            text = f"f64({text})"
        self.writer.line(f"{self.on_stack(statement)} = {text}")
        if statement not in self.places:
            self.writer.line(f"top{self.stacks.index(statement.stack)} += 1")

    def write_Pop(self, statement: Pop) -> None:  # noqa: N802
        if statement not in self.places:
            self.writer.line(f"top{self.stacks.index(statement.stack)} -= 1")
        name = self.names.of(statement.out, "v")
        text = cast(self.on_stack(statement), float64, statement.out.dtype)
        self.writer.line(f"{name} = {text}")

    def on_stack(self, statement: Push | Pop) -> str:
        """Return the text of the place on a stack that a number is at."""
        stack = self.stacks.index(statement.stack)
        place = self.places.get(statement)
        if place is None:
            return f"saved{stack}[top{stack}]"
        return f"saved{stack}[top{stack} + {self.linear(place)}]"

    def write_For(self, statement: For) -> None:  # noqa: N802
        count = self.linear(statement.stop - statement.start)
        places = places_on_stacks(statement)
        self.places |= places
        kept = [s.stack for s in places if isinstance(s, Push)]
        taken = [s.stack for s in places if isinstance(s, Pop)]
        # How far the loop moves the top of each stack.
        way = {s: f"{self.whole(n)} * max({count}, 0)" for s, n in Counter([*kept, *taken]).items()}
        for stack in dict.fromkeys(kept):
            self.check_room(stack, way[stack])
        for stack in dict.fromkeys(taken):
            self.writer.line(f"top{self.stacks.index(stack)} -= {way[stack]}")
        self.start_carries(statement)
        self.iterate(statement, count)
        for stack in dict.fromkeys(kept):
            self.writer.line(f"top{self.stacks.index(stack)} += {way[stack]}")

    def iterate(self, statement: For, count: str) -> None:
        """Write the line that begins a loop, and its body."""
        stem = _INDEX_NAMES[min(self.depth, len(_INDEX_NAMES) - 1)]
        index = self.names.of(statement.index, stem)
        start, stop = self.linear(statement.start), self.linear(statement.stop)
        bounds = stop if start == "0" else f"{start}, {stop}"
        kind = "independent" if statement.is_independent else "range"
        is_stacked = any(
            isinstance(s, (Push, Pop)) and s not in self.places for s in statement.body
        )
        is_backwards = statement.backwards and (is_stacked or not is_order_free(statement))
        if is_backwards:
            turn = self.names.of(Scalar(statement.index.dtype), f"{stem}_turn")
            self.writer.line(f"for {turn} in {kind}({count}):")
            self.writer.depth += 1
            self.writer.line(f"{index} = {self.linear(statement.stop + -1)} - {turn}")
        else:
            self.writer.line(f"for {index} in {kind}({bounds}):")
            self.writer.depth += 1
        self.depth += 1
        if statement.body or not is_backwards:
            self.block(statement.body)
        self.follow(statement)
        self.depth -= 1
        self.writer.depth -= 1

    def start_carries(self, statement: For | While) -> None:
        for carry in statement.carries:
            name = self.names.of(carry.inside, "total")
            self.names.held[carry.after] = name
            self.writer.line(f"{name} = {self.number(carry.first, carry.inside.dtype)}")

    def follow(self, statement: For | While) -> None:
        moving = [c for c in statement.carries if c.following is not c.inside]
        if moving:
            targets = ", ".join(self.names.of(c.inside, "total") for c in moving)
            values = ", ".join(self.number(c.following, c.inside.dtype) for c in moving)
            self.writer.line(f"{targets} = {values}")

    def write_While(self, statement: While) -> None:  # noqa: N802
        self.start_carries(statement)
        going = self.names.of(Scalar(bool_), "going")
        self.writer.line(f"{going} = True")
        self.writer.line(f"while {going}:")
        self.writer.depth += 1
        self.block(statement.condition)
        self.writer.line(f"{going} = {self.number(statement.holds, bool_)}")
        self.writer.line(f"if {going}:")
        self.writer.depth += 1
        self.block(statement.body)
        self.follow(statement)
        self.writer.depth -= 2

    def write_If(self, statement: If) -> None:  # noqa: N802
        self.writer.line(f"if {self.number(statement.predicate, bool_)}:")
        for block, which in ((statement.then, "then"), (statement.otherwise, "otherwise")):
            if which == "otherwise":
                if not block and not statement.merges:
                    break
                self.writer.line("else:")
            self.writer.depth += 1
            self.block(block)
            for merge in statement.merges:
                name = self.names.of(merge.out, "v")
                self.writer.line(f"{name} = {self.number(getattr(merge, which), merge.out.dtype)}")
            self.writer.depth -= 1
