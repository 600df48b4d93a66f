"""What is measured: a function with its inputs, defined once for all peers."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

import bench.workloads

Array = np.ndarray[Any, Any]
Call = Callable[[], Any]
# What is done with a workload's function; `bench.peers` has a way of each library to do it.
TASKS = ("gradient", "product", "examples", "training")


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """A function to evaluate, or to evaluate with its gradient.

    Parameters
    ----------
    name : str
        For ``--only``.
    title : str
        For tables.
    sizes, tiny : tuple of int
        What `inputs` is given when measuring, and in the tests.
    inputs : callable
        Takes a random generator and sizes; returns the arguments as NumPy arrays.
    define : callable
        Takes a module with a library's operations, as those in `bench.peers`; returns the function,
        written with these. It returns a number, unless nothing is differentiated.
    wrt : tuple of int
        Positions of the arguments to differentiate by; empty for the value alone.
    task : str
        One of `TASKS`. ``"gradient"``: value and gradients. ``"product"``: the product of the
        Hessian by the first input and the last input. ``"examples"``: the gradients of each
        example, which are along the first axis of the inputs that are not in `wrt`.
        ``"training"``: a step with Adam; inputs are those of `bench.adam`.
    needs : tuple of str
        Operations that not every library has; those without are left out.
    libraries : tuple of str
        The only ones that are to take part; empty for all.
    by_hand : dict
        For ``"numpy"``, ``"numba"`` and ``"c"``: a function of the inputs, copies that it may
        change, which returns the call to time, with the same results as a library's. Imports
        that only it needs stay inside.
    styles : tuple of str
        Which ways to call a library: ``""`` is its usual one; others where a peer has them.
    """

    name: str
    title: str
    sizes: tuple[int, ...]
    tiny: tuple[int, ...]
    inputs: Callable[..., tuple[Array, ...]]
    define: Callable[[ModuleType], Callable[..., Any]]
    wrt: tuple[int, ...] = ()
    task: str = "gradient"
    needs: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    by_hand: Mapping[str, Callable[..., Call]] = field(default_factory=dict)
    styles: tuple[str, ...] = ("",)

    def make_inputs(self, tiny: bool = False) -> tuple[Array, ...]:
        """Return the arguments, the same ones at every call."""
        return self.inputs(np.random.default_rng(0), *(self.tiny if tiny else self.sizes))


def all_workloads() -> dict[str, Workload]:
    """Return the workloads by name: what the files of `bench.workloads` list in ``WORKLOADS``."""
    found: dict[str, Workload] = {}
    for module in pkgutil.iter_modules(bench.workloads.__path__):
        content = importlib.import_module(f"bench.workloads.{module.name}")
        found.update({workload.name: workload for workload in content.WORKLOADS})
    return found
