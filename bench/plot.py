"""A picture of what was measured: for each workload, times relative to jitgrad's."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.variants import TITLES

# Text to be read on white and on black pages alike, markers that differ without colour.
_GREY = "#808080"
_MARKERS = {
    "jax": ("o", "#4477aa"),
    "torch": ("s", "#ee6677"),
    "torch_compile": ("D", "#aa3377"),
    "autograd": ("^", "#ccbb44"),
    "numpy": ("v", "#66ccee"),
    "hand": ("*", "#228833"),
}


def draw(store: Mapping[str, Any], path: Path) -> bool:
    """Write a picture of `store` as SVG, one panel for each number of threads.

    Returns
    -------
    bool
        False, and nothing is written, if Matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        return False
    import matplotlib as mpl
    from matplotlib.figure import Figure

    counts = sorted({int(key.rpartition("@")[2]) for key in store["results"]})
    names = list(dict.fromkeys(key.rpartition("@")[0] for key in store["results"]))
    settings = {"svg.hashsalt": "jitgrad", "text.color": _GREY, "axes.edgecolor": _GREY}
    settings |= {"axes.labelcolor": _GREY, "xtick.color": _GREY, "ytick.color": _GREY}
    with mpl.rc_context(settings):
        figure = Figure((1 + 4.5 * len(counts), 1.5 + 0.32 * len(names)), layout="constrained")
        panels = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
        for panel, threads in zip(panels, counts, strict=True):
            _draw_panel(panel, store, names, threads)
        panels[0].set_yticks(range(len(names)), names)
        panels[0].invert_yaxis()
        handles, labels = panels[0].get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(
            unique.values(), unique.keys(), loc="outside upper center", ncols=7, frameon=False
        )
        figure.savefig(path, transparent=True, metadata={"Date": None})
    return True


def _draw_panel(panel: Any, store: Mapping[str, Any], names: list[str], threads: int) -> None:
    panel.axvline(1.0, color=_GREY, linewidth=1, label=TITLES["jitgrad"])
    for peer, (marker, colour) in _MARKERS.items():
        variants = [
            (row, store["results"].get(f"{name}@{threads}", {}).get("variants", {}))
            for row, name in enumerate(names)
        ]
        points = [
            (found[peer]["minimum"] / found["jitgrad"]["minimum"], row)
            for row, found in variants
            if peer in found and "jitgrad" in found
        ]
        if points:
            panel.scatter(*zip(*points, strict=True), marker=marker, c=colour, label=TITLES[peer])
    panel.set_xscale("log")
    panel.set_xlabel(f"time / jitgrad's, {threads} thread{'' if threads == 1 else 's'}")
    panel.grid(axis="y", color=_GREY, alpha=0.3)
