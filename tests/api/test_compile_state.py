"""A compiled function is never stale: it sees what the plain function would see, and does it."""

from __future__ import annotations

import math
import random
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import FallbackWarning, nn
from jitgrad.testing import assert_close

FACTOR = 2.0
FACTORS = [1.0, 2.0]
TABLE = {"a": 1.0}
SWITCH = True
COUNT = 0
X = jitgrad.tensor([1.0, 2.0])


def helper(x: Any) -> Any:
    return x * 2.0


@dataclass
class Config:
    scale: float = 2.0
    names: tuple[str, ...] = ("a",)


class Base:
    shift = 1.0


class Model(Base):
    power = 2.0

    def __init__(self) -> None:
        self.scale = 3.0
        self.config = Config()
        self.training = True

    @property
    def doubled(self) -> float:
        return self.scale * 2.0

    def __call__(self, x: Any) -> Any:
        y = x * self.scale * self.config.scale * self.doubled + self.shift * self.power
        return y if self.training else -y


def agrees(f: Any, *args: Any) -> None:
    """Check a compiled function against the plain one, twice."""
    for _ in range(2):
        assert_close(f(*args), f.__wrapped__(*args))


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    def set_global(name: str, value: Any) -> None:
        monkeypatch.setitem(globals(), name, value)

    return set_global


# -- what it reads -----------------------------------------------------------------------------


def test_a_changed_closure_variable_is_seen() -> None:
    scale = 2.0

    @jitgrad.compile
    def f(x: Any) -> Any:
        return x * scale

    agrees(f, X)
    scale = 5.0
    agrees(f, X)
    scale = 2.0
    agrees(f, X)
    assert f.explain().variants == 2


def test_changed_globals_are_seen(settings: Callable[[str, Any], None]) -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        return x * FACTOR * sum(FACTORS) * TABLE.get("a", 7.0) if SWITCH else x

    agrees(f, X)
    settings("FACTOR", 3.0)
    agrees(f, X)
    settings("FACTOR", -0.0)
    agrees(f, X)
    settings("FACTORS", [1.0, 2.0, 3.0])
    agrees(f, X)
    FACTORS.append(4.0)
    agrees(f, X)
    FACTORS[0] = -1.0
    agrees(f, X)
    settings("TABLE", {"a": 2.0})
    agrees(f, X)
    TABLE["a"] = 9.0
    agrees(f, X)
    del TABLE["a"]
    agrees(f, X)
    settings("SWITCH", False)
    agrees(f, X)


def test_a_function_that_is_called_may_be_replaced(settings: Callable[[str, Any], None]) -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        return helper(x) + 1.0

    def scaler(factor: float) -> Callable[[Any], Any]:
        return lambda x: x * factor

    agrees(f, X)
    settings("helper", lambda x: x * 3.0)
    agrees(f, X)
    settings("helper", scaler(4.0))
    agrees(f, X)
    settings("helper", scaler(5.0))
    agrees(f, X)
    settings("helper", jitgrad.compile(scaler(6.0)))
    agrees(f, X)
    settings("helper", jitgrad.sin)
    agrees(f, X)


def test_the_code_and_the_defaults_of_a_function_may_be_replaced() -> None:
    def f(x: Any, scale: float = 2.0, *, shift: float = 1.0) -> Any:
        return x * scale + shift

    def other(x: Any, scale: float = 2.0, *, shift: float = 1.0) -> Any:
        return x - scale - shift

    compiled = jitgrad.compile(f)
    agrees(compiled, X)
    f.__defaults__ = (7.0,)
    agrees(compiled, X)
    f.__kwdefaults__ = {"shift": 9.0}
    agrees(compiled, X)
    f.__code__ = other.__code__
    agrees(compiled, X)


def test_a_mutable_default_that_changes_is_seen() -> None:
    def f(x: Any, scales: list[float] = [1.0, 2.0]) -> Any:  # noqa: B006 - that is the point
        return x * sum(scales)

    compiled = jitgrad.compile(f)
    agrees(compiled, X)
    assert f.__defaults__ is not None
    f.__defaults__[0].append(3.0)
    agrees(compiled, X)


def test_attributes_properties_and_nested_objects_are_seen() -> None:
    model = Model()
    f = jitgrad.compile(model)
    agrees(f, X)
    model.scale = 4.0
    agrees(f, X)
    model.config.scale = 5.0
    agrees(f, X)
    model.config = Config(scale=6.0)
    agrees(f, X)
    model.training = False
    agrees(f, X)
    model.power = 3.0
    agrees(f, X)
    del model.power
    agrees(f, X)


