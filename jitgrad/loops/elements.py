"""Elements of values: loaded, found in registers, or computed from elements of operands."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence

from jitgrad.core.affine import Affine
from jitgrad.core.dtypes import DType, int64, is_floating
from jitgrad.core.extents import Extent, has_extents
from jitgrad.core.primitive import (
    TABLE,
    Accumulation,
    Alias,
    Contraction,
    Fill,
    Indexed,
    IndexMap,
    Pieces,
    Primitive,
    Template,
    none,
)
from jitgrad.core.spec import Shape, Spec
from jitgrad.ir.graph import GraphBuilder, Literal, Node, Operand, Value
from jitgrad.loops.builder import Builder, NotLowerableError, operation
from jitgrad.loops.held import Memory, Registers, Scope
from jitgrad.loops.program import Carry, Index, Linear, Number, Scalar

Element = Linear | Number
# So many multiplications are written as loops.
_LARGEST_PRODUCT = 1 << 14


def moved(entries: tuple[Affine, ...], index: Index) -> Index:
    """Return what an index map makes of an index."""
    found = []
    for entry in entries:
        total = Linear((), entry.constant)
        for number, coefficient in entry.terms:
            total = total + index[number] * coefficient
        found.append(total)
    return tuple(found)


def loops_of(ndim: int) -> tuple[Affine, ...]:
    """Return the indices of so many loops."""
    return tuple(map(Affine.index, range(ndim)))


def all_places(shape: Shape) -> list[Index]:
    """Return the index of each element in C order."""
    return [tuple(map(Linear.of, place)) for place in itertools.product(*map(range, shape))]


@functools.cache
def sum_node(dtype: DType) -> Node:
    """Return the sum of a vector, of which `Combine` needs one."""
    builder = GraphBuilder()
    params = {"axes": (0,), "keepdims": False}
    builder.emit(TABLE["sum"], (Value(Spec((2,), dtype)),), params)
    return builder.nodes[0]


# The same number, as one that does not depend on anything.
_stopped = Primitive(
    "stopped",
    ("x",),
    eager=lambda x: x,
    infer=lambda x: Spec(x.shape, x.dtype),
    derivative=none("that is what it is for"),
    lowering=Template("{x}"),
    samples=lambda rng: [],
    doc="The same number without its derivative.",
    grad_name="",
)


@functools.cache
def stopped(dtype: DType) -> Node:
    """Return the node that takes a number's derivative away."""
    builder = GraphBuilder()
    builder.emit(_stopped, (Value(Spec((), dtype)),), {})
    return builder.nodes[0]


@functools.cache
def cast_node(have: DType, want: DType) -> Node:
    """Return the conversion of a number."""
    builder = GraphBuilder()
    builder.emit(TABLE["cast"], (Value(Spec((), have)),), {"dtype": want})
    return builder.nodes[0]


