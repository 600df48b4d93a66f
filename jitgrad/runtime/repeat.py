"""A kernel called again and again by machine code: the loop around a body, without Python.

From one iteration to the next only the addresses of arrays change, each by a stride. This file
writes the loop as LLVM text: it computes the addresses and calls the kernel.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.control.bodies import Place, Repeater
from jitgrad.core.errors import GraphError
from jitgrad.ir.graph import Value
from jitgrad.runtime.build import Kernel
from jitgrad.runtime.built_in import new_engine
from jitgrad.runtime.failures import raise_failure
from jitgrad.runtime.native import array_text
from jitgrad.runtime.program import Program

_CACHE_LINE = 64
# Columns of the table that the code reads: address, stride, first number, mask of the number.
_COLUMNS = 4


def repeater_of(program: Program) -> Repeater | None:
    """Return what repeats a program; None unless that is one kernel which one thread runs."""
    if program.fallback or program.external or len(program.kernels) != 1:
        return None
    (kernel,), (part,) = program.kernels, program.texts
    graph = program.graph
    roots = [program.root_of(output) for output in graph.outputs if isinstance(output, Value)]
    number = {value: k for k, value in enumerate((*graph.inputs, *roots))}
    known = len(number) == len(graph.inputs) + len(graph.outputs)
    if part.team or not kernel.address or not known or any(v not in number for v in part.arguments):
        return None
    shapes = [(v.shape, v.dtype.itemsize) for v in part.arguments]
    held: list[np.ndarray[Any, Any]] = []
    for numbers, dtype in ((part.sizes, np.int64), (part.numbers, np.float64)):
        if numbers:
            held.append(np.array(numbers, dtype))
    extra = [(array.shape, 8) for array in held]
    if part.arena_bytes:
        extra.append(((part.arena_bytes,), 1))
    if part.failures:
        extra.append(((1,), 8))
    code = _compiled(kernel, [*shapes, *extra], bool(part.failures))
    if code is None:
        return None
    order = [number[v] for v in part.arguments]
    fixed = [Place.of(array) for array in held]

    def repeat(places: Sequence[Place], count: int, flag: np.ndarray[Any, Any] | None) -> int:
        table = [places[k] for k in order] + fixed
        if part.arena_bytes:
            arena = np.empty(part.arena_bytes + _CACHE_LINE, np.uint8)
            table.append(Place.of(arena[-arena.ctypes.data % _CACHE_LINE :]))
        failures = np.zeros(1, np.int64)
        if part.failures:
            table.append(Place.of(failures))
        rows = np.array([(p.address, p.stride, p.first, p.mask) for p in table], np.int64)
        done: int = code(rows.ctypes.data, count, 0 if flag is None else flag.ctypes.data)
        if failures[0]:
            raise_failure(part.failures, int(failures[0]))
        if done < count and (flag is None or flag[()]):
            raise GraphError(f"the kernel of {program.title} gave up after {done} iterations")
        return done

    return repeat


def _compiled(
    kernel: Kernel, arrays: Sequence[tuple[tuple[int, ...], int]], fails: bool
) -> Callable[[int, int, int], int] | None:
    if not kernel.address:
        return None
    lines: list[str] = []
    passed: list[str] = []
    address = ""
    for row, (shape, itemsize) in enumerate(arrays):
        columns = []
        for column in range(_COLUMNS):
            name = f"%t{row}_{column}"
            place = row * _COLUMNS + column
            lines.append(f"  {name}p = getelementptr i64, ptr %table, i64 {place}")
            lines.append(f"  {name} = load i64, ptr {name}p")
            columns.append(name)
        base, stride, first, mask = columns
        address = f"%p{row}"
        lines += [
            f"  {address}a = add i64 %k, {first}",
            f"  {address}b = and i64 {address}a, {mask}",
            f"  {address}c = mul i64 {address}b, {stride}",
            f"  {address}d = add i64 {base}, {address}c",
            f"  {address} = inttoptr i64 {address}d to ptr",
        ]
        is_scalar = row < len(kernel.arguments) and kernel.arguments[row].is_scalar
        if is_scalar:
            kind = kernel.passed[len(passed)]
            lines.append(f"  {address}v = load {kind}, ptr {address}")
            passed.append(f"{kind} {address}v")
        else:
            passed += array_text(address, shape, itemsize)
    if kernel.passed != tuple([text.partition(" ")[0] for text in passed]):
        return None
    failed = ["  %bad = icmp ne i32 %status, 0", "  br i1 %bad, label %out, label %fine", "fine:"]
    if fails:
        # The last array tells of an index out of range.
        failed += [
            f"  %failure = load i64, ptr {address}",
            "  %wrong = icmp ne i64 %failure, 0",
            "  br i1 %wrong, label %out, label %right",
            "right:",
        ]
    text = "\n".join(
        [
            "define i64 @repeat(ptr %table, i64 %count, ptr %flag) {",
            "  %nothing = alloca ptr",
            "  %error = alloca ptr",
            "  %unflagged = icmp eq ptr %flag, null",
            "  br label %head",
            "head:",
            "  %k = phi i64 [0, %0], [%next, %again]",
            "  %over = icmp sge i64 %k, %count",
            "  br i1 %over, label %out, label %body",
            "body:",
            *lines,
            f"  %status = call i32 inttoptr (i64 {kernel.address} to ptr)"
            f"(ptr %nothing, ptr %error, {', '.join(passed)})",
            *failed,
            "  %next = add i64 %k, 1",
            "  br i1 %unflagged, label %again, label %ask",
            "ask:",
            "  %answer = load i8, ptr %flag",
            "  %ends = icmp eq i8 %answer, 0",
            "  br i1 %ends, label %end, label %again",
            "again:",
            "  br label %head",
            "end:",
            "  ret i64 %next",
            "out:",
            "  ret i64 %k",
            "}",
        ]
    )
    try:
        engine = new_engine(text)
        engine.finalize_object()
        start = engine.get_function_address("repeat")
    except RuntimeError:
        # A release of LLVM that reads other text; Python's loop does the same, more slowly.
        return None
    called = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
    function = called(start)
    # The engine and the kernel own the code; they live as long as this function.
    kept = (engine, kernel)

    def code(table: int, count: int, flag: int) -> int:
        assert kept
        result: int = function(table, count, flag)
        return result

    return code