def test_attributes_of_classes_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    f = jitgrad.compile(Model())
    agrees(f, X)
    monkeypatch.setattr(Base, "shift", 5.0)
    agrees(f, X)
    monkeypatch.setattr(Model, "shift", 6.0, raising=False)
    agrees(f, X)
    monkeypatch.setattr(Model, "doubled", property(lambda self: self.scale * 3.0))
    agrees(f, X)
    monkeypatch.setattr(Model, "__call__", lambda self, x: x * self.scale)
    agrees(f, X)


def test_attributes_read_by_getattr_are_seen() -> None:
    config = types.SimpleNamespace(scale=2.0)
    field = "scale"

    @jitgrad.compile
    def f(x: Any) -> Any:
        return x * getattr(config, "sca" + "le") * getattr(config, field) - vars(config)["scale"]

    agrees(f, X)
    config.scale = 3.0
    agrees(f, X)
    config.scale2, field = 4.0, "scale2"
    agrees(f, X)


def test_an_optional_attribute_that_appears_is_seen() -> None:
    config = Config()

    @jitgrad.compile
    def f(x: Any) -> Any:
        return x * 2.0 if hasattr(config, "extra") else x

    agrees(f, X)
    config.extra = True  # type: ignore[attr-defined]
    agrees(f, X)


def test_attributes_of_modules_and_of_functions_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("a_module_of_the_user")
    module.scale = 2.0  # type: ignore[attr-defined]
    module.__file__ = __file__
    monkeypatch.setitem(sys.modules, module.__name__, module)

    @jitgrad.compile
    def f(x: Any) -> Any:
        import a_module_of_the_user  # type: ignore[import-not-found]

        return x * a_module_of_the_user.scale * f.scale

    f.scale = f.__wrapped__.scale = 1.5
    agrees(f, X)
    module.scale = 3.0  # type: ignore[attr-defined]
    agrees(f, X)
    f.scale = 2.5
    agrees(f, X)


def test_values_of_library_classes_are_compared() -> None:
    from decimal import Decimal
    from fractions import Fraction

    scale: Any = Fraction(1, 2)

    @jitgrad.compile
    def f(x: Any) -> Any:
        return x * float(scale)

    agrees(f, X)
    scale = Fraction(1, 3)
    agrees(f, X)
    scale = Decimal("0.25")
    agrees(f, X)
    scale = Decimal("0.75")
    agrees(f, X)


def test_sets_ranges_and_long_lists_are_compared() -> None:
    data: Any = {1, 2}

    @jitgrad.compile
    def f(x: Any) -> Any:
        return x * sum(data)

    agrees(f, X)
    data.add(5)
    agrees(f, X)
    data = range(4)
    agrees(f, X)
    data = range(5)
    agrees(f, X)
    data = list(range(100))
    agrees(f, X)
    data[50] = -1
    agrees(f, X)
    data = np.arange(5)
    agrees(f, X)
    data[2] = 100
    agrees(f, X)


def test_captured_arrays_and_tensors_are_inputs() -> None:
    w, t = np.ones(2, np.float32), jitgrad.ones(2)

    @jitgrad.compile
    def f(x: Any) -> Any:
        return x * w + t

    agrees(f, X)
    w[0] = 5.0
    t.add_(1.0)
    agrees(f, X)
    w = np.full(2, 3.0, np.float32)
    t = jitgrad.zeros(2)
    agrees(f, X)
    assert f.explain().variants == 1
    w = np.full(2, 3.0)
    agrees(f, X)
    w = np.ones((3, 1), np.float32)
    agrees(f, X)
    t = jitgrad.zeros(2, requires_grad=True)
    agrees(f, X)
    assert f(X).requires_grad


@pytest.mark.parametrize("read", [
    lambda w, x: x * w[0],
    lambda w, x: x @ w + float(w[0]),
    lambda w, x: x @ w * float(np.max(w)),
    lambda w, x: (x @ w).sum() if w[1] > 1 else x,
    lambda w, x: x * (w * 2.0) + w,
])  # fmt: skip
def test_the_contents_of_captured_arrays_are_seen_however_they_are_read(read: Any) -> None:
    w = np.ones(2, np.float32)
    f = jitgrad.compile(lambda x: read(w, x))
    agrees(f, X)
    w[:] = [2.0, 3.0]
    agrees(f, X)


