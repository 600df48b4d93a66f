"""From a loop tree to Python source: readable, runnable as it is, and compiled by Numba.

The text contains no sizes: they are read off the arguments' shapes, and what no argument shows
comes in the array ``sizes``. So one text serves every size.
"""

from __future__ import annotations

from jitgrad.codegen.expressions import (
    CAST_NAMES,
    cast,
    computing_dtype,
    follows_from_sizes,
    index_text,
    literal,
    parenthesised,
    template_text,
)
from jitgrad.codegen.lowered import Lowered
from jitgrad.codegen.nests import (
    Call,
    Compute,
    Element,
    Extent,
    IndexEntry,
    IntrinsicCall,
    Item,
    Lookup,
    Loop,
    MatrixProduct,
    Opaque,
    Read,
    Start,
    Statement,
    counting,
)
from jitgrad.codegen.products import ProductText
from jitgrad.codegen.schedule import Schedule
from jitgrad.codegen.storage import Buffer, KernelPart, Storage, leaves, values_touched
from jitgrad.codegen.text import Failure, KernelText, Writer
from jitgrad.core.dtypes import DType, float64, int64, is_floating
from jitgrad.core.location import Location
from jitgrad.core.primitive import Accumulation, Template
from jitgrad.ir.graph import Literal, Node, Value

_LOOP_NAMES = ("i", "j", "k", "l", "m", "o", "p", "q")
_INLINE_LENGTH = 48


