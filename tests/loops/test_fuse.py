"""Loops that are put together, and those that must not be."""

from __future__ import annotations

from jitgrad.core.dtypes import float64, int64
from jitgrad.loops.builder import Builder, operation
from jitgrad.loops.fuse import fuse
from jitgrad.loops.program import Array, For, Linear, Load, Program, Store, statements

SIZE = 9


def _vector(name: str) -> Array:
    return Array((SIZE,), float64, name)


def _two_loops(shift: int, *, is_turned: bool = False) -> Program:
    """Return a program whose second loop reads what the first has stored, further on."""
    x, t, y = _vector("x"), _vector("t"), _vector("y")
    builder = Builder()
    with builder.loop(0, SIZE - 1) as first:
        read = builder.load(x, (Linear.of(first.index),))
        square = builder.apply(operation("mul", float64, float64), (read, read))
        builder.store(t, (Linear.of(first.index),), square)
    with builder.loop(0, SIZE - 1) as second:
        second.backwards = is_turned
        builder.store(
            y,
            (Linear.of(second.index),),
            builder.load(t, (Linear.of(second.index) + shift,)),
        )
    return Program([x], [], [y], [t], builder.block)


def test_a_loop_goes_into_the_one_whose_elements_it_reads() -> None:
    program = fuse(_two_loops(0))
    (loop,) = program.body
    assert isinstance(loop, For)
    # What was handed on is in a register.
    assert [s.array.name for s in loop.body if isinstance(s, (Load, Store))] == ["x", "y"]
    assert not program.temporaries


def test_loops_stay_apart_where_elements_of_other_iterations_are_read() -> None:
    for program in (_two_loops(1), _two_loops(-1), _two_loops(0, is_turned=True)):
        assert len([s for s in statements(fuse(program).body) if isinstance(s, For)]) == 2


def test_an_index_that_is_computed_keeps_loops_apart() -> None:
    x, t, y, where = _vector("x"), _vector("t"), _vector("y"), Array((SIZE,), int64, "where")
    builder = Builder()
    with builder.loop(0, SIZE) as first:
        place = builder.load(where, (Linear.of(first.index),))
        builder.store(t, (Linear.of(place),), builder.load(x, (Linear.of(first.index),)))
    with builder.loop(0, SIZE) as second:
        here = (Linear.of(second.index),)
        builder.store(y, here, builder.load(t, here))
    program = fuse(Program([x, where], [], [y], [t], builder.block))
    assert len(program.body) == 2
