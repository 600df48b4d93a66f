"""Loops: plain Python and NumPy for jitgrad, scans for JAX, adjoints of loops in C."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from bench.hand.kernel import Kernel
from bench.workload import Array, Call, Workload

# The others unroll loops: hours of compiling, or minutes a call.
_LIBRARIES = ("jitgrad", "jax", "torch")
_NOT_UNROLLED = ("jitgrad", "jax")


def _own_way(name: str) -> Callable[[ModuleType], Callable[..., Any]]:
    """Return what finds the program `name` in the form that a library wants."""

    def define(ops: ModuleType) -> Callable[..., Any]:
        library = ops.__name__.rpartition(".")[2]
        program: Callable[..., Any] = getattr(
            importlib.import_module(f"bench.loops.{library}"), name
        )
        return program

    return define


def _in_c(name: str, wrt: tuple[int, ...], **constants: int) -> Callable[..., Call]:
    """Return what calls the kernel ``gradient`` of a file."""

    def make(*arrays: Array) -> Call:
        value = np.empty((), arrays[0].dtype)
        gradients = tuple(np.empty_like(arrays[k]) for k in wrt)
        sizes = {**constants, "N": arrays[0].shape[0] if arrays[0].ndim else 1}
        arguments = [*arrays, value, *gradients]
        return Kernel(name, "gradient", arguments, (value, gradients), sizes)

    return make


def _lorenz_inputs(rng: np.random.Generator) -> tuple[Array, ...]:
    return rng.uniform(-1, 1, 3), np.array([10.0, 28.0, 8.0 / 3.0])


def _orbit_inputs(rng: np.random.Generator) -> tuple[Array, ...]:
    # Where rest is lost: the orbit comes to it slowly. Elsewhere derivatives vanish after so many
    # steps, or rounding decides.
    return rng.uniform(-1, 1, 3), np.array([10.0, 1.0, 8.0 / 3.0])


def _orbits(rng: np.random.Generator, count: int) -> tuple[Array, ...]:
    return rng.uniform(0.1, 3.0, count), rng.uniform(0.05, 0.8, count)


def _bodies(rng: np.random.Generator, count: int) -> tuple[Array, ...]:
    return rng.uniform(-1, 1, (count, 3)), rng.uniform(-1, 1, (count, 3))


def _grid(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    return (rng.uniform(0, 1, (size, size)),)


def _lstm_inputs(
    rng: np.random.Generator, steps: int, batch: int, size_in: int, hidden: int
) -> tuple[Array, ...]:
    shapes = (steps, batch, size_in), (size_in, 4 * hidden), (hidden, 4 * hidden), (4 * hidden,)
    scales = (1.0, hidden**-0.5, hidden**-0.5, 0.1)
    pairs = zip(shapes, scales, strict=True)
    return tuple((scale * rng.normal(size=shape)).astype(np.float32) for shape, scale in pairs)


def _lstm_by_numpy(*arrays: Array) -> Call:
    def value_and_gradients(x: Array, w_in: Array, w_back: Array, bias: Array) -> Any:
        added = x @ w_in + bias
        h = np.zeros((x.shape[1], w_back.shape[0]), x.dtype)
        c = np.zeros_like(h)
        kept = []
        for one in added:
            take, keep, new, show = np.split(one + h @ w_back, 4, axis=1)
            take, keep, show = (1 / (1 + np.exp(-gate)) for gate in (take, keep, show))
            new, before = np.tanh(new), c
            c = keep * c + take * new
            bent = np.tanh(c)
            kept.append((h, before, take, keep, new, show, bent))
            h = show * bent
        dw_in, dw_back = np.zeros_like(w_in), np.zeros_like(w_back)
        db, dh, dc = np.zeros_like(bias), 2 * h / h.size, np.zeros_like(c)
        for one, (earlier, before, take, keep, new, show, bent) in zip(
            x[::-1], kept[::-1], strict=True
        ):
            dc = dc + dh * show * (1 - bent * bent)
            d_sums = np.concatenate(
                [
                    dc * new * take * (1 - take),
                    dc * before * keep * (1 - keep),
                    dc * take * (1 - new * new),
                    dh * bent * show * (1 - show),
                ],
                axis=1,
            )
            dc = dc * keep
            dw_in += one.T @ d_sums
            dw_back += earlier.T @ d_sums
            db += d_sums.sum(axis=0)
            dh = d_sums @ w_back.T
        return np.mean(h * h), (dw_in, dw_back, db)

    return lambda: value_and_gradients(*arrays)


def _lstm_in_c(*arrays: Array) -> Call:
    steps, batch, size_in = arrays[0].shape
    sizes = {"STEPS": steps, "BATCH": batch, "INPUT": size_in, "HIDDEN": arrays[2].shape[0]}
    return _in_c("lstm", (1, 2, 3), **sizes)(*arrays)


WORKLOADS = [
    Workload(
        name="lorenz",
        title="Lorenz system, 1000 steps of Runge-Kutta, float64",
        sizes=(),
        tiny=(),
        inputs=_lorenz_inputs,
        define=_own_way("lorenz"),
        wrt=(0, 1),
        libraries=_LIBRARIES,
        by_hand={"c": _in_c("lorenz", (0, 1), STEPS=1000)},
    ),
    Workload(
        name="lorenz_long",
        title="Lorenz system, 100,000 steps of Runge-Kutta, float64",
        sizes=(),
        tiny=(),
        inputs=_orbit_inputs,
        define=_own_way("lorenz_long"),
        wrt=(0, 1),
        libraries=_NOT_UNROLLED,
        by_hand={"c": _in_c("lorenz", (0, 1), STEPS=100_000)},
    ),
    Workload(
        name="n_body",
        title="32 bodies that attract each other, 100 leapfrog steps, float64",
        sizes=(32,),
        tiny=(3,),
        inputs=_bodies,
        define=_own_way("n_body"),
        wrt=(0, 1),
        libraries=_LIBRARIES,
        by_hand={"c": _in_c("n_body", (0, 1), STEPS=100)},
    ),
    Workload(
        name="lstm",
        title="LSTM in a loop, 100 steps, batch 16, 32 to 64, float32 (PyTorch: nn.LSTM)",
        sizes=(100, 16, 32, 64),
        tiny=(4, 2, 3, 4),
        inputs=_lstm_inputs,
        define=_own_way("lstm"),
        wrt=(1, 2, 3),
        libraries=_LIBRARIES,
        by_hand={"numpy": _lstm_by_numpy, "c": _lstm_in_c},
    ),
    Workload(
        name="gauss_seidel",
        title="Gauss-Seidel in place, 60x60, 4 sweeps, float64",
        sizes=(60,),
        tiny=(5,),
        inputs=_grid,
        define=_own_way("gauss_seidel"),
        wrt=(0,),
        libraries=_LIBRARIES,
        by_hand={"c": _in_c("gauss_seidel", (0,), SWEEPS=4)},
    ),
    Workload(
        name="gauss_seidel_large",
        title="Gauss-Seidel in place, 320x320, 2 sweeps, float64",
        sizes=(320,),
        tiny=(5,),
        inputs=_grid,
        define=_own_way("gauss_seidel_large"),
        wrt=(0,),
        libraries=_NOT_UNROLLED,
        by_hand={"c": _in_c("gauss_seidel", (0,), SWEEPS=2)},
    ),
    Workload(
        name="jacobi",
        title="Jacobi, 5 points, 250x250, 50 steps, float64",
        sizes=(250,),
        tiny=(6,),
        inputs=_grid,
        define=_own_way("jacobi"),
        wrt=(0,),
        libraries=_LIBRARIES,
        by_hand={"c": _in_c("jacobi", (0,), STEPS=50)},
    ),
    Workload(
        name="newton",
        title="Kepler's equation by Newton in a `while`, float64 (JAX: implicit derivative)",
        sizes=(),
        tiny=(),
        inputs=lambda rng: (np.array(1.2), np.array(0.7)),
        define=_own_way("newton"),
        wrt=(0, 1),
        libraries=_LIBRARIES,
        by_hand={"c": _in_c("newton", (0, 1))},
    ),
    Workload(
        name="newton_many",
        title="Kepler's equation for 10,000 orbits, each by Newton until it is there, float64",
        sizes=(10_000,),
        tiny=(5,),
        inputs=_orbits,
        define=_own_way("newton_many"),
        wrt=(0, 1),
        libraries=_LIBRARIES,
        by_hand={"c": _in_c("newton_many", (0, 1))},
    ),
]
