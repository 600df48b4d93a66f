"""The product of two matrices in machine code of our own, by packed panels.

A block of the right factor is copied into panels two vectors wide, a few rows of the left one into
another, and each pair of panels gives a tile of the result, whose sums stay in registers [1]_.
Where the result has few columns the left factor is read where it lies, and where it has few rows
both are: a copy would be read but once or twice. Each element's sum has the same order whichever
rows and columns are computed at once.

References
----------
.. [1] K. Goto, R. A. van de Geijn, Anatomy of high-performance matrix multiplication, ACM Trans.
   Math. Softw. 34 (2008), 12.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jitgrad.runtime import disk_cache
from jitgrad.runtime.built_in import new_engine

# Rows of a tile; with two vectors a row its sums and factors fill 27 of 32 registers. What is left
# over at the edges has tiles of fewer rows, and of one vector a row.
ROWS = 12
VECTORS = 2
_HEIGHTS = (4, 8, ROWS)
# Elements from one row of a panel of the left factor to the next, a multiple of all vectors.
_LEFT_PITCH = 16
# Terms of the sums that are added at a time, and columns packed at a time: what is packed stays in
# the second cache, and one panel of each factor in the first.
_TERMS = 256
_COLUMNS = 512
# A factor that is read for so many tiles at most is not copied.
_FEW = 2
# Bytes of memory that the function needs, for the larger type.
SPACE = 8 * _TERMS * (_LEFT_PITCH + _COLUMNS)

_NAMES = {"float32": "single", "float64": "double"}
# What keeps the code alive.
_engines: list[Any] = []


@functools.cache
def addresses(machine: tuple[str, str, str]) -> tuple[int, ...]:
    """Return where the functions for float32 and float64 lie; none where BLAS is no slower.

    Parameters
    ----------
    machine : tuple of str
        The platform, the processor and its features.

    Returns
    -------
    tuple of int
        Each takes rows, columns, terms; the left factor, the distance of its rows, whether it is
        transposed; the same of the right one; the result, the distance of its rows, whether to add
        to it; and `SPACE` bytes, which begin where a line of the cache does.
    """
    import llvmlite.binding as llvm

    # Tiles of this size need 32 registers, and vectors as long as a line of the cache.
    if "+avx512f" not in machine[2].split(","):
        return ()
    key = disk_cache.entry_key("", "panels", "", "", machine)
    code = disk_cache.load(key, bytes)
    if code is None:
        code = _object_code(machine)
        disk_cache.store(key, code)
    engine = new_engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return tuple([engine.get_function_address(name) for name in _NAMES.values()])


def _object_code(machine: tuple[str, str, str]) -> bytes:
    """Compile the functions; they are written as they should run, so that few passes will do."""
    import llvmlite.binding as llvm
    from llvmlite import ir
    from numba.core import types

    module = ir.Module("panels")
    for dtype, name in _NAMES.items():
        Panels(module, name, getattr(types, dtype)).write()
    triple, cpu, features = machine
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(triple)
    target_machine = target.create_target_machine(
        cpu=cpu, features=features, opt=2, reloc="static", codemodel="jitdefault", jit=True
    )
    code = llvm.parse_assembly(str(module))
    code.triple = triple
    code.data_layout = str(target_machine.target_data)
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    builder = llvm.create_pass_builder(target_machine, llvm.create_pipeline_tuning_options())
    passes.run(code, builder)
    made: bytes = target_machine.emit_object(code)
    return made


class Panels:
    """Writes the function that multiplies matrices of one type.

    Parameters
    ----------
    module : llvmlite.ir.Module
        Where it goes.
    name : str
        What it is called.
    dtype : numba type
        float32 or float64.
    """

    def __init__(self, module: Any, name: str, dtype: Any) -> None:
        from llvmlite import ir
        from numba.core import types
        from numba.core.registry import cpu_target
        from numba.core.typing import signature

        from jitgrad.intrinsics.vectors import Vectors

        context = cpu_target.target_context
        self.word = ir.IntType(64)
        flag = ir.IntType(1)
        pointer = self.pointer = context.get_data_type(dtype).as_pointer()
        words = [self.word] * 3
        factors = [pointer, self.word, flag] * 2
        form = ir.FunctionType(ir.VoidType(), [*words, *factors, pointer, self.word, flag, pointer])
        self.function = ir.Function(module, form, name)
        for number in (3, 6, 9, 12):
            self.function.args[number].add_attribute("noalias")
        self.builder = ir.IRBuilder(self.function.append_basic_block())
        self.tile = Vectors(
            context, self.builder, signature(types.none, types.Array(dtype, 1, "C"))
        )
        self.lanes = self.tile.lanes
        self.width = VECTORS * self.lanes
        self.turning = self.write_turning()
        self.panel_tile = self.write_tile(ROWS, VECTORS, panels=True)
        self.tiles = {
            (rows, vectors): self.write_tile(rows, vectors, panels=False)
            for rows in _HEIGHTS
            for vectors in range(1, VECTORS + 1)
        }

    def write(self) -> None:
        """Write ``out = op(a) @ op(b)``, or add it to `out`."""
        builder = self.builder
        rows, columns, inner, a, lda, turned_a, b, ldb, turned_b, out, ldc, add, space = (
            self.function.args
        )
        left = space
        right = builder.gep(space, [self.word(_TERMS * _LEFT_PITCH)])
        one = self.word(1)
        flat = builder.icmp_signed("<=", rows, self.word(_FEW * ROWS))
        right_lies = builder.and_(flat, builder.not_(turned_b))
        row_pitch, term_pitch = (
            builder.select(turned_a, *pair) for pair in ((one, lda), (lda, one))
        )
        with (
            self.steps(columns, _COLUMNS) as (first_column, some_columns),
            self.steps(inner, _TERMS) as (first_term, terms),
        ):
            height = self.rounded(terms, self.lanes)
            with builder.if_then(builder.not_(right_lies)):
                self.pack_right(
                    b, ldb, turned_b, first_column, some_columns, first_term, terms, height, right
                )
            origin = builder.gep(b, [builder.add(builder.mul(first_term, ldb), first_column)])
            right_place = [
                builder.select(right_lies, origin, right),
                builder.select(right_lies, ldb, self.word(self.width)),
                builder.select(right_lies, one, height),
            ]
            more = builder.or_(add, builder.icmp_signed(">", first_term, self.word(0)))
            narrow = builder.icmp_signed("<=", some_columns, self.word(_FEW * self.width))
            left_lies = builder.or_(narrow, right_lies)
            with self.steps(rows, ROWS) as (first_row, some_rows):
                line = builder.gep(out, [builder.add(builder.mul(first_row, ldc), first_column)])
                target = [terms, line, ldc, some_rows, some_columns, more]
                with builder.if_else(left_lies) as (where_it_lies, in_a_panel):
                    with where_it_lies:
                        place = builder.mul(first_row, row_pitch)
                        place = builder.add(place, builder.mul(first_term, term_pitch))
                        left_place = [builder.gep(a, [place]), row_pitch, term_pitch]
                        self.strip(False, left_place, right_place, *target)
                    with in_a_panel:
                        self.pack_left(
                            a, lda, turned_a, first_row, some_rows, first_term, terms, left
                        )
                        left_place = [left, one, self.word(_LEFT_PITCH)]
                        self.strip(True, left_place, right_place, *target)
        builder.ret_void()

    # -- packing --------------------------------------------------------------------------

    def pack_left(
        self, a: Any, lda: Any, turned: Any, row: Any, rows: Any, term: Any, terms: Any, left: Any
    ) -> None:
        """Copy some rows of the left factor: ``left[k, i] = a[row + i, term + k]``."""
        builder, groups = self.builder, range(0, _LEFT_PITCH, self.lanes)
        with builder.if_else(turned) as (by_terms, by_rows):
            with by_terms:
                masks = [self.tile.lanes_below(self.beyond(rows, ahead)) for ahead in groups]
                source = builder.gep(a, [builder.add(builder.mul(term, lda), row)])
                with self.tile.loop(terms) as k:
                    line = builder.gep(source, [builder.mul(k, lda)])
                    place = builder.gep(left, [builder.mul(k, self.word(_LEFT_PITCH))])
                    for ahead, mask in zip(groups, masks, strict=True):
                        part = builder.gep(line, [self.word(ahead)])
                        self.tile.store(self.tile.load_masked(part, mask), place, ahead)
            with by_rows:
                source = builder.gep(a, [builder.add(builder.mul(row, lda), term)])
                for ahead in groups:
                    place = builder.gep(left, [self.word(ahead)])
                    self.turn(source, lda, rows, ahead, terms, place, _LEFT_PITCH)

    def pack_right(
        self, b: Any, ldb: Any, turned: Any, column: Any, columns: Any, term: Any, terms: Any,
        height: Any, right: Any,
    ) -> None:  # fmt: skip
        """Copy some columns of the right factor, panel by panel: ``right[p, k, j]``."""
        builder, groups = self.builder, range(0, self.width, self.lanes)
        with self.steps(columns, self.width) as (first, count):
            panel = builder.gep(right, [builder.mul(first, height)])
            start = builder.add(column, first)
            with builder.if_else(turned) as (by_columns, by_terms):
                with by_columns:
                    source = builder.gep(b, [builder.add(builder.mul(start, ldb), term)])
                    for ahead in groups:
                        place = builder.gep(panel, [self.word(ahead)])
                        self.turn(source, ldb, count, ahead, terms, place, self.width)
                with by_terms:
                    masks = [self.tile.lanes_below(self.beyond(count, ahead)) for ahead in groups]
                    source = builder.gep(b, [builder.add(builder.mul(term, ldb), start)])
                    with self.tile.loop(terms) as k:
                        line = builder.gep(source, [builder.mul(k, ldb)])
                        place = builder.gep(panel, [builder.mul(k, self.word(self.width))])
                        for ahead, mask in zip(groups, masks, strict=True):
                            part = builder.gep(line, [self.word(ahead)])
                            self.tile.store(self.tile.load_masked(part, mask), place, ahead)

    def turn(
        self, source: Any, pitch: Any, rows: Any, ahead: int, terms: Any, place: Any, width: int
    ) -> None:
        """Write the transpose of as many rows as a vector has lanes, from row `ahead` on."""
        numbers = [self.word(ahead), terms]
        self.builder.call(self.turning, [source, pitch, rows, *numbers, place, self.word(width)])

    def write_turning(self) -> Any:
        """Write the function that transposes; inlined in three places it would be long."""
        from llvmlite import ir

        outer, word = self.builder, self.word
        kinds = [self.pointer, word, word, word, word, self.pointer, word]
        form = ir.FunctionType(ir.VoidType(), kinds)
        function = ir.Function(self.function.module, form, f"{self.function.name}_turn")
        function.linkage = "internal"
        function.attributes.add("noinline")
        source, pitch, rows, ahead, terms, place, width = function.args
        builder = self.builder = self.tile.builder = ir.IRBuilder(function.append_basic_block())
        last = builder.sub(rows, word(1))
        starts = []
        for lane in range(self.lanes):
            # Rows that are not there are those of sums that nobody reads.
            row = self.least(builder.add(ahead, word(lane)), last)
            starts.append(builder.gep(source, [builder.mul(row, pitch)]))
        with self.steps(terms, self.lanes) as (first, count):
            mask = self.tile.lanes_below(count)
            square = [self.tile.load_masked(builder.gep(s, [first]), mask) for s in starts]
            for lane, vector in enumerate(self.transposed(square)):
                term = builder.add(first, word(lane))
                self.tile.store(vector, builder.gep(place, [builder.mul(term, width)]))
        builder.ret_void()
        self.builder = self.tile.builder = outer
        return function

    def transposed(self, square: list[Any]) -> list[Any]:
        """Return the columns of as many vectors as each has lanes."""
        from llvmlite import ir

        lanes = self.lanes
        step = 1
        while step < lanes:
            even = [n if not n & step else lanes + n - step for n in range(lanes)]
            odd = [n + step if not n & step else lanes + n for n in range(lanes)]
            turned = list(square)
            for number in range(lanes):
                if not number & step:
                    pair = square[number], square[number + step]
                    for target, order in ((number, even), (number + step, odd)):
                        mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), order)
                        turned[target] = self.builder.shuffle_vector(*pair, mask)
            square = turned
            step *= 2
        return square

    # -- tiles ----------------------------------------------------------------------------

    def strip(
        self, panels: bool, left: list[Any], right: list[Any], terms: Any, out: Any, ldc: Any,
        rows: Any, columns: Any, add: Any,
    ) -> None:  # fmt: skip
        """Write the product of a few rows of the left factor and some columns of the right one.

        `panels` says whether both factors are panels; `left` and `right` where they lie, with the
        distances of rows and terms, of terms and columns.
        """
        builder = self.builder
        start, pitch, distance = right
        with self.steps(columns, self.width) as (column, count):
            panel = builder.gep(start, [builder.mul(column, distance)])
            arguments = [*left, panel, pitch, terms, builder.gep(out, [column]), ldc]
            tile = self.panel_tile
            if not panels:
                wide = builder.icmp_signed(">", count, self.word(self.lanes))
                tile = builder.select(wide, self.tiles[ROWS, 2], self.tiles[ROWS, 1])
                for height in reversed(_HEIGHTS[:-1]):
                    fits = builder.icmp_signed("<=", rows, self.word(height))
                    lower = builder.select(wide, self.tiles[height, 2], self.tiles[height, 1])
                    tile = builder.select(fits, lower, tile)
            builder.call(tile, [*arguments, rows, count, add])

    def write_tile(self, height: int, vectors: int, panels: bool) -> Any:
        """Write the function that computes a tile of the result, or adds to it.

        Parameters
        ----------
        height, vectors : int
            How many rows it has at most, and vectors a row.
        panels : bool
            Whether both factors are panels: then the distances are known, and in place of rows and
            columns that are missing there are others, of sums that nobody reads.
        """
        from llvmlite import ir

        outer, word = self.builder, self.word
        kinds = [self.pointer, word, word, self.pointer, word, word, self.pointer, word, word, word]
        form = ir.FunctionType(ir.VoidType(), [*kinds, ir.IntType(1)])
        name = f"{self.function.name}_{height}x{vectors}{'_of_panels' if panels else ''}"
        function = ir.Function(self.function.module, form, name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        left, row_pitch, term_pitch, right, pitch, terms, out, ldc, rows, columns, add = (
            function.args
        )
        if panels:
            row_pitch, term_pitch, pitch = word(1), word(_LEFT_PITCH), word(self.width)
        tile = self.tile
        builder = self.builder = tile.builder = ir.IRBuilder(function.append_basic_block())
        parts = range(0, vectors * self.lanes, self.lanes)
        sums = {(m, v): tile.accumulator() for m in range(height) for v in parts}
        inside = {v: tile.lanes_below(self.beyond(columns, v)) for v in parts}
        last = builder.sub(rows, word(1))
        starts = []
        for m in range(height):
            row = word(m) if panels else self.least(word(m), last)
            starts.append(builder.gep(left, [builder.mul(row, row_pitch)]))
        with tile.loop(terms) as k:
            line = builder.gep(right, [builder.mul(k, pitch)])
            vectors_at = {
                v: tile.load(line, v)
                if panels
                else tile.load_masked(builder.gep(line, [word(v)]), inside[v])
                for v in parts
            }
            ahead = builder.mul(k, term_pitch)
            for m, start in enumerate(starts):
                factor = tile.spread(builder.load(builder.gep(start, [ahead])))
                for v in parts:
                    tile.add_product(sums[m, v], factor, vectors_at[v])
        nowhere = ir.Constant(inside[0].type, None)
        for m in range(height):
            exists = builder.icmp_signed("<", word(m), rows)
            place = builder.gep(out, [builder.mul(word(m), ldc)])
            for v in parts:
                part = builder.gep(place, [word(v)])
                mask = builder.select(exists, inside[v], nowhere)
                before = tile.load_masked(part, builder.select(add, mask, nowhere))
                tile.store_masked(builder.fadd(before, builder.load(sums[m, v])), part, mask)
        builder.ret_void()
        self.builder = tile.builder = outer
        return function

    # -- numbers --------------------------------------------------------------------------

    @contextmanager
    def steps(self, count: Any, size: int) -> Iterator[tuple[Any, Any]]:
        """Write a loop over parts of at most `size`; give where each begins, and its size."""
        from numba.core import cgutils

        step = self.word(size)
        with cgutils.for_range_slice(self.builder, self.word(0), count, step) as (first, _):
            yield first, self.least(self.builder.sub(count, first), step)

    def least(self, a: Any, b: Any) -> Any:
        """Return the smaller one of two numbers."""
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def beyond(self, count: Any, ahead: int) -> Any:
        """Return how many of `count` elements come after the first few."""
        return self.builder.sub(count, self.word(ahead))

    def rounded(self, count: Any, multiple: int) -> Any:
        """Return a number, rounded up to a multiple of a power of two."""
        more = self.builder.add(count, self.word(multiple - 1))
        return self.builder.and_(more, self.word(-multiple))