def test_shapes_dtypes_and_requires_grad_of_parameters_are_seen() -> None:
    layer = nn.Linear(2, 3)
    f = jitgrad.compile(lambda x: layer(x).sum())
    agrees(f, X)
    layer.weight.requires_grad_(False)
    layer.bias.requires_grad_(False)
    assert not f(X).requires_grad
    layer.double()
    agrees(f, X.double())
    layer.weight = nn.Parameter(jitgrad.ones(5, 2))
    layer.bias = nn.Parameter(jitgrad.ones(5))
    agrees(f, X)
    assert f(X).requires_grad


def test_the_training_flag_of_modules_is_seen() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.99))
    f = jitgrad.compile(model)
    x = jitgrad.ones(50, 2)
    model.eval()
    agrees(f, x)
    model.train()
    assert (f(x) == 0).sum().item() > 50
    model.eval()
    agrees(f, x)
    model[0] = nn.Linear(2, 4)
    agrees(f, x)
    model.append(nn.Tanh())
    agrees(f, x)


def test_the_grad_mode_and_the_default_dtype_are_seen() -> None:
    w = jitgrad.ones(2, requires_grad=True)
    f = jitgrad.compile(lambda: w * 2.0 + jitgrad.tensor(0.5) + jitgrad.zeros(2))
    for _ in range(2):
        assert f().requires_grad
        with jitgrad.no_grad():
            assert not f().requires_grad
        jitgrad.set_default_dtype(jitgrad.float64)
        assert f().dtype == jitgrad.float64
        jitgrad.set_default_dtype(jitgrad.float32)
        assert f().dtype == jitgrad.float32


def test_an_argument_that_is_also_captured_is_told_apart() -> None:
    w = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    f = jitgrad.compile(lambda x: (x * 2.0 - w * 3.0, x is w))
    other = jitgrad.tensor([5.0, 6.0], requires_grad=True)
    for x in (w, other, w, other):
        value, same = f(x)
        assert_close(value, x * 2.0 - w * 3.0)
        assert same is (x is w)


def test_objects_among_the_arguments_are_read_anew() -> None:
    @jitgrad.compile
    def f(model: Any, x: Any) -> Any:
        return x * model.scale

    model = Model()
    agrees(f, model, X)
    model.scale = 4.0
    agrees(f, model, X)
    for _ in range(5):
        agrees(f, Model(), X)
    assert f.explain().variants == 2
    for scale in (1.0, 2.0, 3.0):
        agrees(jitgrad.compile(lambda x, g: g(x)), X, lambda x, scale=scale: x * scale)


# -- what it does itself -----------------------------------------------------------------------


def check_side_effects(make: Callable[[], tuple[Callable[..., Any], Callable[[], Any]]]) -> None:
    """Check that results and state are those of plain Python, with one warning in all."""
    plain, state_of_plain = make()
    expected = [(plain(X), repr(state_of_plain())) for _ in range(4)]
    function, state = make()
    compiled = jitgrad.compile(function)
    with pytest.warns(FallbackWarning, match="runs without being compiled") as warned:
        found = [(compiled(X), repr(state())) for _ in range(4)]
    assert len(warned) == 1
    for (value, after), (expected_value, expected_after) in zip(found, expected, strict=True):
        assert_close(value, expected_value)
        assert after == expected_after


def test_a_counter_in_a_closure_counts_every_call() -> None:
    def make() -> Any:
        count = 0

        def f(x: Any) -> Any:
            nonlocal count
            count += 1
            return x * count

        return f, lambda: count

    check_side_effects(make)


def test_a_global_counter_counts_every_call(settings: Callable[[str, Any], None]) -> None:
    def make() -> Any:
        settings("COUNT", 0)

        def f(x: Any) -> Any:
            global COUNT
            COUNT += 1
            return x * COUNT

        return f, lambda: None

    check_side_effects(make)
    assert COUNT == 4


def test_a_list_is_appended_to_in_every_call() -> None:
    def make() -> Any:
        history: list[float] = []

        def f(x: Any) -> Any:
            history.append(float(x.sum()))
            return x * len(history)

        return f, lambda: history

    check_side_effects(make)