class KernelEmitter:
    """Writes one kernel; what runs on several threads has a writer of its own."""

    def __init__(
        self,
        part: KernelPart,
        lowered: Lowered,
        schedule: Schedule,
        storage: Storage,
        names: dict[Value, str],
    ) -> None:
        self.part = part
        self.lowered = lowered
        self.schedule = schedule
        self.storage = storage
        self.names = names
        self.used_names = set(names.values())
        self.writer = Writer()
        self.sizes: list[int] = []
        # Python numbers given as arguments, which are no arrays.
        self.numbers = {v for v in lowered.graph.inputs if v.spec.weak}
        self.number_places: dict[Literal, int] = {}
        # Variables for what comes in ``numbers`` and ``sizes``, so that no loop loads it.
        self.number_names: dict[tuple[int, DType], str] = {}
        self.offset_names: list[str] = []
        self.looked_up: dict[Lookup, str] = {}
        self.failures: list[Failure] = []
        self.extent_names: dict[Extent, str] = {}
        self.prologue: list[str] = []
        self.carved: set[Value] = set()
        self.inlined: dict[Value, str] = {}
        self.made_here: set[Value] = set()
        self.location: tuple[Location | None, bool] = (None, False)
        self.statements = [
            leaf.statement
            for item in part.body
            for leaf in leaves(item)
            if isinstance(leaf, Compute)
        ]
        self.finishing: dict[Loop, list[Statement]] = {}
        # One accumulator over millions of float32 numbers loses what is small beside it; so each
        # row has its own, which is then added to that of all.
        self.summed_by_rows: dict[Loop, list[Compute]] = {}
        self.arguments = self.find_arguments()

    # -- the function ---------------------------------------------------------------------

    def run(self) -> KernelText:
        """Return the text of the kernel."""
        self.note_uses()
        self.body(self.part.body, 0)
        # After the body, which finds out which sizes and buffers it needs.
        lines = self.argument_prologue() + self.prologue
        arena = self.arena_bytes()
        parameters = [self.names[v] for v in self.arguments]
        parameters += ["sizes"] if self.sizes else []
        parameters += ["numbers"] if self.number_places else []
        parameters += ["arena"] if arena else []
        parameters += ["failures"] if self.failures else []
        parameters += self.team_parameters()
        head = f"def kernel({', '.join(parameters)}):"
        body = [*(f"    {line}" for line in lines), *self.writer.lines] or ["    pass"]
        nests = sum(isinstance(item, Loop) for item in self.part.body)
        return KernelText(
            "\n".join([head, *body]) + "\n",
            self.arguments,
            {v for v in self.arguments if v in self.made_here},
            self.sizes,
            [float(element.number) for element in self.number_places],
            arena,
            self.failures,
            len(self.statements),
            nests,
        )

    def arena_bytes(self) -> int:
        """Return the size of the memory for temporaries."""
        return self.storage.arena_bytes.get(self.part.number, 0)

    def team_parameters(self) -> list[str]:
        """Return the names of what the kernel is given to run on several threads."""
        return []

    def find_arguments(self) -> list[Value]:
        """Return what the kernel gets from outside, what it only reads first."""
        read: dict[Value, None] = {}
        for item in self.part.body:
            for leaf in leaves(item):
                for value in values_touched(leaf):
                    read[self.storage.root(value)] = None
                step = leaf.statement if isinstance(leaf, Compute) else getattr(leaf, "step", None)
                if isinstance(step, (Statement, MatrixProduct, IntrinsicCall)):
                    self.made_here.add(step.out)
        order = {v: k for k, v in enumerate(self.lowered.graph.inputs)}
        outside = [v for v in read if v not in self.made_here]
        outside.sort(key=lambda v: order.get(v, len(order)))
        written = [v for v in read if v in self.made_here and v in self.storage.shared]
        return outside + written

    def argument_prologue(self) -> list[str]:
        """Return the lines that name what the arguments hold."""
        lines = [
            f"{self.scalar_name(v)} = {self.names[v]}[()]"
            for v in self.arguments
            if v not in self.made_here and v.ndim == 0 and v not in self.numbers
        ]
        arrays = [self.names[v] for v in self.arguments if v.ndim and v not in self.numbers]
        if len(arrays) > 1 and any(isinstance(item, Loop) for item in self.part.body):
            listed = ", ".join(arrays)
            lines.append(f"{listed} = disjoint({listed})")
        for extent, name in self.extent_names.items():
            lines.append(f"{name} = {self.extent_source(extent)}")
        for (place, dtype), name in self.number_names.items():
            lines.append(f"{name} = {cast(f'numbers[{place}]', float64, dtype)}")
        return lines + self.offset_names

    def extent_source(self, extent: Extent) -> str:
        """Return the text of where the size of an axis is found."""
        for value in self.arguments:
            for axis in range(value.ndim):
                if self.lowered.extent(value, axis) is extent:
                    return f"{self.names[value]}.shape[{axis}]"
        return self.size_parameter(extent.size)

    def size_parameter(self, number: int) -> str:
        """Return the text of a number that kernels are given in ``sizes``."""
        self.sizes.append(number)
        return f"sizes[{len(self.sizes) - 1}]"

    def offset_parameter(self, number: int) -> str:
        """Return the variable of a constant in an index."""
        name = f"o{len(self.offset_names)}"
        self.offset_names.append(f"{name} = {self.size_parameter(number)}")
        return name

    def number_parameter(self, element: Literal, dtype: DType) -> str:
        """Return the variable of a number that kernels are given, as it differs with sizes."""
        place = self.number_places.setdefault(element, len(self.number_places))
        name = f"c{len(self.number_names)}"
        return self.number_names.setdefault((place, dtype), name)

    def extent_name(self, extent: Extent) -> str:
        """Return the variable that holds the size of an axis."""
        root = extent.root()
        if root not in self.extent_names:
            self.extent_names[root] = f"n{len(self.extent_names)}"
        return self.extent_names[root]

    # -- names of elements ----------------------------------------------------------------

    def scalar_name(self, value: Value) -> str:
        """Return the name of the variable that holds one element of `value`."""
        name = self.names[value]
        has_array = value in self.storage.buffers or value in self.lowered.graph.inputs
        return f"{name}_" if has_array and value not in self.numbers else name

    def buffer_text(self, value: Value, index: tuple[IndexEntry, ...], loops: list[str]) -> str:
        """Return the text of an element of the buffer of `value`."""
        buffer = self.storage.buffers.get(value)
        axes = buffer.axes if buffer is not None else tuple(range(value.ndim))
        name = self.names[self.storage.over.get(value, value)]
        if buffer is not None and value not in self.storage.over:
            self.need_buffer(buffer)
        kept = tuple(index[axis] for axis in axes)
        return name + index_text(kept, loops, self.offset_parameter, self.looked_up)

    def need_buffer(self, buffer: Buffer) -> None:
        """Make the prologue define the buffer, at its first mention."""
        value = buffer.value
        if value in self.storage.roots:
            self.need_renamed(value)
            return
        if buffer.offset < 0 or value in self.arguments:
            return
        shape = self.shape_text(value, buffer.axes)
        name, dtype = self.names[value], CAST_NAMES[value.dtype.name]
        if value not in self.carved:
            self.carved.add(value)
            self.prologue.append(
                f"{name} = block(arena, {self.offset_text(buffer)}, {shape}, {dtype}, "
                f"{buffer.slot})"
            )

    def offset_text(self, buffer: Buffer) -> str:
        """Return the text of where a buffer begins in the arena."""
        return self.size_parameter(buffer.offset)

    def need_renamed(self, value: Value) -> None:
        """Make the prologue show the memory of another value under this one's shape."""
        source = self.whole(self.storage.roots[value])
        shape = self.shape_text(value, tuple(range(value.ndim)))
        line = f"{self.names[value]} = {source}.reshape({shape})"
        if line not in self.prologue:
            self.prologue.append(line)

    def shape_text(self, value: Value, axes: tuple[int, ...]) -> str:
        """Return the text of the shape that these axes of `value` make."""
        parts = [
            "1" if value.shape[axis] == 1 else self.extent_name(self.lowered.extent(value, axis))
            for axis in axes
        ]
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"

    def element_text(self, element: Element, loops: tuple[Loop, ...], dtype: DType | None) -> str:
        """Return the text of an element, cast to `dtype` unless that is None."""
        if isinstance(element, Literal):
            wanted = dtype if dtype is not None else element.spec.dtype
            if follows_from_sizes(element):
                return self.number_parameter(element, wanted)
            return literal(element.number, wanted)
        value = element.value
        have = value.dtype
        if value in self.numbers:
            # A Python number given as argument: Numba sees a double or a 64-bit integer.
            have = float64 if is_floating(have) else have
            text = self.names[value]
        elif value in self.inlined:
            text = self.inlined[value]
        elif self.in_register(value, loops):
            text = self.scalar_name(value)
        else:
            text = self.buffer_text(value, element.index, _names_of(loops))
        return text if dtype is None else cast(text, have, dtype)

    def in_register(self, value: Value, loops: tuple[Loop, ...]) -> bool:
        """Return whether a scalar variable holds the element read inside `loops`."""
        if value not in self.made_here:
            return value.ndim == 0 and value in self.arguments
        definition = self.schedule.loops_of.get(value)
        if definition is None or not self.is_scalar(value):
            return False
        depth = len(definition.complete_in)
        return loops[:depth] == definition.complete_in

    def is_scalar(self, value: Value) -> bool:
        """Return whether a variable holds each element of `value` when it is complete."""
        statement = self.statement_of.get(value)
        if statement is None or not statement.whole:
            return False
        reduced = statement.reduced
        return not reduced or reduced == set(range(min(reduced), len(statement.axes)))

    # -- statements -----------------------------------------------------------------------

    def note_uses(self) -> None:
        """Note which statement makes each value, and how often values are read."""
        self.statement_of = {s.out: s for s in self.statements}
        self.register_uses: dict[Value, int] = {}
        self.reader_of: dict[Value, Statement] = {}
        for statement in self.statements:
            for read in statement.reads():
                self.register_uses[read.value] = self.register_uses.get(read.value, 0) + 1
                self.reader_of[read.value] = statement
        for item in self.part.body:
            for leaf in leaves(item):
                if isinstance(leaf, Compute) and leaf.statement.reduced:
                    outermost = counting(leaf.loops)[min(leaf.statement.reduced)]
                    ended = outermost.inside or outermost
                    self.finishing.setdefault(ended, []).append(leaf.statement)
                    if self.has_rows(leaf.statement):
                        self.summed_by_rows.setdefault(leaf.loops[-1], []).append(leaf)

    def body(self, items: list[Item], depth: int) -> None:
        """Write items one after the other, inside `depth` loops."""
        for item in items:
            if isinstance(item, Loop):
                self.loop(item, depth)
            elif isinstance(item, Compute):
                self.compute(item)
            elif isinstance(item, Start):
                self.start(item)
            elif isinstance(item, Call):
                self.matrix_product(item.step)
            else:
                self.opaque(item)

    def loop(self, loop: Loop, depth: int) -> None:
        """Write a loop with all that is inside."""
        name = loop_name(depth)
        rows = self.summed_by_rows.get(loop, ())
        for item in rows:
            first = self.identity_text(item.statement)
            self.writer.line(f"{self.row_name(item.statement.out)} = {first}")
        start, end = self.loop_bounds(loop)
        if loop.strip:
            self.writer.line(f"for {name}0 in range({start}, {end}, {loop.strip}):")
        elif loop.inside is not None:
            strip = f"{name}0 + {loop.inside.strip}"
            self.writer.line(f"for {name} in range({name}0, min({strip}, {end})):")
        else:
            self.writer.line(f"for {name} in range({end if start == '0' else f'{start}, {end}'}):")
        self.writer.depth += 1
        self.body(loop.body, depth if loop.strip else depth + 1)
        self.writer.depth -= 1
        for item in rows:
            row = self.row_name(item.statement.out)
            self.update(item.statement, self.accumulator_text(item), row)
        for statement in self.finishing.get(loop, ()):
            self.finish(statement, depth)

    def loop_bounds(self, loop: Loop) -> tuple[str, str]:
        """Return the text of the first index of a loop, and of where it ends."""
        if loop.inside is not None:
            return self.loop_bounds(loop.inside)
        return "0", self.extent_name(loop.extent)

    def finish(self, statement: Statement, depth: int) -> None:
        """Store a finished accumulator where others than this iteration read it."""
        if statement.out in self.storage.buffers and self.is_scalar(statement.out):
            loops = [loop_name(k) for k in range(depth)]
            target = self.buffer_text(statement.out, statement.out_index, loops)
            self.writer.line(f"{target} = {self.scalar_name(statement.out)}")

    def check_lookups(self, item: Compute) -> None:
        """Look up the statement's indices, and note one that is out of range.

        The program raises the error when the kernel has returned; until then index 0 serves.
        """
        statement = item.statement
        self.looked_up = {}
        indexed = [(e.value, e.index) for e in statement.elements if isinstance(e, Read)]
        for value, index in (*indexed, (statement.out, statement.out_index)):
            for axis, entry in enumerate(index):
                if not isinstance(entry, Lookup) or entry in self.looked_up:
                    continue
                # Another statement may hold this expression: no other look-up has the name.
                name = f"at{len(self.failures)}"
                read = Read(entry.value, entry.index)
                text = self.element_text(read, item.loops, int64)
                size = self.shape_text(value, (axis,)).strip("(),")
                assert statement.node is not None
                failure = self.failure_number(statement.node, axis, value.shape[axis])
                self.writer.line(f"{name} = {text}")
                self.writer.line(f"if {name} < -{size} or {name} >= {size}:")
                self.writer.line(f"    failures[0] = {failure}")
                self.writer.line(f"    {name} = 0")
                self.writer.line(f"if {name} < 0:")
                self.writer.line(f"    {name} += {size}")
                self.looked_up[entry] = name

    def failure_number(self, node: Node, axis: int, size: int) -> int:
        """Return the number by which a kernel tells of an index out of range."""
        self.failures.append(Failure(node, axis, size))
        return len(self.failures)

    def compute(self, item: Compute) -> None:
        """Write what a statement computes."""
        statement = item.statement
        if any(True for _ in statement.lookups()):
            self.comment(statement.node)
            self.check_lookups(item)
        if isinstance(statement.form, Accumulation):
            self.comment(statement.node)
            self.accumulate(item)
            return
        text = self.template(item, statement.form)
        out = statement.out
        if self.may_inline(out, text):
            self.inlined[out] = text
            return
        self.comment(statement.node)
        has_buffer = out in self.storage.buffers
        loops = _names_of(item.loops)
        if has_buffer and not (statement.whole and self.read_in_register(out)):
            target = self.buffer_text(out, statement.out_index, loops)
            self.writer.line(
                f"{target} = {target} + {text}" if statement.adds else f"{target} = {text}"
            )
            return
        name = self.scalar_name(out)
        self.writer.line(f"{name} = {text}")
        if has_buffer:
            self.writer.line(f"{self.buffer_text(out, statement.out_index, loops)} = {name}")

    def read_in_register(self, value: Value) -> bool:
        """Return whether some reader of `value` is in the iteration that makes it."""
        definition = self.schedule.loops_of[value]
        return any(
            loops[: len(definition.complete_in)] == definition.complete_in
            for loops in self.schedule.readers.get(value, ())
        )

    def may_inline(self, out: Value, text: str) -> bool:
        """Return whether the expression may stand where its value is read, the only time."""
        if out.name or out in self.storage.buffers or len(text) > _INLINE_LENGTH:
            return False
        if self.register_uses.get(out) != 1:
            return False
        if any(self.storage.is_overwritten(read.value) for read in self.statement_of[out].reads()):
            return False
        readers = self.schedule.readers[out]
        definition = self.schedule.loops_of[out]
        if readers[0] != definition.around:
            return False
        if not definition.around and any(map(self.in_arena, self.statement_of[out].reads())):
            # Outside of all loops another item may follow, and use the memory that is read here.
            return False
        reader = self.reader_of[out]
        if not isinstance(reader.form, Template):
            return True
        dtype = self.template_dtype(reader, reader.form)
        names = [
            name
            for name, element in zip(_input_names(reader), reader.elements, strict=True)
            if isinstance(element, Read) and element.value is out
        ]
        # None of the elements: it is an index, which is computed once.
        return not names or template_text(reader.form, dtype).count("{" + names[0] + "}") == 1

    def in_arena(self, read: Read) -> bool:
        """Return whether what is read lies in memory that others use at other times."""
        buffer = self.storage.buffers.get(self.storage.root(read.value))
        return buffer is not None and buffer.offset >= 0

    def template_dtype(self, statement: Statement, form: Template) -> DType:
        """Return the dtype in which a template computes."""
        node = statement.node
        if node is None or form.text == "{x}":
            return statement.out.dtype
        return computing_dtype(form, node.primitive.inputs, list(node.specs), statement.out.spec)

    def template(self, item: Compute, form: Template) -> str:
        """Return the text of what a template computes."""
        statement = item.statement
        dtype = self.template_dtype(statement, form)
        fields = {}
        for name, element in zip(_input_names(statement), statement.elements, strict=True):
            wanted = None if name in form.uncast else dtype
            text = self.element_text(element, item.loops, wanted)
            fields[name] = text if form.text == "{x}" else parenthesised(text)
        if isinstance(form.text, str) and form.text == "{x}":
            return fields["x"]
        text = template_text(form, dtype).format(**fields)
        if statement.out.dtype.name == "int32" and dtype.name == "int32":
            return f"i32({text})"
        return text

    def accumulate(self, item: Compute) -> None:
        """Write how an element is added to an accumulator."""
        statement = item.statement
        out = statement.out
        texts = [self.element_text(e, item.loops, out.dtype) for e in statement.elements]
        x = " * ".join(map(parenthesised, texts)) if statement.product else texts[0]
        has_rows = self.has_rows(statement)
        target = self.row_name(out) if has_rows else self.accumulator_text(item)
        self.update(statement, target, x)

    def has_rows(self, statement: Statement) -> bool:
        """Return whether each row has an accumulator, which is then combined into that of all."""
        if self.is_scalar(statement.out):
            return len(statement.reduced) > 1
        # memory is updated once a row, not once an element
        return len(statement.axes) - 1 in statement.reduced

    def accumulator_text(self, item: Compute) -> str:
        """Return the text of what accumulates all of a reduction."""
        out = item.statement.out
        if self.is_scalar(out):
            return self.scalar_name(out)
        return self.buffer_text(out, item.statement.out_index, _names_of(item.loops))

    def update(self, statement: Statement, target: str, x: str) -> None:
        """Combine `x` into the accumulator `target`."""
        assert isinstance(statement.form, Accumulation)
        text = statement.form.combine.format(acc=target, x=x)
        if statement.out.dtype.name == "int32":
            text = f"i32({text})"
        self.writer.line(f"{target} = {text}")

    def row_name(self, value: Value) -> str:
        """Return the name of the accumulator of one row of a reduction over several axes."""
        return self.unused_name(f"{self.names[value]}_row")

    def unused_name(self, stem: str) -> str:
        """Return a name that no value has."""
        while stem in self.used_names:
            stem += "_"
        return stem

    def identity_text(self, statement: Statement) -> str:
        """Return the text of an accumulator's first value."""
        assert isinstance(statement.form, Accumulation)
        dtype = statement.out.dtype
        return literal(statement.form.identity(dtype), dtype)

    def start(self, item: Start) -> None:
        """Write an accumulator's first value."""
        statement = item.statement
        out = statement.out
        first = self.identity_text(statement)
        if self.is_scalar(out):
            self.writer.line(f"{self.scalar_name(out)} = {first}")
            return
        outermost = min(statement.reduced)
        names = [loop_name(n) if n < outermost else "" for n in range(len(statement.axes))]
        for position, number in enumerate(item.axes):
            names[number] = loop_name(outermost + position)
        self.writer.line(f"{self.buffer_text(out, statement.out_index, names)} = {first}")

    # -- whole buffers --------------------------------------------------------------------

    def opaque(self, item: Opaque) -> None:
        """Write a step that takes whole arrays."""
        step = item.step
        if isinstance(step, IntrinsicCall):
            self.comment(step.node)
            arrays = [self.whole(value) for value in (*step.operands, step.out)]
            self.writer.line(f"{step.name}({', '.join([*arrays, *map(str, step.arguments)])})")

    def whole(self, value: Value) -> str:
        """Return the name of the array that holds `value`."""
        buffer = self.storage.buffers.get(value)
        if buffer is not None:
            self.need_buffer(buffer)
        return self.names[value]

    def matrix_product(self, step: MatrixProduct, rows: str = "", columns: str = "") -> None:
        """Write a product as a call of BLAS, or a range of its rows or columns."""
        self.comment(step.node)
        loops = [loop_name(depth) for depth in range(len(step.axes))]
        text = ProductText(self.storage, self.whole, self.offset_parameter, loops)
        self.writer.line(text.call(step, rows, columns))

    def comment(self, node: Node | None) -> None:
        """Say which of the user's lines the following statements come from."""
        if node is None or node.location is None:
            return
        if self.location == (node.location, node.adjoint):
            return
        self.location = (node.location, node.adjoint)
        prefix = "adjoint of " if node.adjoint else ""
        source = node.location.source()
        self.writer.line(f"# {prefix}{node.location}" + (f"  {source}" if source else ""))


def loop_name(depth: int) -> str:
    """Return the name of the index of the loop at `depth`."""
    return _LOOP_NAMES[depth] if depth < len(_LOOP_NAMES) else f"i{depth}"


def _names_of(loops: tuple[Loop, ...]) -> list[str]:
    """Return the variables of the loops around a statement, by their numbers in it."""
    return [loop_name(depth) for depth in range(len(counting(loops)))]


def _input_names(statement: Statement) -> tuple[str, ...]:
    if statement.node is None or len(statement.elements) != len(statement.node.primitive.inputs):
        return ("x",)
    if isinstance(statement.form, Template) and statement.form.text == "{x}":
        return ("x",)
    return statement.node.primitive.inputs
