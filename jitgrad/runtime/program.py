"""A program: the kernels and external calls of one graph, run in order on arrays."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitgrad.codegen.generate import ProgramText, generate, module_source
from jitgrad.codegen.nests import ExternalCall
from jitgrad.codegen.text import KernelText
from jitgrad.core.dtypes import float64, int64, is_floating
from jitgrad.core.errors import FallbackWarning
from jitgrad.core.recycling import is_recycled, recycled
from jitgrad.intrinsics import blas
from jitgrad.ir.graph import Graph, Literal, Node, Value
from jitgrad.ir.interpret import evaluate_primitive, interpret
from jitgrad.runtime.build import ArgumentType, Kernel, KernelBuildError, build_kernel
from jitgrad.runtime.failures import raise_failure
from jitgrad.runtime.native import (
    ArrayInput,
    Constant,
    CopyOf,
    FloatInput,
    Held,
    NewArray,
    Scratch,
    WriteBack,
    native_call,
)
from jitgrad.runtime.small_loops import small_loops
from jitgrad.runtime.threads import Workspaces, prepare_blas
from jitgrad.transforms.spell_out import spell_out

Array = np.ndarray[Any, Any]
# Bits of ndarray.flags.num: C-contiguous, aligned, and writeable.
_CONTIGUOUS = 0x1
_ALIGNED = 0x100
_WRITEABLE = 0x400
_CACHE_LINE = 64
USUAL_LAYOUT = _CONTIGUOUS | _ALIGNED | _WRITEABLE


@dataclass(eq=False, slots=True)
class Program:
    """What runs for one graph on arrays of one layout.

    Parameters
    ----------
    graph : Graph
        What it computes.
    title : str
        The user's function, for reports and file names.
    run : callable
        Takes the inputs (arrays, Python numbers for weak ones), returns a tuple of outputs.
    kernels : list of Kernel
        Generated functions, in order.
    texts : list of KernelText
        Their texts and what they hold.
    external : list of Node
        The operations carried out between kernels: by NumPy, loops by kernels of their own.
    seconds : float
        Time it took to make, compiling included.
    fallback : str
        Why the interpreter runs instead; ``""`` where kernels do.
    make_native : callable
        Returns a quicker form of `run`, which returns `jitgrad.runtime.native.MISS` for inputs of
        other shapes, dtypes or layouts; None if there is none.
    make_into : callable
        Returns a form of `run` that takes the outputs' arrays as its first argument, a list; it
        writes to those that are not None, where it returns the very same ones.
    root_of : callable
        Returns the value whose array holds that of another one.
    pending : bool
        Whether the interpreter runs while kernels are being built.
    """

    graph: Graph
    title: str
    run: Callable[..., tuple[Any, ...]]
    kernels: list[Kernel] = field(default_factory=list)
    texts: list[KernelText] = field(default_factory=list)
    external: list[Node] = field(default_factory=list)
    seconds: float = 0.0
    fallback: str = ""
    make_native: Callable[..., Callable[..., Any] | None] = lambda *written: None
    make_into: Callable[[], Callable[..., tuple[Any, ...]] | None] = lambda: None
    root_of: Callable[[Value], Value] = lambda value: value
    pending: bool = False

    def source(self) -> str:
        """Return the generated source of all kernels."""
        return "\n\n".join(kernel.source for kernel in self.kernels)


def layout_of(raw: Any) -> int:
    """Return what of an argument's memory a kernel depends on; see `USUAL_LAYOUT`."""
    return raw.flags.num & USUAL_LAYOUT if isinstance(raw, np.ndarray) else -1


def make_program(
    graph: Graph, layouts: Sequence[int], title: str, given: Sequence[Value] = ()
) -> Program:
    """Generate and build the program of `graph`, with a warning where that fails.

    Parameters
    ----------
    graph : Graph
        Simplified.
    layouts : sequence of int
        `layout_of` each input.
    title : str
        The user's function and where it stands.
    given : sequence of Value
        Inputs whose arrays may be returned with results in them.

    Returns
    -------
    Program
        Runs kernels; or the interpreter where a kernel can't be built.
    """
    program = build_program(graph, layouts, title, given)
    if program.fallback:
        warnings.warn(fallback_text(program), FallbackWarning, stacklevel=2)
    return program


