"""The ways in which a workload is computed: those of each peer that is installed."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.hand.kernel import compiler
from bench.workload import Array, Call, Workload

# What a peer is called, and what must be installed for it.
PEERS = {
    "jitgrad": "jitgrad",
    "jax": "jax",
    "torch": "torch",
    "torch_compile": "torch",
    "autograd": "autograd",
    "numpy": "numpy",
    "hand": "numba",
}
TITLES = {
    "jitgrad": "jitgrad",
    "jax": "JAX",
    "torch": "PyTorch",
    "torch_compile": "torch.compile",
    "autograd": "autograd",
    "numpy": "NumPy by hand",
    "hand": "by hand",
}
# The languages of the gradients written by hand, the quicker one first.
_BY_HAND = {"numpy": ("numpy",), "hand": ("c", "numba")}
_LANGUAGES = {"c": "C", "numba": "Numba"}
# The libraries that are to be beaten.
LIBRARIES = ("jax", "torch", "torch_compile", "autograd")


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to compute a workload.

    Parameters
    ----------
    peer : str
        A key of `PEERS`.
    style : str
        A way to call the peer; ``""`` for the usual one.
    """

    peer: str
    style: str = ""

    @property
    def name(self) -> str:
        """What JSON files call it."""
        return f"{self.peer}:{self.style}" if self.style else self.peer

    @property
    def title(self) -> str:
        """What tables call it."""
        return f"{TITLES[self.peer]}, {self.style}" if self.style else TITLES[self.peer]

    def title_for(self, workload: Workload) -> str:
        """Return the title, with the language of what is written by hand for `workload`."""
        language = _by_hand(self.peer, workload)
        return f"{self.title}, {_LANGUAGES[language]}" if language in _LANGUAGES else self.title

    def make(self, workload: Workload, arrays: tuple[Array, ...]) -> Call:
        """Return what is timed; nothing has been called yet."""
        language = _by_hand(self.peer, workload)
        if language:
            return workload.by_hand[language](*(array.copy() for array in arrays))
        peer = importlib.import_module(f"bench.peers.with_{self.peer}")
        function = workload.define(getattr(peer, "operations", peer))
        made: Call = peer.STYLES[workload.task][self.style](function, workload.wrt, arrays)
        return made


def _by_hand(peer: str, workload: Workload) -> str | None:
    """Return in what language a workload is written by hand for `peer`, if it is."""
    written = [one for one in _BY_HAND.get(peer, ()) if one in workload.by_hand]
    return next((one for one in written if one != "c" or compiler()), None)


def missing(peers: Iterable[str]) -> dict[str, str]:
    """Return those of `peers` that can't be used, each with what would have to be installed."""
    return {peer: PEERS[peer] for peer in peers if importlib.util.find_spec(PEERS[peer]) is None}


def versions(peers: Iterable[str]) -> dict[str, str]:
    """Return the versions of what `peers` need."""
    return {PEERS[peer]: _version(PEERS[peer]) for peer in peers}


def _version(module: str) -> str:
    try:
        return importlib.metadata.version(module)
    except importlib.metadata.PackageNotFoundError:  # a source tree that is not installed
        return str(getattr(importlib.import_module(module), "__version__", "?"))


def variants_of(workload: Workload, peers: Iterable[str]) -> list[Variant]:
    """Return the ways in which `peers` compute `workload`."""
    found = []
    for peer in peers:
        if peer in _BY_HAND:
            found += [Variant(peer)] if _by_hand(peer, workload) else []
            continue
        if workload.libraries and peer not in workload.libraries:
            continue
        module = importlib.import_module(f"bench.peers.with_{peer}")
        operations = getattr(module, "operations", module)
        if all(hasattr(operations, name) for name in workload.needs):
            styles = module.STYLES.get(workload.task, {})
            found += [Variant(peer, style) for style in workload.styles if style in styles]
    return found


def as_arrays(result: Any) -> list[Array]:
    """Return the numbers and arrays of a variant's result, in order, as NumPy arrays."""
    if isinstance(result, (tuple, list)):
        return [array for part in result for array in as_arrays(part)]
    if hasattr(result, "detach"):
        result = result.detach().numpy()
    return [np.array(result)]  # a copy: some return arrays that their next call overwrites


def largest_difference(found: list[Array], expected: list[Array]) -> float:
    """Return by how much two results differ, relative to the largest element of each array.

    Raises
    ------
    ValueError
        If they are not of the same shapes.
    """
    shapes, wanted = [array.shape for array in found], [array.shape for array in expected]
    if shapes != wanted:
        raise ValueError(f"results of shapes {shapes} and {wanted}")
    worst = 0.0
    for own, other in zip(found, expected, strict=True):
        scale = float(np.max(np.abs(other), initial=0.0)) or 1.0
        distance = np.max(np.abs(own.astype(np.float64) - other.astype(np.float64)), initial=0.0)
        worst = max(worst, float(distance) / scale)
    return worst
