"""What was measured: kept in a JSON file, shown as text, written into a page as tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from bench import plot
from bench.variants import LIBRARIES, TITLES

Store = dict[str, Any]
_UNITS = (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9))
_ALONE = ("import", "cold", "warm", "memory")
# Seconds; a call from Python takes a good part of it.
_SHORT = 1e-5
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


def load(path: Path | None) -> Store:
    """Return what an earlier run kept in `path`; nothing if there is no such file."""
    if path is None or not path.exists():
        return {"machine": {}, "versions": {}, "results": {}}
    store: Store = json.loads(path.read_text(encoding="utf-8"))
    return store


def save(store: Store, path: Path | None) -> None:
    """Keep `store` in `path`."""
    if path is not None:
        path.write_text(json.dumps(store, indent=1) + "\n", encoding="utf-8")


def add(store: Store, key: str, result: dict[str, Any]) -> None:
    """Put a workload's figures into `store`; of old ones those stay that were not taken again."""
    earlier = store["results"].get(key, {}).get("variants", {})
    for name, figures in result["variants"].items():
        old = earlier.get(name, {})
        kept = {*_ALONE} & (old.keys() - figures.keys())
        figures |= {what: old[what] for what in kept}
    store["results"][key] = result


def duration(seconds: float | None) -> str:
    """Return a time with three digits and its unit."""
    if seconds is None:
        return ""
    unit, factor = next((u, f) for u, f in _UNITS if seconds * f >= 1 or u == "ns")
    value = seconds * factor
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {unit}"


def megabytes(count: float | None) -> str:
    """Return an amount of memory in MB."""
    return "" if count is None else f"{count / 1e6:.1f} MB"


def text(name: str, result: Mapping[str, Any], threads: int) -> str:
    """Return the figures of one workload as lines for a terminal."""
    variants = result["variants"]
    reference = next(iter(variants.values()))["title"]
    plural = "" if threads == 1 else "s"
    lines = [
        f"{name}: {result['title']}",
        f"  {threads} thread{plural}, {result['rounds']} rounds;"
        f" results differ by at most {result['difference']:.0e}",
        f"  {'':26}{'minimum':>10}{'median':>11}{'ratio':>8}{'cores':>7}"
        f"{'import':>10}{'cold':>10}{'warm':>10}{'memory':>10}",
    ]
    lines += [
        f"  {figures['title']:26}{duration(figures['minimum']):>10}"
        f"{duration(figures['median']):>11}{figures['ratio']:8.2f}{figures['cores']:7.1f}"
        + "".join(f"{duration(figures.get(k)):>10}" for k in ("import", "cold", "warm"))
        + f"{megabytes(figures.get('memory')):>10}"
        for figures in variants.values()
    ]
    lines.append(f"  ratio: to {reference}, median of the rounds")
    return "\n".join(lines)