def test_dicts_sets_arrays_and_attributes_are_changed_in_every_call() -> None:
    def make() -> Any:
        table: dict[str, int] = {}
        seen: set[int] = set()
        array = np.zeros(2)
        model = Model()

        def f(x: Any) -> Any:
            table["n"] = table.get("n", 0) + 1
            seen.add(table["n"])
            array[0] += 1.0
            model.scale += 1.0
            model.last = table["n"]  # type: ignore[attr-defined]
            return x * model.scale + array[0]

        return f, lambda: (table, seen, array, vars(model)["last"])

    check_side_effects(make)


def test_attributes_of_classes_and_functions_are_changed_in_every_call() -> None:
    def make() -> Any:
        class Counter:
            n = 0

        def f(x: Any) -> Any:
            Counter.n += 1
            f.calls += 1  # type: ignore[attr-defined]
            return x * Counter.n

        f.calls = 0  # type: ignore[attr-defined]
        return f, lambda: (Counter.n, f.calls)  # type: ignore[attr-defined]

    check_side_effects(make)


def test_a_tensor_stored_outside_is_the_one_of_the_latest_call() -> None:
    def make() -> Any:
        model = Model()

        def f(x: Any) -> Any:
            model.last = x * 2.0  # type: ignore[attr-defined]
            return model.last + 1.0  # type: ignore[attr-defined]

        return f, lambda: model.last  # type: ignore[attr-defined]

    check_side_effects(make)


def test_a_list_or_dict_among_the_arguments_is_changed_for_the_caller() -> None:
    @jitgrad.compile
    def f(x: Any, log: list[Any], table: dict[str, Any]) -> Any:
        log.append(x.sum())
        table["x"] = x * 2.0
        return x

    log: list[Any] = []
    table: dict[str, Any] = {}
    with pytest.warns(FallbackWarning, match="a list or dict among its arguments"):
        f(X, log, table)
    f(X, log, table)
    assert [float(v) for v in log] == [3.0, 3.0]
    assert_close(table["x"], X * 2)


def test_an_effect_in_a_branch_that_comes_later_is_noticed() -> None:
    hits: list[int] = []

    @jitgrad.compile
    def f(x: Any) -> Any:
        if x.sum() > 10:
            hits.append(1)
        return x * 2.0

    f(X)
    assert hits == []
    with pytest.warns(FallbackWarning, match="closure variable `hits`"):
        f(X * 10.0)
    f(X)
    f(X * 10.0)
    assert hits == [1, 1]


# -- what can't be pure ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x * random.random(), "module random"),
        (lambda x: x.double() * time.perf_counter(), "module time"),
        (lambda x: x + np.random.rand(2), "numpy.random"),  # noqa: NPY002 - what users write
        (lambda x, g=np.random.default_rng(0): x * g.random(), "Generator"),
        (lambda x, g=iter([1.0, 2.0]): x * next(g), "list_iterator"),
        (lambda x, g=(i for i in range(9)): x * next(g), "generator"),
        (lambda x: jitgrad.manual_seed(3) or x * 2.0, "manual_seed"),
    ],
    ids=["random", "time", "numpy.random", "Generator", "iterator", "generator", "seed"],
)  # fmt: skip
def test_impure_functions_run_as_plain_python_with_a_warning(function: Any, reason: str) -> None:
    f = jitgrad.compile(function)
    with pytest.warns(FallbackWarning, match=reason):
        first = f(X)
    second = f(X)
    if "seed" not in reason:
        assert first[0].item() != second[0].item()


def test_random_numbers_are_fresh_in_every_call_and_follow_the_seed() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        noise = jitgrad.rand(2) + jitgrad.randn(2)
        if x.sum() > 10:
            noise = noise + jitgrad.rand(2)
        return x + noise

    def sample(function: Any) -> list[Any]:
        jitgrad.manual_seed(7)
        return [function(x) for x in (X, X, X * 10.0, X, X * 10.0, X)]

    expected = sample(f.__wrapped__)
    for _ in range(2):
        found = sample(f)
        for a, b in zip(found, expected, strict=True):
            assert_close(a, b)
    assert found[0][0].item() != found[1][0].item()


def test_mathematical_functions_of_captured_numbers_are_pure() -> None:
    angle = 0.5
    f = jitgrad.compile(lambda x: x * math.sin(angle) + math.pi)
    agrees(f, X)
    angle = 0.75
    agrees(f, X)
