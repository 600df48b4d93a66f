"""Random programs in plain Python: nested loops, branches, jumps, in-place updates and calls."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

import jitgrad as jg

_HELPERS = """
def pick(v, w):
    if v > w:
        return v - w
    return jg.cos(v)


def change(y, i, v):
    y[i] = 0.5 * y[i] + v
    if v > 0.3:
        y[0] += 0.1 * v
    return jg.sin(v)


def first(y, v):
    for k in range(y.shape[0]):
        if y[k] > v:
            return y[k] + 0.1 * k
    return v
"""


class _Writer:
    """Writes one program.

    Parameters
    ----------
    random : Random
        Where all choices come from.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.lines: list[str] = []
        self.indices: list[str] = []
        self.loops = 0
        self.statements = 0

    def program(self) -> str:
        choose = self.random.choice
        self.write(0, "def program(x, y):")
        self.write(1, f"s = {choose(['0.0', 'x[0]', '1', 'x.sum()'])}")
        self.write(1, f"t = {choose(['0.5', 'y[1] * x[2]'])}")
        self.write(1, f"z = {choose(['x * 1.0', 'jg.zeros_like(x)', 'y.clone()'])}")
        self.write(1, "k = 0")
        self.block(1, 0, self.random.randint(2, 4), in_loop=False)
        self.write(1, "return s, t, z, y, k")
        return _HELPERS + "\n\n" + "\n".join(self.lines) + "\n"

    def write(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def block(self, depth: int, loops: int, count: int, in_loop: bool) -> None:
        for _ in range(count):
            self.statement(depth, loops, in_loop)

    def statement(self, depth: int, loops: int, in_loop: bool) -> None:
        self.statements += 1
        kinds = ["assign", "update", "element", "element", "slice", "swap", "call", "count"]
        if self.statements < 14:
            kinds += ["if", "if", "choose"]
            if loops < 3:
                kinds += ["for", "for", "for", "while", "along"]
            if in_loop:
                kinds += ["jump"]
        getattr(self, f"{self.random.choice(kinds)}_")(depth, loops, in_loop)

    # -- statements ---------------------------------------------------------------------------

    def assign_(self, depth: int, loops: int, in_loop: bool) -> None:
        self.write(depth, f"{self.random.choice('st')} = {self.scalar(2)}")

    def update_(self, depth: int, loops: int, in_loop: bool) -> None:
        sign = self.random.choice(["+", "-", "*"])
        self.write(depth, f"{self.random.choice('st')} = {self.scalar(1)} {sign} {self.scalar(1)}")

    def element_(self, depth: int, loops: int, in_loop: bool) -> None:
        sign = self.random.choice(["=", "+=", "*=", "-="])
        array = self.random.choice("yz")
        self.write(depth, f"{array}[{self.index()}] {sign} {self.scalar(2)}")

    def slice_(self, depth: int, loops: int, in_loop: bool) -> None:
        a, b = self.random.choice("yz"), self.random.choice("xyz")
        texts = [
            f"{a}[1:-1] = 0.5 * ({b}[:-2] - {b}[2:])",
            f"{a} = 0.5 * {a} + jg.sin({b})",
            f"{a}[::2] += 0.25 * {b}[::2]",
            f"{a} *= 0.5",
        ]
        self.write(depth, self.random.choice(texts))

    def swap_(self, depth: int, loops: int, in_loop: bool) -> None:
        self.write(depth, self.random.choice(["s, t = t, s", "y, z = z, y", "t, s = 0.5 * s, t"]))

    def call_(self, depth: int, loops: int, in_loop: bool) -> None:
        texts = [
            f"s = pick({self.scalar(1)}, {self.scalar(1)})",
            f"t = change({self.random.choice('yz')}, {self.index()}, {self.scalar(1)})",
            f"t = first({self.random.choice('xyz')}, {self.scalar(1)})",
            "s = (lambda v: v if v < 0.5 else 0.5 * v)(s)",
        ]
        self.write(depth, self.random.choice(texts))

    def count_(self, depth: int, loops: int, in_loop: bool) -> None:
        self.write(depth, self.random.choice(["k += 1", "k = k + 2", "k = (k + 3) % 5"]))

    def if_(self, depth: int, loops: int, in_loop: bool) -> None:
        self.write(depth, f"if {self.condition(2)}:")
        self.block(depth + 1, loops, self.random.randint(1, 2), in_loop)
        if self.random.random() < 0.5:
            self.write(depth, "else:")
            self.block(depth + 1, loops, 1, in_loop)

    def choose_(self, depth: int, loops: int, in_loop: bool) -> None:
        text = f"{self.scalar(1)} if {self.condition(1)} else {self.scalar(1)}"
        self.write(depth, f"{self.random.choice('st')} = {text}")

    def for_(self, depth: int, loops: int, in_loop: bool) -> None:
        self.loops += 1
        name = f"i{self.loops}"
        outer = self.random.choice(self.indices) if self.indices else "2"
        bounds = [
            "6", "5", "1, 6", "5, -1, -1", "0, 7, 2", f"{outer}, 6", f"{outer}", f"6, {outer}, -1",
            "6, 0, -2",
        ]  # fmt: skip
        self.write(depth, f"for {name} in range({self.random.choice(bounds)}):")
        self.body(depth, loops, name)

    def along_(self, depth: int, loops: int, in_loop: bool) -> None:
        self.loops += 1
        name = f"i{self.loops}"
        courses = [
            f"for {name}, v in enumerate({self.random.choice('xyz')}):",
            f"for {name}, (v, w) in enumerate(zip(x, {self.random.choice('xz')})):",
        ]
        self.write(depth, self.random.choice(courses))
        self.write(depth + 1, f"s = s + 0.1 * v * {self.scalar(1)}")
        self.body(depth, loops, name)

    def while_(self, depth: int, loops: int, in_loop: bool) -> None:
        self.loops += 1
        name = f"n{self.loops}"
        self.write(depth, f"{name} = 0")
        self.write(depth, f"while {name} < 6 and ({self.condition(1)}):")
        self.write(depth + 1, f"{name} += 1")
        self.body(depth, loops, f"({name} - 1)")

    def body(self, depth: int, loops: int, index: str) -> None:
        self.indices.append(index)
        self.block(depth + 1, loops + 1, self.random.randint(1, 3), in_loop=True)
        self.indices.pop()
        if self.random.random() < 0.2:
            self.write(depth, "else:")
            self.write(depth + 1, f"t = t + {self.scalar(1)}")

    def jump_(self, depth: int, loops: int, in_loop: bool) -> None:
        self.write(depth, f"if {self.condition(1)}:")
        jumps = ["break", "continue", f"return {self.scalar(1)}, t, z, y, k"]
        self.write(depth + 1, self.random.choice(jumps))

    # -- expressions --------------------------------------------------------------------------

    def index(self) -> str:
        if not self.indices or self.random.random() < 0.2:
            return str(self.random.randint(-6, 6))
        name = self.random.choice(self.indices)
        return self.random.choice([name, name, f"{name} - 1", f"({name} + 2) % 7", f"-{name}"])

    def scalar(self, depth: int) -> str:
        choose = self.random.choice
        simple = ["s", "t", "0.3", f"{choose('xyz')}[{self.index()}]", f"{choose('xyz')}[k % 5]"]
        if self.indices:
            simple.append(f"0.1 * {choose(self.indices)}")
        if depth == 0:
            return choose(simple)
        a, b = self.scalar(depth - 1), self.scalar(depth - 1)
        texts = [
            a, f"jg.sin({a} + {b})", f"0.5 * {a}", f"({a} - {b})", f"jg.tanh({a}) * {b}",
            f"max({a}, {b})", f"abs({a})",
        ]  # fmt: skip
        return choose(texts)

    def condition(self, depth: int) -> str:
        choose = self.random.choice
        simple = [
            f"{self.scalar(0)} > {choose(['0.1', '-0.2', '0.45'])}",
            f"{self.scalar(0)} < {self.scalar(0)} + 0.01",
            "k % 2 == 0",
        ]
        if self.indices:
            simple.append(f"{choose(self.indices)} < {choose(['2', '3'])}")
        if depth == 0:
            return choose(simple)
        a, b = self.condition(depth - 1), self.condition(depth - 1)
        texts = [a, f"{a} and {b}", f"{a} or {b}", f"not {a}", f"-0.4 < {self.scalar(0)} <= 0.7"]
        return choose(texts)


def write_program(random: Random) -> str:
    """Return the text of a module with a function ``program(x, y)``."""
    return _Writer(random).program()


def load(text: str, number: int) -> Callable[..., Any]:
    """Return the function of a program, whose source can be read."""
    file = f"<random program {number}>"
    lines = text.splitlines(keepends=True)
    linecache.cache[file] = (len(text), None, lines, file)
    namespace: dict[str, Any] = {"jg": jg, "__name__": "random_program"}
    exec(compile(text, file, "exec"), namespace)
    function: Callable[..., Any] = namespace["program"]
    return function


def arguments() -> list[Any]:
    """Return what programs are called with."""
    return [
        jg.tensor(np.array([0.21, -0.43, 0.57, 0.83, -0.11, 0.35, -0.67])),
        jg.tensor(np.array([-0.31, 0.13, 0.47, -0.59, 0.73, 0.05, 0.29])),
    ]
