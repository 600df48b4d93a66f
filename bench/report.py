"""What was measured: kept in a JSON file, shown as text, written into a page as tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.variants import TITLES

Store = dict[str, Any]
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
    """Put a workload's figures into `store`; first calls not measured this time stay."""
    earlier = store["results"].get(key, {}).get("variants", {})
    for name, figures in result["variants"].items():
        old = earlier.get(name, {})
        figures |= {k: old[k] for k in ("import", "cold", "warm") if k in old and k not in figures}
    store["results"][key] = result


def duration(seconds: float | None) -> str:
    """Return a time with three digits and its unit."""
    if seconds is None:
        return ""
    unit, factor = next(
        (u, f) for u, f in (("s", 1.0), ("ms", 1e3), ("us", 1e6)) if seconds * f >= 1 or u == "us"
    )
    value = seconds * factor
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {unit}"


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
        f"{'import':>10}{'cold':>10}{'warm':>10}",
    ]
    lines += [
        f"  {figures['title']:26}{duration(figures['minimum']):>10}"
        f"{duration(figures['median']):>11}{figures['ratio']:8.2f}{figures['cores']:7.1f}"
        + "".join(f"{duration(figures.get(k)):>10}" for k in ("import", "cold", "warm"))
        for figures in variants.values()
    ]
    lines.append(f"  ratio: to {reference}, median of the rounds")
    return "\n".join(lines)


def write_tables(store: Store, path: Path) -> None:
    """Replace what stands between the two marks of a page by tables of `store`.

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
    path.write_text(f"{before}{_BEGIN}\n{markdown(store)}\n{_END}{after}", encoding="utf-8")


def markdown(store: Store) -> str:
    """Return tables of all that `store` holds."""
    machine = store["machine"]
    releases = ", ".join(f"{name} {release}" for name, release in store["versions"].items())
    parts = [
        f"Measured on {machine['date']}: {machine['processor']}, {machine['cores']} cores,"
        f" {machine['system']}, Python {machine['python']}; {releases}."
    ]
    for threads in sorted({_threads(key) for key in store["results"]}):
        chosen = {k: v for k, v in store["results"].items() if _threads(k) == threads}
        parts += [f"### {threads} thread{'' if threads == 1 else 's'}", _times(chosen.values())]
        parts += [_styles(chosen.values()), _first_calls(chosen.values())]
    return "\n\n".join(part for part in parts if part)


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
