"""What can't be part of a graph runs as Python runs it, and nothing is left half-done."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from tests.syntax.programs import compare, compare_gradients, count_loops


def _x(n: int = 7) -> Any:
    return jg.tensor(np.linspace(-1.0, 2.0, n))


def appending(x: Any) -> Any:
    parts = []
    for i in range(x.shape[0]):
        parts.append(x[i] * 2.0)  # noqa: PERF401 - that is the point
    return parts


def appending_in_a_function(x: Any) -> Any:
    parts: list[Any] = []

    def add(part: Any) -> None:
        parts.append(part)

    for i in range(x.shape[0]):
        add(x[i])
    return parts


def filling_a_dict(x: Any) -> Any:
    found = {}
    for i in range(x.shape[0]):
        found[i] = x[i]
    return found


class _Counter:
    def __init__(self) -> None:
        self.count = 0

    def up(self) -> None:
        self.count += 1


def counting(x: Any) -> Any:
    counter = _Counter()
    for i in range(x.shape[0]):
        counter.up()
        x = x + i * counter.count
    return x, counter.count


def growing(x: Any) -> Any:
    for i in range(5):
        x = jg.cat([x, x[:i]])
    return x


def catching(x: Any) -> Any:
    s = 0.0
    for i in range(x.shape[0] + 2):
        try:
            s = s + x[i]
        except IndexError:
            s = s * 2.0
    return s


def generating(x: Any) -> Any:
    def each() -> Any:
        for i in range(x.shape[0]):
            yield x[i] * i

    s = 0.0
    for v in each():
        s = s + v
    return s


def recursive(x: Any) -> Any:
    def power(v: Any, n: int) -> Any:
        return 1.0 if n == 0 else v * power(v, n - 1)

    s = 0.0
    for i in range(x.shape[0]):
        s = s + power(x[i], 3)
    return s


def python_ints(x: Any) -> Any:
    a, b = 1, 1
    for i in range(100):
        a, b = b, a + b
        x = x + 0.0 * i
    return x, b


def only_python(x: Any) -> Any:
    n = 1
    for i in range(1, 30):
        n *= i
    return x, n


def first_is_special(x: Any) -> Any:
    previous = None
    s = 0.0
    for i in range(x.shape[0]):
        if previous is not None:
            s = s + x[i] * previous
        previous = x[i]
    return s


def changing_array(x: Any) -> Any:
    count = np.zeros(1)
    for i in range(x.shape[0]):
        count[0] += 1.0
        x = x + i
    return x * float(count[0])


def changed_and_bound_anew(x: Any) -> Any:
    y = x
    for _ in range(6):
        x += 1.0
        x = x * 2.0
    return x, y


def aliases(x: Any) -> Any:
    y = x.clone()
    z = y
    for i in range(6):
        y[i] = y[i] + z[i - 1]
        z[i] = z[i] * 2.0
    return y, z, y is z


def dividing(x: Any) -> Any:
    s = 0.0
    for i in range(-3, 4):
        s = s + x[i] * (1.0 / (i - 7))
    return s


def with_default(x: Any, scale: Any = (1.0, 2.0)) -> Any:
    for i in range(6):
        x = x * scale[i % 2]
    return x


def changed_after_the_loop(x: Any) -> Any:
    y = x
    while y.sum() > 0.5:
        y = y * 0.5
    y += 1.0
    return x, y


def comparing_objects(x: Any) -> Any:
    a = b = x
    n = 0
    for _ in range(6):
        if a is b:
            n += 1
        a = a + 1.0
        b = a * 1.0
    return a, n


def growing_lists(x: Any) -> Any:
    parts = [x * 1.0, x * 2.0]
    for i in range(6):
        parts[0] = parts[0] + x[i]
        parts[1][i] += 1.0
    return parts


_PROGRAMS = [
    appending, appending_in_a_function, filling_a_dict, counting, growing, catching, generating,
    recursive, python_ints, only_python, first_is_special, changing_array, changed_and_bound_anew,
    aliases, dividing, with_default, changed_after_the_loop,
    comparing_objects, growing_lists,
]  # fmt: skip


@pytest.mark.parametrize("program", _PROGRAMS, ids=lambda p: p.__name__)
def test_what_a_graph_can_not_do_is_done_by_python(program: Any) -> None:
    compare(program, _x())


def test_print_prints_once_an_iteration(capsys: pytest.CaptureFixture[str]) -> None:
    def noisy(x: Any) -> Any:
        for i in range(6):
            x = x + 1.0
            print("at", i)
        return x

    compiled = jg.compile(noisy)
    compiled(_x())
    assert capsys.readouterr().out.splitlines() == [f"at {i}" for i in range(6)]
    (construct,) = compiled.explain().constructs
    assert construct.endswith("run by Python and unrolled: it calls print()")


def test_explain_tells_what_became_of_each_loop() -> None:
    def several(x: Any) -> Any:
        s = 0.0
        for i in range(x.shape[0]):
            s = s + x[i]
        for i in range(3):
            s = s + x[i]
        while s < 100.0:
            s = s * 2.0
        return s

    line = several.__code__.co_firstlineno
    compiled = jg.compile(several)
    compiled(_x())
    assert compiled.explain().constructs == (
        f"test_fallbacks.py:{line + 2} for: a loop",
        f"test_fallbacks.py:{line + 4} for: unrolled: 3 iterations",
        f"test_fallbacks.py:{line + 6} while: a loop with a condition",
    )


def test_a_division_by_zero_is_raised() -> None:
    def divided(x: Any, a: float) -> Any:
        s = 0.0
        for i in range(6):
            s = s + x[i] * (1.0 / (i - a))
        return s

    compiled = jg.compile(divided)
    expected = divided(_x(), 2.5)
    for _ in range(3):
        np.testing.assert_allclose(compiled(_x(), 2.5).item(), expected.item())
    with pytest.raises(ZeroDivisionError):
        compiled(_x(), 3.0)
    np.testing.assert_allclose(compiled(_x(), 2.5).item(), expected.item())


def test_an_index_beyond_the_end_is_raised() -> None:
    def beyond(x: Any, n: int) -> Any:
        s = 0.0
        for i in range(n):
            s = s + x[i]
        return s

    compiled = jg.compile(beyond)
    for n in (5, 6, 7):
        assert compiled(_x(), n).item() == pytest.approx(beyond(_x(), n).item())
    with pytest.raises(IndexError):
        compiled(_x(), 8)
    assert compiled(_x(), 7).item() == pytest.approx(beyond(_x(), 7).item())


def test_trip_counts_that_differ_from_call_to_call_trace_nothing_new() -> None:
    def halved(x: Any) -> Any:
        n = 0
        while (x * x).sum() > 0.1:
            x = x * 0.5
            n += 1
        return x, n

    compiled = jg.compile(halved)
    for scale in (1.0, 10.0, 1e4, 1e-9, 1e7):
        x = _x() * scale
        found, n = compiled(x)
        expected, m = halved(x)
        assert n == m
        np.testing.assert_allclose(found.numpy(), expected.numpy())
    assert compiled.explain().paths == 1


def test_bounds_that_differ_from_call_to_call_trace_nothing_new() -> None:
    def partly(x: Any, n: int) -> Any:
        s = jg.zeros((), dtype=np.float64)
        for i in range(n):
            for j in range(i, n):
                s = s + x[i] * x[j]
        return s

    compiled = jg.compile(partly)
    for n in (1, 2, 3, 4, 5, 6, 7, 0, 5):
        assert compiled(_x(), n).item() == pytest.approx(partly(_x(), n).item())
    assert count_loops(compiled, _x(), 6) == 2
    traced = compiled.explain().paths
    compiled(_x(), 4)
    assert compiled.explain().paths == traced


def test_gradients_by_what_loops_find_outside() -> None:
    w = jg.tensor([0.5, -0.25], dtype=np.float64, requires_grad=True)

    def loss(x: Any) -> Any:
        state = jg.zeros((), dtype=np.float64)
        for i in range(x.shape[0]):
            state = jg.tanh(w[0] * state + w[1] * x[i])
        return state * state

    loss(_x()).backward()
    assert w.grad is not None
    expected, w.grad = w.grad.numpy().copy(), None
    compiled = jg.compile(loss)
    for _ in range(3):
        w.grad = None
        compiled(_x()).backward()
        np.testing.assert_allclose(w.grad.numpy(), expected)


def test_second_derivatives_through_loops() -> None:
    def loss(x: Any) -> Any:
        y = x * 1.0
        for i in range(1, x.shape[0]):
            if y[i] > 0.0:
                y[i] = jg.sin(y[i - 1] * 1.0) * x[i]
        return (y * y * y).sum()

    second = jg.grad(lambda x: (jg.grad(loss)(x) * jg.cos(x)).sum())
    np.testing.assert_allclose(jg.compile(second)(_x()).numpy(), second(_x()).numpy(), atol=1e-9)


def test_methods_and_closures_of_modules() -> None:
    class Recurrent(jg.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = jg.nn.Linear(2, 2)

        def forward(self, x: Any) -> Any:
            h = jg.zeros(2)
            for t in range(x.shape[0]):
                h = jg.tanh(self.inner(h) + x[t])
            return h

    module = Recurrent()
    x = jg.ones(6, 2)
    compiled = jg.compile(module)
    np.testing.assert_allclose(compiled(x).detach().numpy(), module(x).detach().numpy(), rtol=1e-5)
    assert count_loops(compiled, x) == 1


def test_a_training_loop_runs() -> None:
    def trained(w: Any, x: Any) -> Any:
        for _ in range(6):
            gradient = jg.grad(lambda v: ((v * x).sum() - 1.0) ** 2)(w)
            w = w - 0.01 * gradient
        return w

    compare(trained, _x(), _x() + 1.0, loops=1)


def test_an_optimizer_in_a_loop_leaves_what_it_leaves_in_python() -> None:
    def train(model: Any, optimizer: Any, x: Any) -> Any:
        for _ in range(6):
            optimizer.zero_grad()
            loss = (model(x) ** 2).sum()
            loss.backward()
            optimizer.step()
        return loss.detach()

    results = []
    for wrap in (lambda f: f, jg.compile):
        jg.manual_seed(0)
        model = jg.nn.Linear(3, 2)
        run = wrap(train)
        optimizer = jg.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        losses = [run(model, optimizer, jg.ones(4, 3)).item() for _ in range(3)]
        parameters = list(model.parameters())
        gradients = [p.grad.numpy() for p in parameters]
        results.append([losses, *[p.detach().numpy() for p in parameters], *gradients])
    for plain, compiled in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-5)


def test_gradients_of_programs_with_branches() -> None:
    def walls(x: Any) -> Any:
        p, v = x * 1.0, x * 0.5
        for _ in range(8):
            p = p + 0.3 * v
            for k in range(p.shape[0]):
                if p[k] > 1.0:
                    p[k] = 2.0 - p[k]
                    v[k] = -v[k]
        return (p * p).sum() + (v * p).sum()

    def plainly(x: Any) -> Any:
        p, v = x * 1.0, x * 0.5
        for _ in range(8):
            p = p + 0.3 * v
            over = p > 1.0
            p = jg.where(over, 2.0 - p, p)
            v = jg.where(over, -v, v)
        return (p * p).sum() + (v * p).sum()

    found = jg.compile(jg.grad(walls))(_x())
    np.testing.assert_allclose(found.numpy(), jg.grad(plainly)(_x()).numpy(), atol=1e-12)
    compare_gradients(plainly, _x())