def fallback_text(program: Program) -> str:
    """Return the warning of a program that could not be built."""
    return (
        f"{program.title}: a kernel could not be built and the program runs on the interpreter: "
        f"{program.fallback}"
    )


def build_program(
    graph: Graph, layouts: Sequence[int], title: str, given: Sequence[Value] = ()
) -> Program:
    """Generate and build the program of `graph`, without a warning; see `make_program`."""
    graph = spell_out(graph)
    if any(not bits & _ALIGNED for bits in layouts if bits >= 0):
        return _with_aligned_copies(graph, layouts, title)
    start = time.perf_counter()
    layout = dict(zip(graph.inputs, layouts, strict=True))
    small = small_loops(graph, layout, title)
    if small is not None:
        run, kernel, kernel_text, native = small
        return Program(
            graph, title, run, [kernel], [kernel_text], [], time.perf_counter() - start, "", native
        )
    try:
        usable = [v for v in given if layout.get(v, 0) & USUAL_LAYOUT == USUAL_LAYOUT]
        text = generate(graph, lambda value: bool(layout[value] & _CONTIGUOUS), usable)
        program = _build(text, layout, title)
    except Exception as error:  # whatever goes wrong here, the interpreter still gives the result
        reason = _reason(error)
        program = Program(graph, title, lambda *inputs: interpret(graph, inputs), fallback=reason)
    program.seconds = time.perf_counter() - start
    return program


def _with_aligned_copies(graph: Graph, layouts: Sequence[int], title: str) -> Program:
    """Return a program that copies arrays whose elements lie between the places for them."""
    odd = [bits >= 0 and not bits & _ALIGNED for bits in layouts]
    usual = [USUAL_LAYOUT if is_odd else b for b, is_odd in zip(layouts, odd, strict=True)]
    program = build_program(graph, usual, title)
    run = program.run

    def run_on_copies(*inputs: Any) -> tuple[Any, ...]:
        return run(*[x.copy() if is_odd else x for x, is_odd in zip(inputs, odd, strict=True)])

    program.run = run_on_copies
    return program


def _reason(error: Exception) -> str:
    if isinstance(error, KernelBuildError):
        return f"{error.reason} (source: {error.path})"
    return f"{type(error).__name__}: {error}"


def _build(text: ProgramText, layout: dict[Value, int], title: str) -> Program:
    program = Program(text.graph, title, lambda *inputs: (), root_of=text.storage.root)
    driver = _Driver(text)
    for part in text.parts:
        if isinstance(part, ExternalCall):
            program.external.append(part.node)
            driver.external(part)
            continue
        source = module_source(part.source, title)
        types = tuple([_argument_type(v, layout, v in part.written) for v in part.arguments])
        if part.sizes:
            types = (*types, ArgumentType(int64, 1))
        if part.numbers:
            types = (*types, ArgumentType(float64, 1))
        if part.arena_bytes:
            types = (*types, ArgumentType(np.dtype(np.uint8), 1))
        if part.failures:
            types = (*types, ArgumentType(int64, 1))
        if part.team:
            types = (*types, ArgumentType(int64, 1), ArgumentType(int64, is_scalar=True))
        kernel = build_kernel(source, "kernel", types)
        if blas.__name__ in source:
            prepare_blas()
        program.kernels.append(kernel)
        program.texts.append(part)
        driver.kernel(part, kernel)
    program.run = driver.finish()
    program.make_into = functools.cache(driver.finish_into)
    program.make_native = functools.cache(functools.partial(driver.native, layout))
    return program


def _argument_type(value: Value, layout: dict[Value, int], written: bool) -> ArgumentType:
    if value.spec.weak and value in layout:
        return ArgumentType(float64 if is_floating(value.dtype) else value.dtype, is_scalar=True)
    flags = layout.get(value, USUAL_LAYOUT)
    order = "C" if flags & _CONTIGUOUS else "A"
    return ArgumentType(value.dtype, value.ndim, order, written or bool(flags & _WRITEABLE))