def compare(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return how jitgrad does in one workload.

    Returns
    -------
    dict
        ``best``: the title of the quickest library; times of others divided by jitgrad's, each as
        a pair, of the minima and the median of the rounds: ``ahead`` (of that library), ``jax``;
        and jitgrad's time divided by another's: ``hand``. What was not measured is missing.
    """
    variants = result["variants"]
    own = variants.get("jitgrad")
    if own is None:
        return {}
    libraries = [v for name, v in variants.items() if name.partition(":")[0] in LIBRARIES]
    best = min(libraries, key=lambda figures: figures["minimum"], default=None)

    def times(other: Mapping[str, Any]) -> tuple[float, float]:
        return other["minimum"] / own["minimum"], other["ratio"] / own["ratio"]

    found: dict[str, Any] = {}
    if best is not None:
        found |= {"best": best["title"], "ahead": times(best)}
    if "jax" in variants:
        found["jax"] = times(variants["jax"])
    if "hand" in variants:
        found["hand"] = tuple(1 / ratio for ratio in times(variants["hand"]))
    return found


def summary(store: Store) -> str:
    """Return for each number of threads how jitgrad compares, and geometric means of that."""
    parts = []
    for threads in thread_counts(store):
        rows = _comparisons(chosen(store, threads))
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        parts.append(f"{threads} thread{'' if threads == 1 else 's'}, minima / medians")
        parts += [
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        ]
    return "\n".join(parts)


def _comparisons(results: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    head = ["", "best library", "its time / jitgrad's", "JAX's / jitgrad's", "jitgrad's / by hand"]
    rows, ratios = [head], {what: [] for what in ("ahead", "jax", "hand")}
    for key, result in results.items():
        found = compare(result)
        for what, kept in ratios.items():
            if what in found and (what != "hand" or _outlasts_a_call(result)):
                kept.append(found[what])
        cells = [_pair(found.get(what)) for what in ratios]
        rows.append([key.partition("@")[0], found.get("best", ""), *cells])
    means = [_pair(_geometric_means(kept)) for kept in ratios.values()]
    return [*rows, ["geometric mean", "", *means]]


def _outlasts_a_call(result: Mapping[str, Any]) -> bool:
    """Tell whether what is by hand, whose time holds no call from Python, is to be compared."""
    return bool(result["variants"]["hand"]["minimum"] > _SHORT)


def _pair(ratios: Sequence[float] | None) -> str:
    return "" if ratios is None else " / ".join(f"{ratio:.2f}" for ratio in ratios)


def _geometric_means(pairs: Sequence[Sequence[float]]) -> list[float] | None:
    return [geometric_mean(column) for column in zip(*pairs, strict=True)] or None


def write_page(store: Store, path: Path) -> None:
    """Replace what stands between the two marks of a page by a plot and tables of `store`.

    Raises
    ------
    SystemExit
        If the page lacks the marks.
    """
    page = path.read_text(encoding="utf-8") if path.exists() else f"{_BEGIN}\n{_END}\n"
    if _BEGIN not in page or _END not in page:
        raise SystemExit(f"{path} has no lines {_BEGIN} and {_END}")
    before, _, rest = page.partition(_BEGIN)
    after = rest.partition(_END)[2]
    drawn = plot.draw(store, path.with_suffix(".svg"))
    image = f"![Times relative to jitgrad's]({path.with_suffix('.svg').name})\n\n" if drawn else ""
    tables = markdown(store)
    path.write_text(f"{before}{_BEGIN}\n{image}{tables}\n{_END}{after}", encoding="utf-8")


def markdown(store: Store) -> str:
    """Return tables of all that `store` holds."""
    machine = store["machine"]
    releases = ", ".join(f"{name} {release}" for name, release in store["versions"].items())
    parts = [
        f"Measured on {machine['date']}: {machine['processor']}, {machine['cores']} cores,"
        f" {machine['system']}, Python {machine['python']}; {releases}."
    ]
    for threads in thread_counts(store):
        results = chosen(store, threads)
        parts += [f"### {threads} thread{'' if threads == 1 else 's'}", _times(results.values())]
        parts += [_table(_titled(_comparisons(results), results)), _styles(results.values())]
        parts += [_memory(results.values()), _first_calls(results.values())]
    return "\n\n".join(part for part in parts if part)


def _titled(rows: list[list[str]], results: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Return `rows` with the workloads' titles in place of their names."""
    titles = {key.partition("@")[0]: result["title"] for key, result in results.items()}
    return [[titles.get(row[0], row[0]), *row[1:]] for row in rows]


def thread_counts(store: Store) -> list[int]:
    """Return for which numbers of threads there are results."""
    return sorted({_threads(key) for key in store["results"]})


def chosen(store: Store, threads: int) -> dict[str, Any]:
    """Return the results for one number of threads."""
    return {k: v for k, v in store["results"].items() if _threads(k) == threads}


def _threads(key: str) -> int:
    return int(key.rpartition("@")[2])


def _times(results: Iterable[Mapping[str, Any]]) -> str:
    """Return best times of the peers, and in brackets how they compare to the first one."""
    rows = [["time of a call (times jitgrad's)", *TITLES.values(), "results differ by"]]
    for result in results:
        rows.append([result["title"]])
        for peer in TITLES:
            figures = result["variants"].get(peer)
            ratio = "" if peer == "jitgrad" or not figures else f" ({figures['ratio']:.2f})"
            rows[-1].append(duration(figures["minimum"]) + ratio if figures else "")
        rows[-1].append(f"{result['difference']:.0e}")
    return _table(rows)


def _styles(results: Iterable[Mapping[str, Any]]) -> str:
    rows = [["other ways to call", "", "time of a call"]]
    for result in results:
        rows += [
            [result["title"], figures["title"], duration(figures["minimum"])]
            for name, figures in result["variants"].items()
            if ":" in name
        ]
    return _table(rows) if len(rows) > 1 else ""


def _memory(results: Iterable[Mapping[str, Any]]) -> str:
    rows = [["memory at the peak of a call", *TITLES.values()]]
    for result in results:
        cells = [result["variants"].get(peer, {}).get("memory") for peer in TITLES]
        if any(cell is not None for cell in cells):
            rows.append([result["title"], *map(megabytes, cells)])
    return _table(rows) if len(rows) > 1 else ""


def _first_calls(results: Iterable[Mapping[str, Any]]) -> str:
    rows: list[list[str]] = []
    peers: list[str] = []
    for result in results:
        cells = {p: f for p, f in result["variants"].items() if "cold" in f}
        peers = peers or list(cells)
        found = [cells.get(peer) for peer in peers]
        pairs = [f"{duration(f['cold'])} / {duration(f['warm'])}" if f else "" for f in found]
        if cells:
            rows.append([result["title"], *pairs])
    head = ["first call: nothing cached / in a second process", *(TITLES[p] for p in peers)]
    return _table([head, *rows]) if rows else ""


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---|" + "---:|" * (len(rows[0]) - 1))
    return "\n".join(lines)
