"""A compiled function is never stale: it sees what the plain function would see, and does it."""

from __future__ import annotations

import sys
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import nn
from jitgrad.testing import assert_close

FACTOR = 2.0
FACTORS = [1.0, 2.0]
TABLE = {"a": 1.0}
SWITCH = True
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


def test_tensors_that_were_replaced_are_not_kept() -> None:
    w, data = jitgrad.ones(3), np.ones(3)
    f = jitgrad.compile(lambda x: x * w + jitgrad.sum(data))
    x = jitgrad.ones(3)
    gone = [weakref.ref(w), weakref.ref(data)]
    for _ in range(3):
        f(x)
    w, data = jitgrad.zeros(3), np.zeros(3)
    f(x)
    assert [ref() for ref in gone] == [None, None]


def test_dataclasses_among_the_arguments_keep_what_they_were_given_later() -> None:
    @dataclass
    class Grid:
        x: Any
        n: int = 3

        def __post_init__(self) -> None:
            self.total: float = self.n * 2.0

    f = jitgrad.compile(lambda grid: (grid.x * grid.total, grid))
    grid = Grid(X)
    for total in (6.0, 100.0, 6.0):
        grid.total = total
        value, returned = f(grid)
        assert_close(value, X * total)
        assert vars(returned) == vars(grid)