class _Driver:
    """Writes the Python function that allocates arrays and calls the parts in order."""

    def __init__(self, text: ProgramText) -> None:
        self.text = text
        self.names: dict[Value, str] = {v: f"x{k}" for k, v in enumerate(text.graph.inputs)}
        self.lines: list[str] = []
        self.bound: dict[str, Any] = {"empty": np.empty, "evaluate": evaluate_primitive}
        self.kernels: list[tuple[KernelText, Kernel]] = []
        # The line that makes an array, and the one that returns the results.
        self.allocations: dict[Value, int] = {}
        self.returning = ""

    def constant(self, stem: str, thing: Any) -> str:
        name = f"{stem}{len(self.bound)}"
        self.bound[name] = thing
        return name

    def kernel(self, part: KernelText, kernel: Kernel) -> None:
        self.kernels.append((part, kernel))
        for value in part.arguments:
            if value in part.written and value not in self.names:
                self.names[value] = f"a{len(self.names)}"
                self.allocations[value] = len(self.lines)
                self.lines.append(f"{self.names[value]} = {self.new_array(value)}")
        call = self.constant("kernel", kernel.unchecked)
        arguments = [self.names[v] for v in part.arguments]
        if part.sizes:
            arguments.append(self.constant("sizes", np.array(part.sizes, np.int64)))
        if part.numbers:
            arguments.append(self.constant("numbers", np.array(part.numbers, np.float64)))
        if part.team:
            made = Workspaces(
                part.arena_bytes, part.thread_bytes, part.multiplies, part.nanoseconds
            )
            spaces = self.constant("spaces", made)
            self.lines.append(f"space = {spaces}.take()")
            arguments += ["space.arena"] if part.arena_bytes else []
        elif part.arena_bytes:
            # A pool, not one arena: several threads may run the program at once.
            pool = self.constant("pool", [])
            new_arena = self.constant("new_arena", _new_arena)
            self.lines.append(f"try: arena = {pool}.pop()")
            self.lines.append(f"except IndexError: arena = {new_arena}({part.arena_bytes})")
            arguments.append("arena")
        if part.failures:
            zeros, whole = self.constant("zeros", np.zeros), self.constant("dtype", int64)
            self.lines.append(f"failures = {zeros}(1, {whole})")
            arguments.append("failures")
        arguments += ["space.team", "0"] if part.team else []
        self.lines.append(f"{call}({', '.join(arguments)})")
        if part.team:
            self.lines.append(f"{spaces}.give_back(space)")
        elif part.arena_bytes:
            self.lines.append(f"{pool}.append(arena)")
        if part.failures:
            fail = self.constant("fail", functools.partial(raise_failure, part.failures))
            self.lines.append(f"if failures[0]: {fail}(failures[0])")

    def new_array(self, value: Value) -> str:
        """Return the text of memory for `value`, which a kernel fills."""
        if is_recycled(value.shape, value.dtype):
            return f"{self.constant('take', recycled(value.shape, value.dtype))}()"
        shape, dtype = self.constant("shape", value.shape), self.constant("dtype", value.dtype)
        return f"empty({shape}, {dtype})"

    def external(self, call: ExternalCall) -> None:
        operands = [
            repr(o.number) if isinstance(o, Literal) else self.array(o) for o in call.operands
        ]
        for number, operand in enumerate(call.operands):
            if isinstance(operand, Literal):
                operands[number] = self.constant("number", operand.number)
        targets = []
        for value in call.node.outputs:
            self.names[value] = f"a{len(self.names)}"
            targets.append(self.names[value])
        primitive = self.constant("primitive", call.node.primitive)
        params = self.constant("params", dict(call.node.params))
        listed = f"({', '.join(operands)}{',' if operands else ''})"
        self.lines.append(f"{', '.join(targets)}, = evaluate({primitive}, {listed}, {params})")
        for value in call.node.outputs:
            # Kernels are compiled for C order; NumPy may return any.
            contiguous = self.constant("ascontiguous", _row_major)
            self.lines.append(f"{self.names[value]} = {contiguous}({self.names[value]})")

    def array(self, value: Value) -> str:
        """Return the expression of the array that holds `value`."""
        root = self.text.storage.root(value)
        name = self.names[root]
        if root is value:
            return name
        return f"{name}.reshape({self.constant('shape', value.shape)})"

    def finish(self) -> Callable[..., tuple[Any, ...]]:
        given: set[Value] = set(self.text.graph.inputs)
        numbers = {v for v in given if v.spec.weak}
        over = self.text.storage.over
        results: list[str] = []
        for operand in self.text.graph.outputs:
            if isinstance(operand, Literal):
                results.append(self.constant("number", operand.number))
                continue
            text = self.array(operand)
            root = self.text.storage.root(operand)
            if operand in over and operand not in given:
                given.add(operand)
                results.append(self.names[root])
                continue
            # An input, or an array that is returned already, must not be returned as it is.
            results.append(f"{text}.copy()" if root in given - numbers else text)
            given.add(root)
        self.returning = f"return ({', '.join(results)}{',' if results else ''})"
        return self.function([], self.lines)

    def finish_into(self) -> Callable[..., tuple[Any, ...]]:
        """Return the function that takes arrays for outputs; see `Program.make_into`."""
        lines = list(self.lines)
        for number, operand in enumerate(self.text.graph.outputs):
            place = self.allocations.pop(operand, None) if isinstance(operand, Value) else None
            if place is not None:
                given = f"into[{number}]"
                name, _, made = lines[place].partition(" = ")
                lines[place] = f"{name} = {made} if {given} is None else {given}"
        return self.function(["into"], lines)

    def function(self, first: list[str], lines: list[str]) -> Callable[..., tuple[Any, ...]]:
        parameters = ", ".join([*first, *(self.names[v] for v in self.text.graph.inputs)])
        body = "".join(f"    {line}\n" for line in [*lines, self.returning])
        namespace = dict(self.bound)
        exec(f"def run({parameters}):\n{body}", namespace)
        run: Callable[..., tuple[Any, ...]] = namespace["run"]
        return run

    def native(
        self, layout: dict[Value, int], *written: tuple[int, int]
    ) -> Callable[..., Any] | None:
        """Return the driver as one built-in function; None unless it calls one kernel alone.

        Outputs that are `written` to inputs are copied there and not returned.
        """
        if len(self.kernels) != 1 or len(self.text.parts) != 1:
            return None
        ((part, kernel),) = self.kernels
        if part.team or any(is_recycled(value.shape, value.dtype) for value in part.written):
            return None
        inputs: list[ArrayInput | FloatInput] = []
        for value in self.text.graph.inputs:
            if not value.spec.weak:
                inputs.append(ArrayInput(value.shape, value.dtype, USUAL_LAYOUT, layout[value]))
            elif is_floating(value.dtype):
                inputs.append(FloatInput())
            else:
                return None
        number = {value: k for k, value in enumerate(self.text.graph.inputs)}
        results: list[NewArray | CopyOf | Constant] = []
        returned: dict[Value, NewArray | WriteBack] = {}
        targets = dict(written)
        if written and not all(
            isinstance(thing, FloatInput) or thing.flags & USUAL_LAYOUT == USUAL_LAYOUT
            for thing in inputs
        ):
            return None
        for place, operand in enumerate(self.text.graph.outputs):
            if isinstance(operand, Literal):
                results.append(Constant(operand.number))
                continue
            root = self.text.storage.root(operand)
            if place in targets:
                target = self.text.graph.inputs[targets[place]]
                if root in number or root in returned or target.dtype != root.dtype:
                    return None
                returned[root] = WriteBack(targets[place], root.shape, root.dtype)
                continue
            if root in number and root is operand and not operand.spec.weak:
                results.append(CopyOf(number[root]))
            elif root in number or root in returned:
                return None
            else:
                new = returned[root] = NewArray(root.shape, root.dtype, operand.shape)
                results.append(new)
        if not all(value in number or value in returned for value in part.arguments):
            return None
        arguments: list[int | NewArray | Held | Scratch | WriteBack] = [
            number[value] if value in number else returned[value] for value in part.arguments
        ]
        if part.sizes:
            arguments.append(Held(np.array(part.sizes, np.int64)))
        if part.numbers:
            arguments.append(Held(np.array(part.numbers, np.float64)))
        if part.arena_bytes:
            arguments.append(Scratch(part.arena_bytes))
        if part.failures:
            arguments.append(Scratch(8, is_failure=True))
        return native_call(inputs, arguments, results, kernel)


def _new_arena(nbytes: int) -> Array:
    """Return memory that begins on a cache line, as its blocks then do."""
    memory = np.empty(nbytes + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return memory[start : start + nbytes]


def _row_major(array: Array) -> Array:
    if array.flags.num & USUAL_LAYOUT == USUAL_LAYOUT:
        return array
    return np.array(array, order="C")
