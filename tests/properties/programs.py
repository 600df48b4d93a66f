"""Random programs over Tensors, as Python source.

A program is drawn statement by statement, and each statement is run at once: so shapes, dtypes
and values are known when the next one is drawn, and a statement that gives nan, huge numbers, or
depends on rounding is left out.
"""

from __future__ import annotations

import itertools
import linecache
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import jitgrad
from tests.properties import vocabulary as words
from tests.properties.vocabulary import Array, Form

# Nearer than this to a jump or a kink nothing is computed, and nothing is larger than that.
_SMALLEST_GAP = 5e-3
_LARGEST = 100.0
_MOST_ELEMENTS = 6000

_file_numbers = itertools.count()


@dataclass(frozen=True)
class Program:
    """A function as source, and arguments for it."""

    parameters: tuple[str, ...]
    lines: tuple[str, ...]
    returned: tuple[str, ...]
    arguments: tuple[Array | float, ...]
    differentiated: tuple[int, ...]
    # The largest number that occurs in it, and the distance of 1 to the next number of its least
    # precise dtype: what is computed twice may differ by a multiple of their product.
    scale: float
    eps: float

    def __repr__(self) -> str:
        given = [
            f"{name} = {a if isinstance(a, float) else f'{a.dtype} {a.shape}'}"
            for name, a in zip(self.parameters, self.arguments, strict=True)
        ]
        names = ", ".join(self.parameters[k] for k in self.differentiated)
        return f"\n{self.source()}# {'; '.join(given)}; differentiated: {names}\n"

    def source(self) -> str:
        """Return the text of the function."""
        body = "".join(f"    {line}\n" for line in (*self.lines, self._last_line()))
        return f"def program({', '.join(self.parameters)}):\n{body}"

    def _last_line(self) -> str:
        return f"return ({', '.join(self.returned)},)"

    def size(self) -> int:
        """Return how many elements the arguments have."""
        return sum(1 if isinstance(a, float) else a.size for a in self.arguments)

    def function(self) -> Callable[..., tuple[Any, ...]]:
        """Return the function, in a file of its own as far as Python can tell."""
        name = f"<program {next(_file_numbers)}>"
        source = self.source()
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        namespace: dict[str, Any] = {"jg": jitgrad}
        exec(compile(source, name, "exec"), namespace)
        function: Callable[..., tuple[Any, ...]] = namespace["program"]
        return function


@st.composite
def programs(draw: st.DrawFn, most_statements: int = 8) -> Program:
    """Return a program of up to so many statements, which hypothesis can make smaller."""
    return _draw_program(lambda options: draw(st.sampled_from(options)), most_statements)


def random_program(seed: int, most_statements: int = 10) -> Program:
    """Return program number `seed`: no two are alike, as they are where hypothesis explores."""
    return _draw_program(random.Random(seed).choice, most_statements)


Choose = Callable[[Sequence[Any]], Any]


def _draw_program(choose: Choose, most_statements: int) -> Program:
    draft = _Draft(choose)
    draft.draw_arguments()
    for _ in range(choose(range(1, most_statements + 1))):
        draft.draw_statement()
    return draft.program()


