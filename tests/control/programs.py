"""Programs with constructs, each beside the plain Python that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import jitgrad as jg


@dataclass(frozen=True)
class Program:
    """A function written twice, and inputs for it."""

    name: str
    written: Callable[..., Any]
    plain: Callable[..., Any]
    inputs: tuple[Any, ...]

    def __str__(self) -> str:
        return self.name


PROGRAMS: list[Program] = []
_X = np.array([0.5, -0.3, 0.8])
_W = np.array([[0.2, -0.4, 0.1], [0.3, 0.5, -0.2], [0.1, 0.2, 0.4]])


def program(*inputs: Any) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def enter(both: Callable[[], Any]) -> Callable[[], Any]:
        written, plain = both()
        PROGRAMS.append(Program(both.__name__, written, plain, inputs))
        return both

    return enter


@program(_X, np.array(0.7))
def a_counted_loop_that_closes_over_a_number() -> Any:
    def written(x: Any, w: Any) -> Any:
        return jg.fori_loop(1, 5, lambda i, c: jg.exp(-c * w) + 0.1 * i, x)

    def plain(x: Any, w: Any) -> Any:
        for i in range(1, 5):
            x = jg.exp(-x * w) + 0.1 * i
        return x

    return written, plain


@program(_X, _W)
def a_loop_over_a_product_of_matrices() -> Any:
    def written(x: Any, w: Any) -> Any:
        return jg.fori_loop(0, 3, lambda i, c: jg.tanh(w @ c) + c, x)

    def plain(x: Any, w: Any) -> Any:
        for _ in range(3):
            x = jg.tanh(w @ x) + x
        return x

    return written, plain


@program(_X)
def a_loop_that_does_not_run() -> Any:
    return (lambda x: jg.fori_loop(3, 3, lambda i, c: c * c, x)), (lambda x: x)


@program(_X, _W)
def elements_read_at_the_index() -> Any:
    def written(x: Any, w: Any) -> Any:
        return jg.fori_loop(0, 3, lambda i, s: s * 0.5 + x[i] * (w[i] * x).sum(), 0.0)

    def plain(x: Any, w: Any) -> Any:
        s = 0.0
        for i in range(3):
            s = s * 0.5 + x[i] * (w[i] * x).sum()
        return s

    return written, plain


@program(_X)
def elements_written_in_place() -> Any:
    def written(x: Any) -> Any:
        def body(i: Any, y: Any) -> Any:
            y[i] = y[i] * x[i] + y[i - 1]
            return y

        return jg.fori_loop(1, 3, body, x * 2.0)

    def plain(x: Any) -> Any:
        y = x * 2.0
        for i in range(1, 3):
            before, y = y, y.clone()
            y[i] = before[i] * x[i] + before[i - 1]
        return y

    return written, plain


@program(_X, np.array([[1.0, 0.4, -1.0], [0.5, 0.1, 0.2]]))
def a_scan_with_a_structure_as_carry() -> Any:
    def written(x: Any, xs: Any) -> Any:
        def step(carry: Any, row: Any) -> Any:
            h = jg.exp(-carry["h"] * row)
            return {"h": h, "count": carry["count"] + 1, "sum": carry["sum"] + h.sum()}, (
                h,
                row * 2,
            )

        return jg.scan(step, {"h": x, "count": 0, "sum": 0.0}, xs)

    def plain(x: Any, xs: Any) -> Any:
        h, total, hs = x, 0.0, []
        for k in range(2):
            h = jg.exp(-h * xs[k])
            total = total + h.sum()
            hs.append(h)
        return {"h": h, "count": jg.tensor(2), "sum": total}, (jg.stack(hs), xs * 2)

    return written, plain


@program(np.array(0.3), np.array([0.4, 1.0, -1.0, 2.0]))
def a_scan_from_the_end() -> Any:
    def written(x: Any, xs: Any) -> Any:
        return jg.scan(lambda c, e: (c * e + 1.0, c * c), x, xs, reverse=True)

    def plain(x: Any, xs: Any) -> Any:
        ys = []
        for k in range(3, -1, -1):
            ys.append(x * x)
            x = x * xs[k] + 1.0
        return x, jg.stack(ys[::-1])

    return written, plain


@program(np.array([0.4, 1.0, -1.0]), np.array(2.0))
def a_map() -> Any:
    return (
        lambda x, w: jg.map(lambda e: (e * w * e, e + 1.0), x),
        lambda x, w: (x * w * x, x + 1.0),
    )


@program(np.array(3.0), np.array(1.2))
def a_while_loop_whose_end_depends_on_values() -> Any:
    def written(a: Any, start: Any) -> Any:
        return jg.while_loop(
            lambda s: abs(s[0] * s[0] - a) > 1e-3,
            lambda s: (0.5 * (s[0] + a / s[0]), s[1] * 0.5 + s[0]),
            (start, start * a),
        )

    def plain(a: Any, start: Any) -> Any:
        s = (start, start * a)
        while abs(s[0] * s[0] - a) > 1e-3:
            s = (0.5 * (s[0] + a / s[0]), s[1] * 0.5 + s[0])
        return s

    return written, plain


@program(_X, np.array(0.5))
def loops_inside_one_another() -> Any:
    def written(x: Any, w: Any) -> Any:
        def outer(i: Any, c: Any) -> Any:
            def inner(j: Any, d: Any) -> Any:
                return jg.exp(-d * w) * c + 0.1 * j

            return jg.fori_loop(0, i, inner, c * x)

        return jg.fori_loop(0, 3, outer, x)

    def plain(x: Any, w: Any) -> Any:
        c = x
        for i in range(3):
            d = c * x
            for j in range(i):
                d = jg.exp(-d * w) * c + 0.1 * j
            c = d
        return c

    return written, plain


@program(_X, np.array(0.5))
def a_branch_inside_a_loop() -> Any:
    def written(x: Any, w: Any) -> Any:
        def body(i: Any, c: Any) -> Any:
            return jg.cond(c.sum() > 1.1, lambda c: c * w, lambda c: jg.exp(c) - 0.2 * w, c)

        return jg.fori_loop(0, 4, body, x)

    def plain(x: Any, w: Any) -> Any:
        for _ in range(4):
            x = x * w if x.sum() > 1.1 else jg.exp(x) - 0.2 * w
        return x

    return written, plain


@program(_X)
def a_switch_on_the_index() -> Any:
    functions = [lambda c: c * c, lambda c: jg.exp(-c), lambda c: c * 3.0]

    def written(x: Any) -> Any:
        return jg.fori_loop(-1, 4, lambda i, c: jg.switch(i, functions, c), x)

    def plain(x: Any) -> Any:
        for i in range(-1, 4):
            x = functions[min(max(i, 0), 2)](x)
        return x

    return written, plain


@program(_X)
def a_gradient_inside_a_loop() -> Any:
    def loss(c: Any) -> Any:
        return (c * c * c).sum()

    def written(x: Any) -> Any:
        return jg.fori_loop(0, 3, lambda i, c: c - 0.1 * jg.grad(loss)(c), x)

    def plain(x: Any) -> Any:
        for _ in range(3):
            x = x - 0.1 * 3.0 * x * x
        return x

    return written, plain


@program(_X, _W)
def a_checkpoint() -> Any:
    def layer(x: Any, w: Any) -> Any:
        return jg.tanh(w @ x) * x

    return (lambda x, w: jg.checkpoint(layer)(x, w=w)), layer


@program(np.arange(12.0).reshape(3, 4) / 10, _X)
def rows_and_elements_written_in_place() -> Any:
    def step(y: Any, i: Any, x: Any) -> Any:
        y = y.clone()
        y[i, i + 1] = y[i, 0] * x[i]
        y[2] = y[i] * 0.5 + y[-1]
        return y

    def written(y: Any, x: Any) -> Any:
        return jg.fori_loop(0, 3, lambda i, y: step(y, i, x), y)

    def plain(y: Any, x: Any) -> Any:
        for i in range(3):
            before, y = y, y.clone()
            y[i, i + 1] = before[i, 0] * x[i]
            before, y = y, y.clone()
            y[2] = before[i] * 0.5 + before[-1]
        return y

    return written, plain
