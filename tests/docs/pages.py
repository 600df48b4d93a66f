"""Runs the Python blocks of a page, and compares what they print with what the page shows.

``python -m tests.docs.pages docs/tutorial/first_gradient.md`` runs one page by hand.

All blocks of a page run in one namespace, in order. What a block is shown to print is its
comments ``# -> ...`` or, where it has none, the block of ``text`` that comes next; ``...`` in it
stands for anything. A block that prints must be shown to.
"""

from __future__ import annotations

import contextlib
import difflib
import doctest
import io
import re
import sys
import tempfile
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\s*$")
_SHOWN = re.compile(r"# -> ?(.*)$")
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the number of its first line from 0, and its lines."""

    language: str
    start: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    found, language, start = [], None, 0
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        if language is None:
            language, start = fence[1], number + 1
        else:
            found.append(Block(language, start, tuple(lines[start:number])))
            language = None
    if language is not None:
        raise ValueError(f"{page}: the block of line {start} has no end")
    return found


def runnable(page: Path) -> Iterator[tuple[Block, str]]:
    """Yield the Python blocks of a page, each with what it is shown to print."""
    blocks = blocks_of(page)
    followers = [*blocks, Block("", 0, ())][1:]
    for block, follower in zip(blocks, followers, strict=True):
        if block.language != "python":
            continue
        comments = [found[1] for line in block.lines if (found := _SHOWN.search(line))]
        if comments:
            yield block, "\n".join(comments) + "\n"
        else:
            yield block, follower.text if follower.language == "text" else ""


def run_page(page: Path, folder: Path) -> None:
    """Run a page's blocks as a module whose file, in `folder`, has them at the page's lines.

    Raises
    ------
    AssertionError
        If a block prints something else than is shown.
    """
    runs = list(runnable(page))
    lines: list[str] = []
    for block, _ in runs:
        lines += [""] * (block.start - len(lines)) + list(block.lines)
    file = folder / f"{page.stem}.py"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    module = types.ModuleType(file.stem)
    module.__file__ = str(file)
    sys.modules[module.__name__] = module
    checker = doctest.OutputChecker()
    wrong = []
    for block, shown in runs:
        code = compile("\n" * block.start + block.text, str(file), "exec")
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(code, module.__dict__)
        if not checker.check_output(shown, out.getvalue(), _FLAGS):
            pair = shown.splitlines(), out.getvalue().splitlines()
            diff = "\n".join(difflib.unified_diff(*pair, "shown", "printed", lineterm=""))
            place = f"{page.relative_to(ROOT)}:{block.start + 1}"
            wrong.append(f"{place}: the block prints something else\n{diff}")
    if wrong:
        raise AssertionError("\n\n".join(wrong))


if __name__ == "__main__":
    paths = [Path(name).resolve() for name in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for path in paths:
            run_page(path, Path(folder))