class _Draft:
    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self.parameters: list[str] = []
        self.arguments: list[Array | float] = []
        self.lines: list[str] = []
        self.values: dict[str, Any] = {}
        self.scale = 1.0
        self.eps = float(np.finfo(np.float64).eps)
        self.differentiable = choose(range(5)) > 0

    def chance(self, out_of: int) -> bool:
        """Return True once in `out_of` times, and never in the simplest program."""
        return bool(self.choose(range(out_of)) == out_of - 1)

    def shuffled(self, count: int) -> list[int]:
        """Return the numbers below `count` in some order."""
        rest = list(range(count))
        return [rest.pop(self.choose(range(len(rest)))) for _ in range(count)]

    # -- arguments ------------------------------------------------------------------------

    def draw_arguments(self) -> None:
        sizes = [2, 3, 1, 4, 5]
        if self.chance(8):
            sizes = [3, 17, 20]
        elif self.chance(8):
            sizes = [2, 0, 1]
        base = tuple(self.choose(sizes) for _ in range(self.choose([2, 1, 3, 2, 3, 1, 0])))
        rng = np.random.default_rng(self.choose(range(1000)))
        floating = [np.float64] if self.chance(2) else [np.float64, np.float32]
        for number in range(self.choose([2, 1, 3, 4])):
            name = "abcd"[number]
            if number and self.chance(8):
                self.add_argument(name, float(np.round(rng.uniform(-2, 2), 3)))
                continue
            shape = base[self.choose([0, 0, 0, 0, *range(1, len(base) + 1)]) :]
            shape = tuple(1 if self.chance(6) else size for size in shape)
            dtype: Any = self.choose(floating)
            if number and self.chance(5):
                dtype = self.choose([np.int64, np.int32, np.bool_])
            self.add_argument(name, np.asarray(_numbers(rng, shape, dtype)))

    def add_argument(self, name: str, argument: Array | float) -> None:
        self.parameters.append(name)
        self.arguments.append(argument)

    def fresh_values(self) -> dict[str, Any]:
        return {
            name: a if isinstance(a, float) else jitgrad.from_numpy(a.copy())
            for name, a in zip(self.parameters, self.arguments, strict=True)
        }

    # -- running what is drawn ------------------------------------------------------------

    def pool(self, kinds: str = "fib", least_axes: int = 0) -> list[str]:
        """Return the names of Tensors of these kinds of dtype, the latest first."""
        if not self.values:
            self.values = self.fresh_values()
        found = [
            name
            for name, value in self.values.items()
            if not isinstance(value, float)
            and value.dtype.kind in kinds
            and value.ndim >= least_axes
        ]
        # The latest twice: long chains find more than wide programs.
        return [*found[-2:], *found][::-1]

    def array(self, name: str) -> Array:
        value = self.values[name]
        array: Array = np.asarray(value) if isinstance(value, float) else value._raw
        return array

    def attempt(self, text: str) -> bool:
        """Run a statement, and keep it if it gives moderate numbers."""
        values = self.values
        try:
            exec(text, {"jg": jitgrad}, values)
            values.pop("_", None)
            arrays = [self.array(name) for name in values]
            fits = all(map(_is_moderate, arrays))
        except jitgrad.JitgradError:
            fits = False
        if not fits:
            # In-place updates may have been made: go through it all again.
            self.values = self.fresh_values()
            for line in self.lines:
                exec(line, {"jg": jitgrad}, self.values)
            self.values.pop("_", None)
            return False
        self.lines.append(text)
        for array in arrays:
            if array.dtype.kind == "f":
                self.eps = max(self.eps, float(np.finfo(array.dtype).eps))
            if array.size:
                self.scale = max(self.scale, float(np.abs(array.astype(float)).max()))
        return True

    def new(self, expression: str) -> bool:
        """Add a statement that gives `expression` a name."""
        return self.attempt(f"v{len(self.lines)} = {expression}")

    def far_from_jumps(self, form: Form, *names: str) -> bool:
        if form.gap is None:
            return True
        arrays = [self.array(name) for name in names]
        if not any(a.dtype.kind == "f" for a in arrays):
            return True
        with np.errstate(all="ignore"):
            gap = np.asarray(form.gap(*[a.astype(float) for a in arrays]))
        return bool(np.all(gap > _SMALLEST_GAP * max(1.0, *map(_largest, arrays))))

    # -- statements -----------------------------------------------------------------------

    def draw_statement(self) -> None:
        kinds = [
            self.add_map,
            self.add_pair,
            self.add_pair,
            self.add_scalar,
            self.add_reduction,
            self.add_reduction,
            self.add_along_axis,
            self.add_shape,
            self.add_part,
            self.add_part,
            self.add_join,
            self.add_product,
            self.add_comparison,
            self.add_select,
            self.add_update,
            self.add_update,
            self.add_cast,
            self.add_branch,
            self.add_loop,
        ]
        self.choose(kinds)()

    def add_map(self) -> None:
        name = self.choose(self.pool())
        kind = self.values[name].dtype.kind
        table = {"f": words.FLOAT_MAPS, "i": words.INTEGER_MAPS, "b": words.BOOLEAN_MAPS}
        form = self.choose(table[kind])
        if self.far_from_jumps(form, name):
            self.new(form.text.format(x=name))

    def add_pair(self) -> None:
        x = self.choose(self.pool())
        y = self.partner(x)
        kinds = self.values[x].dtype.kind + self.values[y].dtype.kind
        table = words.FLOAT_PAIRS
        if "f" not in kinds:
            table = words.BOOLEAN_PAIRS if kinds == "bb" else words.INTEGER_PAIRS
        form = self.choose(table)
        if self.far_from_jumps(form, x, y):
            self.new(form.text.format(x=x, y=y))

    def partner(self, name: str, kinds: str = "fib") -> str:
        """Return a Tensor with which another one broadcasts, perhaps itself."""
        shape = self.values[name].shape
        fitting = [y for y in self.pool(kinds) if _broadcast(shape, self.values[y].shape)]
        partner: str = self.choose(fitting)
        return partner

    def add_scalar(self) -> None:
        number = self.choose(["0.1", "7", *(p for p in self.parameters if self.is_number(p))])
        form = self.choose(words.SCALARS)
        self.new(form.text.format(x=self.choose(self.pool()), number=number))

    def is_number(self, parameter: str) -> bool:
        return isinstance(self.values.get(parameter), float)

    def add_reduction(self) -> None:
        name = self.choose(self.pool())
        value = self.values[name]
        count = self.choose(range(value.ndim + 1))
        axes = tuple(self.shuffled(value.ndim)[:count])
        if self.chance(3):
            axes = tuple(axis - value.ndim for axis in axes)
        some = f"({', '.join(map(str, axes))}{',' if axes else ''})" if axes else "None"
        dims = f"{some}, keepdim={self.choose([False, True])}"
        if value.dtype.kind != "f":
            operation = self.choose(["sum", "any", "all", "amax"])
            if operation == "amax" and value.dtype.kind != "i":
                return
            self.new(f"{name}.{operation}({dims})")
            return
        if self.chance(4):
            if self.has_clear_extremes(name, axes):
                self.new(self.choose(words.EXTREMES).text.format(x=name, dims=dims))
            return
        text = self.choose(words.REDUCTIONS).text
        if "vector_norm" in text and not np.all(np.abs(self.array(name)) > _SMALLEST_GAP):
            return
        self.new(text.format(x=name, dims=dims, dims_only=some))

    def has_clear_extremes(self, name: str, axes: Sequence[int]) -> bool:
        """Return whether no two elements are so alike that rounding may swap them."""
        flat = np.sort(self.array(name).astype(float), axis=None)
        return bool(np.all(np.diff(flat) > _SMALLEST_GAP))

    def add_along_axis(self) -> None:
        names = self.pool("f", least_axes=1)
        if not names:
            return
        name = self.choose(names)
        ndim = self.values[name].ndim
        axis = self.choose(range(-ndim, ndim))
        form = self.choose(words.ALONG_ONE_AXIS)
        if self.far_from_jumps(form, name):
            self.new(form.text.format(x=name, axis=axis))

    def add_shape(self) -> None:
        name = self.choose(self.pool())
        value = self.values[name]
        options = [
            f"{name}.reshape({self.choose(_factorisations(value.numel()))})",
            f"{name}.flatten()",
            f"{name}.squeeze()",
            f"{name}[None]",
            f"{name}[..., None]",
            f"jg.broadcast_to({name}, {(2, *value.shape)})",
        ]
        if value.ndim >= 2:
            order = tuple(self.shuffled(value.ndim))
            options += [f"{name}.permute{order}", f"{name}.mT", f"jg.tril({name})"]
            options += [f"jg.diagonal({name})", f"{name}.mT.reshape(-1)"]
        if 1 in value.shape:
            wide = tuple(3 if size == 1 else -1 for size in value.shape)
            options.append(f"{name}.expand{wide}" if len(wide) > 1 else f"{name}.expand(3)")
        if value.ndim:
            options.append(f"{name}.repeat{(2, *[1] * (value.ndim - 1))}".replace(",)", ")"))
        self.new(self.choose(options))

    def index(self, shape: tuple[int, ...]) -> str:
        """Return the text of a basic index into an array of this shape."""
        parts = []
        for size in shape[: self.choose([len(shape), *range(1, len(shape) + 1)])]:
            options = [":", "1:", ":-1", "::2", "::-1", "-2:", "1:3", "::-2", f"{size}:0:-1"]
            if size:
                options += ["0", "-1", str(size // 2)]
            parts.append(self.choose(options))
        if self.chance(6):
            parts.insert(self.choose(range(len(parts) + 1)), "None")
        if self.chance(6):
            parts.insert(len(parts) if self.chance(2) else 0, "...")
            if parts[0] == "...":
                return ", ".join(parts)
        return ", ".join(parts) or "..."

    def add_part(self) -> None:
        names = self.pool(least_axes=1)
        if not names:
            return
        name = self.choose(names)
        shape = self.values[name].shape
        if shape[0] and self.chance(6):
            rows = [self.choose(range(shape[0])) for _ in range(self.choose([2, 1, 3]))]
            self.new(f"{name}[{rows}]")
        elif len(shape) == 1 and self.chance(6):
            self.new(f"{name}[1:] - {name}[:-1]" if self.kind(name) == "f" else f"{name}[1:]")
        else:
            self.new(f"{name}[{self.index(shape)}]")

    def kind(self, name: str) -> str:
        kind: str = self.values[name].dtype.kind
        return kind

    def add_join(self) -> None:
        x = self.choose(self.pool())
        shape = self.values[x].shape
        alike = [y for y in self.pool() if self.values[y].shape == shape]
        parts = ", ".join(
            [x, self.choose(alike), *([self.choose(alike)] if self.chance(3) else [])]
        )
        if shape and self.chance(2):
            self.new(f"jg.cat([{parts}], {self.choose(range(len(shape)))})")
        else:
            self.new(f"jg.stack([{parts}], {self.choose(range(-len(shape) - 1, len(shape) + 1))})")

    def add_product(self) -> None:
        names = self.pool("f", least_axes=1)
        if not names:
            return
        x = self.choose(names)
        pairs = [
            f"{left} @ {right}"
            for y in names
            for left, right in itertools.product((x, f"{x}.mT"), (y, f"{y}.mT"))
            if self.multiplies(left, right)
        ]
        vectors = [y for y in names if self.values[y].ndim == 1]
        if x in vectors:
            pairs += [f"jg.outer({x}, {y})" for y in vectors]
        if self.values[x].ndim == 2:
            pairs += [f"jg.einsum('ij,kj->ik', {x}, {x})", f"jg.einsum('ij,ij->', {x}, {x})"]
        if pairs:
            self.new(self.choose(pairs))

    def multiplies(self, left: str, right: str) -> bool:
        arrays = []
        for text in (left, right):
            array = self.array(text.removesuffix(".mT"))
            if text.endswith(".mT"):
                if array.ndim < 2:
                    return False
                array = np.swapaxes(array, -1, -2)
            arrays.append(array)
        a, b = arrays
        if a.dtype != b.dtype:
            return False
        if a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
            return False
        return _broadcast(a.shape[:-2], b.shape[:-2])

    def add_comparison(self) -> None:
        x = self.choose(self.pool())
        y = self.partner(x)
        form = self.choose(words.COMPARISONS)
        if x != y and self.far_from_jumps(form, x, y):
            self.new(form.text.format(x=x, y=y))

    def add_select(self) -> None:
        masks = self.pool("b")
        if not masks:
            self.add_comparison()
            return
        mask = self.choose(masks)
        x = self.partner(mask)
        y = self.choose([self.partner(x), "0.5", "-1"])
        text = self.choose(["jg.where({m}, {x}, {y})", "{x}.masked_fill({m}, 0.25)", "{x} * {m}"])
        self.new(text.format(m=mask, x=x, y=y))

    def add_cast(self) -> None:
        name = self.choose(self.pool())
        dtype = self.choose(["float64", "float32", "int64", "int32", "bool"])
        if self.kind(name) == "f" and dtype[0] in "ib":
            gap = words.to_integer(self.array(name).astype(float))
            if not np.all(gap > _SMALLEST_GAP):
                return
        self.new(f"{name}.to(jg.{dtype})")

    # -- statements that change things, and statements with statements inside ---------------

    def add_update(self) -> None:
        names = [name for name in self.pool("fi") if self.may_change(name)]
        if not names:
            self.new(f"{self.choose(self.pool())}.clone()")
            return
        x = self.choose(names)
        y = self.choose([*self.pool("fi"), "0.5", "2"])
        if self.kind(x) == "i" and (y == "0.5" or (y in self.values and self.kind(y) == "f")):
            y = "2"
        sign = self.choose(["=", "+=", "*=", "-="])
        masks = [m for m in self.pool("b") if self.values[m].shape == self.values[x].shape]
        if self.values[x].ndim and not self.chance(3):
            self.attempt(f"{x}[{self.index(self.values[x].shape)}] {sign} {y}")
        elif masks and self.chance(2):
            self.attempt(f"{x}[{self.choose(masks)}] = 0.5")
        elif self.chance(2) and self.kind(x) == "f":
            calls = ["tanh_()", "mul_(0.5)", "zero_()", "fill_(0.25)", "sin_()", "neg_()"]
            if y in self.values:
                calls += [f"copy_({y})", f"mul_({y})", f"sub_({y})"]
            self.attempt(f"{x}.{self.choose(calls)}")
        elif sign != "=":
            self.attempt(f"{x} {sign} {y}")

    def may_change(self, name: str) -> bool:
        if not self.differentiable:
            return True
        # A leaf that requires a gradient must not be changed, nor a part of it.
        own = self.array(name)
        # Whose memory an empty array is in can't be told.
        return own.size > 0 and not any(
            np.shares_memory(own, self.array(parameter)) for parameter in self.parameters
        )

    def add_branch(self) -> None:
        names = [n for n in self.pool("f") if self.values[n].numel()]
        if not names or not self.chance(2):
            return
        x = self.choose(names)
        if abs(float(self.array(x).astype(float).sum()) - 0.1) > 0.05:
            self.new(f"{x} * 2.0 if {x}.sum() > 0.1 else jg.cos({x})")

    def add_loop(self) -> None:
        names = self.pool("f")
        if not names or not self.chance(2):
            return
        x = self.choose(names)
        y = self.partner(x, "f")
        name = f"v{len(self.lines)}"
        if np.broadcast_shapes(self.values[x].shape, self.values[y].shape) == self.values[x].shape:
            step = f"{name} = jg.tanh({name} + 0.5 * {y})"
            self.attempt(f"{name} = {x}\nfor _ in range(3): {step}")

    # -- the end --------------------------------------------------------------------------

    def program(self) -> Program:
        # What nothing else uses is returned, so that all of it is computed.
        used: set[str] = set()
        for text in self.lines:
            target, *others = re.findall(r"\b[a-d]\b|\bv\d+\b", text)
            used.update(name for name in others if name != target)
        made = [name for name in dict.fromkeys(self.pool()) if name not in self.parameters]
        returned = [name for name in made if name not in used] or self.pool()[:1]
        if self.chance(3):
            returned.append(self.choose(self.pool()))
        differentiated = [
            k
            for k, a in enumerate(self.arguments)
            if self.differentiable and not isinstance(a, float) and a.dtype.kind == "f"
        ]
        return Program(
            tuple(self.parameters),
            tuple(line for text in self.lines for line in text.split("\n")),
            tuple(returned),
            tuple(self.arguments),
            tuple(differentiated),
            self.scale,
            self.eps,
        )


def _numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Array:
    if dtype is np.bool_:
        return rng.integers(0, 2, shape).astype(np.bool_)
    if np.issubdtype(dtype, np.integer):
        return rng.integers(-3, 5, shape).astype(dtype)
    return rng.uniform(-2, 2, shape).astype(dtype)


def _largest(array: Array) -> float:
    return float(np.abs(array.astype(float)).max()) if array.size else 0.0


def _is_moderate(array: Array) -> bool:
    if array.size > _MOST_ELEMENTS:
        return False
    return array.size == 0 or bool(np.abs(array.astype(float)).max() < _LARGEST)


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1], strict=False))


def _factorisations(count: int) -> list[tuple[int, ...]]:
    """Return some shapes of so many elements."""
    found: list[tuple[int, ...]] = [(-1,) if count else (0,), (count, 1), (1, count)]
    for k in (2, 3, 4, 5):
        if count and count % k == 0:
            found += [(k, count // k), (count // k, k), (k, 1, count // k)]
    return found