class Elements:
    """Computes elements.

    Parameters
    ----------
    builder : Builder
        Where the statements go.
    """

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        # By the value of an extent, how long the axis is that it is part of.
        self.longest: dict[Value, int] = {}

    # -- sizes ----------------------------------------------------------------------------

    def size(self, scope: Scope, size: int) -> Linear:
        """Return a size as a number of the program."""
        if not isinstance(size, Extent):
            return Linear.of(size)
        held = scope.held.get(size.value)
        if not isinstance(held, Registers):
            raise NotLowerableError("a size that is not known here")
        return self.builder.linear(held.numbers[0])

    def known_size(self, scope: Scope, size: int) -> int:
        """Return a size that must be known."""
        known = self.size(scope, size).known
        if known is None:
            raise NotLowerableError("a part of a small array whose size is not known")
        return known

    def check_sizes(self, scope: Scope, node: Node) -> None:
        """Check that axes that are combined have the same size, known or not."""
        if isinstance(node.primitive.lowering, Template):
            out = node.outputs[0].shape
            for operand in node.inputs:
                shape = operand.spec.shape
                pairs = zip(shape, out[len(out) - len(shape) :], strict=True)
                self._check_same(scope, [pair for pair in pairs if pair[0] != 1])
        elif isinstance(node.primitive.lowering, Contraction):
            x, y = (operand.spec.shape for operand in node.inputs)
            self._check_same(scope, [(x[-1], y[-2])])
            sizes = (*node.outputs[0].shape, x[-1])
            if not has_extents(sizes) and math.prod(sizes) > _LARGEST_PRODUCT:
                raise NotLowerableError("a product of matrices that BLAS is better at")

    def _check_same(self, scope: Scope, pairs: list[tuple[int, int]]) -> None:
        for a, b in pairs:
            if a != b and (self.size(scope, a) - self.size(scope, b)).known != 0:
                raise NotLowerableError("sizes that may differ")

    def note_span(self, scope: Scope, node: Node) -> None:
        """Note between which numbers the start and the size of a part lie."""
        x, start = node.inputs
        whole, size = x.spec.shape[node.params["axis"]], node.params["size"]
        most = self.longest.get(whole.value) if isinstance(whole, Extent) else whole
        if most is None:
            return
        if isinstance(size, Extent):
            self.longest[size.value] = most
            self.builder.bound_number(self.size(scope, size), most)
        self.builder.bound_number(self.builder.linear(self.element(scope, start, ())), most)

    # -- elements -------------------------------------------------------------------------

    def element(self, scope: Scope, operand: Operand, index: Index) -> Element:
        """Return the element of an operand at an index."""
        if isinstance(operand, Literal):
            return operand
        held = scope.held[operand]
        if isinstance(held, Memory):
            return self.builder.load(held.array, (*held.first, *index))
        if isinstance(held, Registers):
            return self.register(held, index)
        return self.compute(held.scope, held.node, index)

    def number(self, scope: Scope, operand: Operand, index: Index = ()) -> Number:
        """Return the element as a number."""
        return self.builder.number(self.element(scope, operand, index))

    def register(self, held: Registers, index: Index) -> Element:
        """Return an element of an array in registers; chosen by comparing where need be."""
        flat = flat_place(held.shape, index)
        if flat.known is not None:
            return held.numbers[flat.known]
        found = self.builder.number(held.numbers[0])
        for place, element in enumerate(held.numbers[1:], 1):
            found = self.choose_at(flat, place, element, found)
        return found

    def choose_at(self, flat: Linear, place: int, here: Element, elsewhere: Element) -> Scalar:
        """Return `here` where an index is `place`, else the other."""
        then, otherwise = self.builder.number(here), self.builder.number(elsewhere)
        dtypes = [n.dtype if isinstance(n, Scalar) else n.spec.dtype for n in (then, otherwise)]
        dtype = next((d for d in dtypes if is_floating(d)), dtypes[0])
        same = operation("eq", int64, int64)
        is_here = self.builder.apply(same, (self.builder.number(flat), Literal.of(place)))
        choice = operation("where", same.outputs[0].dtype, dtype, dtype)
        return self.builder.apply(choice, (is_here, then, otherwise))

    def compute(self, scope: Scope, node: Node, index: Index) -> Element:
        """Return the element of a node's output, computed from elements of its inputs."""
        lowering = node.primitive.lowering
        if isinstance(lowering, Template):
            return self.of_template(scope, node, index)
        if isinstance(lowering, Fill):
            value = node.params["value"]
            return Literal.of(float(value) if is_floating(node.outputs[0].dtype) else value)
        if isinstance(lowering, (IndexMap, Alias)):
            return self.of_view(scope, node, lowering, index)
        if node.primitive.name == "span":
            return self.element(scope, node.inputs[0], self.in_span(scope, node, index))
        if isinstance(lowering, Indexed):
            return self.element(scope, node.inputs[0], self.places(scope, node, index))
        if isinstance(lowering, Accumulation):
            return self.of_reduction(scope, node, index)
        if isinstance(lowering, Contraction):
            return self.of_product(scope, node, index)
        if isinstance(lowering, Pieces) and all(entry.known is not None for entry in index):
            return self.of_pieces(scope, node, lowering)[tuple([e.constant for e in index])]
        raise NotLowerableError(f"{node.primitive.name} of elements at an index")

    def of_template(self, scope: Scope, node: Node, index: Index) -> Element:
        """Return the element of an elementwise operation."""
        given = [
            self.element(scope, operand, broadcast(operand.spec.shape, index))
            for operand in node.inputs
        ]
        folded = self.folded(node, given)
        if folded is not None:
            return folded
        return self.builder.apply(node, [self.builder.number(e) for e in given])

    def folded(self, node: Node, given: list[Element]) -> Element | None:
        """Return what is known of whole numbers and of their order without computing anything."""
        name = node.primitive.name
        if name == "where" and isinstance(given[0], Literal):
            return given[1] if given[0].number else given[2]
        terms: list[Linear] = []
        for operand, element in zip(node.inputs, given, strict=True):
            if operand.spec.dtype != int64:
                return None
            terms.append(self.builder.linear(element))
        if name in ("cast", "extent") and node.outputs[0].dtype == int64:
            return terms[0]
        if len(terms) != 2:
            return None
        return folded_pair(self.builder, name, *terms)

    def of_view(
        self, scope: Scope, node: Node, lowering: IndexMap | Alias, index: Index
    ) -> Element:
        """Return the element of another view of an array."""
        source = node.inputs[0]
        shape = source.spec.shape
        if node.primitive.name == "stop_gradient":
            number = self.number(scope, source, index)
            return self.builder.apply(stopped(source.spec.dtype), (number,))
        entries = lowering.function(loops_of(len(index)), source.spec, **node.params)
        if entries is not None:
            return self.element(scope, source, moved(entries, index))
        if has_extents((*shape, *node.outputs[0].shape)):
            raise NotLowerableError("another shape of an array whose size is not known")
        flat = flat_place(node.outputs[0].shape, index)
        if flat.known is None:
            raise NotLowerableError("another shape of an array")
        place = [flat.known // math.prod(shape[a + 1 :]) % size for a, size in enumerate(shape)]
        return self.element(scope, source, tuple(map(Linear.of, place)))

    def in_span(self, scope: Scope, node: Node, index: Index) -> Index:
        """Return where an element of a part lies in the array that it is part of."""
        axis, step = node.params["axis"], node.params["step"]
        start = self.builder.linear(self.element(scope, node.inputs[1], ()))
        return (*index[:axis], start + index[axis] * step, *index[axis + 1 :])

    def places(self, scope: Scope, node: Node, index: Index) -> Index:
        """Return where the element lies that an index array names for a place of the loops."""
        name = "take_transpose" if node.primitive.name == "take_transpose" else "take"
        shape = node.params["shape"] if name == "take_transpose" else node.inputs[0].spec.shape
        if node.primitive.name not in ("take", "put", "take_transpose"):
            raise NotLowerableError(node.primitive.name)
        lowering = TABLE["take"].lowering
        assert isinstance(lowering, Indexed)
        spec = Spec(shape, int64)
        entries = lowering.function(
            loops_of(len(index)), spec, node.inputs[1].spec, axes=node.params["axes"]
        )
        assert entries is not None
        found: list[Linear] = []
        for axis, entry in enumerate(entries):
            if isinstance(entry, Affine):
                found += moved((entry,), index)
            else:
                chosen = self.element(scope, node.inputs[1], moved(entry, index))
                size = self.size(scope, shape[axis])
                found.append(self.builder.place(chosen, size, node, axis))
        return tuple(found)

    def of_reduction(self, scope: Scope, node: Node, index: Index) -> Element:
        """Return the element of a reduction."""
        (found,) = self.reductions(scope, node, [index])
        return found

    def reductions(self, scope: Scope, node: Node, places: Sequence[Index]) -> list[Number]:
        """Return elements of a reduction, found in the same loops."""
        form = node.primitive.lowering
        assert isinstance(form, Accumulation)
        source, axes = node.inputs[0], node.params["axes"]
        shape = source.spec.shape
        inner = [self.size(scope, shape[axis]) for axis in axes]
        dtype = node.outputs[0].dtype
        start = self.builder.typed(form.identity(dtype), dtype)

        def add(reduced: Index, accumulators: Sequence[Number]) -> list[Number]:
            found: list[Number] = []
            for place, accumulator in zip(places, accumulators, strict=True):
                rest, own = iter(place), iter(reduced)
                full: list[Linear] = []
                for axis in range(len(shape)):
                    if axis in axes:
                        full.append(next(own))
                        if node.params["keepdims"]:
                            next(rest)
                    else:
                        full.append(next(rest))
                x = self.number(scope, source, tuple(full))
                found.append(self.builder.combine(node, form, accumulator, x))
            return found

        return self.accumulate(tuple(inner), (), [start] * len(places), dtype, add)

    def accumulate(
        self,
        sizes: tuple[Linear, ...],
        index: Index,
        accumulators: list[Number],
        dtype: DType,
        add: Callable[[Index, Sequence[Number]], list[Number]],
    ) -> list[Number]:
        """Write loops over sizes, which carry accumulators; short ones are written out."""
        if not sizes:
            return add(index, accumulators)
        known = sizes[0].known
        if known is not None and known <= 4:
            for k in range(known):
                here = (*index, Linear.of(k))
                accumulators = self.accumulate(sizes[1:], here, accumulators, dtype, add)
            return accumulators
        inside = [Scalar(dtype) for _ in accumulators]
        with self.builder.loop(0, sizes[0]) as loop:
            here = (*index, Linear.of(loop.index))
            following = self.accumulate(sizes[1:], here, list(inside), dtype, add)
            loop.carries += [
                Carry(i, a, f, Scalar(dtype))
                for i, a, f in zip(inside, accumulators, following, strict=True)
            ]
        return [carry.after for carry in loop.carries]

    def of_product(self, scope: Scope, node: Node, index: Index) -> Element:
        """Return the element of a product of matrices."""
        x, y = node.inputs
        *stack, row, column = index
        inner = self.size(scope, x.spec.shape[-1])
        dtype = node.outputs[0].dtype
        times = operation("mul", x.spec.dtype, y.spec.dtype)
        total = sum_node(dtype)
        form = total.primitive.lowering
        assert isinstance(form, Accumulation)

        def add(reduced: Index, accumulators: Sequence[Number]) -> list[Number]:
            (k,) = reduced
            left = self.number(scope, x, (*broadcast(x.spec.shape[:-2], tuple(stack)), row, k))
            right = self.number(scope, y, (*broadcast(y.spec.shape[:-2], tuple(stack)), k, column))
            product = self.builder.apply(times, (left, right))
            return [self.builder.combine(total, form, accumulators[0], product)]

        first: list[Number] = [self.builder.zero(dtype)]
        (found,) = self.accumulate((inner,), (), first, dtype, add)
        return found

    def of_pieces(
        self, scope: Scope, node: Node, lowering: Pieces
    ) -> dict[tuple[int, ...], Element]:
        """Return all elements of a small array that is written piece by piece."""
        found: dict[tuple[int, ...], Element] = {}
        for piece in lowering.function(*node.specs, **node.params):
            for place in all_places(piece.shape):
                into = moved(piece.place(loops_of(len(place))), place)
                element: Element = self.builder.zero(node.outputs[0].dtype)
                if piece.source is not None:
                    element = self.element(scope, node.inputs[piece.source], place)
                found[tuple([entry.constant for entry in into])] = element
        return found


def flat_place(shape: Shape, index: Index) -> Linear:
    """Return the place of an element in C order."""
    flat = Linear()
    for size, entry in zip(shape, index, strict=True):
        flat = flat * size + entry
    return flat


def broadcast(shape: Shape, index: Index) -> Index:
    """Return the index of the element that takes part in one of a larger array."""
    added = len(index) - len(shape)
    return tuple([Linear() if n == 1 else index[added + a] for a, n in enumerate(shape)])


def folded_pair(builder: Builder, name: str, a: Linear, b: Linear) -> Element | None:
    """Return an operation on two whole numbers as far as indices say what it gives."""
    if name in ("add", "sub"):
        return a + b if name == "add" else a - b
    if name == "mul":
        if b.known is None:
            a, b = b, a
        return None if b.known is None else a * b.known
    least, most = builder.extreme(a - b, False), builder.extreme(a - b, True)
    at_least, at_most = least is not None and least >= 0, most is not None and most <= 0
    above, below = least is not None and least > 0, most is not None and most < 0
    if name in ("maximum", "minimum"):
        larger, smaller = (a, b) if name == "maximum" else (b, a)
        return larger if at_least else smaller if at_most else None
    holds = {"lt": (below, at_least), "le": (at_most, above), "gt": (above, at_most),
             "ge": (at_least, below)}.get(name)  # fmt: skip
    if holds is None or not any(holds):
        return None
    return Literal.of(holds[0])
