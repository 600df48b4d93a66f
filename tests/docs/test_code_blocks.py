"""Every Python block of README and docs runs, and prints what the page shows."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, Block, blocks_of, run_page, runnable

_LANGUAGES = {"python", "text", "sh", "bash"}
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_WITH_EXAMPLES = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for file in (ROOT / "jitgrad").rglob("*.py")
    if re.search(r"^ *>>> ", file.read_text(encoding="utf-8"), re.MULTILINE)
)


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _prose(page: Path) -> str:
    lines = page.read_text(encoding="utf-8").splitlines()
    for block in blocks_of(page):
        lines[block.start : block.start + len(block.lines)] = [""] * len(block.lines)
    return "\n".join(lines)


@pytest.mark.parametrize("page", [p for p in PAGES if any(runnable(p))], ids=_name)
def test_the_blocks_of_a_page_run_and_print_what_it_shows(page: Path, tmp_path: Path) -> None:
    # a process of its own: a page may enter an operation, or forget what was compiled
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.docs.pages", str(page)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JITGRAD_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", _WITH_EXAMPLES)
def test_the_examples_of_docstrings_run(name: str) -> None:
    failed, run = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert run > 0
    assert failed == 0


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_to_files(page: Path) -> None:
    for target in _LINK.findall(_prose(page)):
        if "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_a_block_names_its_language(page: Path) -> None:
    assert {block.language for block in blocks_of(page)} <= _LANGUAGES


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    listed = {(index.parent / target).resolve() for target in _LINK.findall(_prose(index))}
    assert {page for page in PAGES if page.parent.parent.name == "docs"} <= listed


def _page(folder: Path, text: str) -> Path:
    page = folder / "example.md"
    page.write_text(text, encoding="utf-8")
    return page


def test_a_block_is_shown_to_print_its_comments_or_the_text_that_follows(tmp_path: Path) -> None:
    page = _page(
        tmp_path,
        "```python\nprint(1)  # -> 1\n```\n```text\nnot this\n```\n"
        "```python\nprint(2)\n```\nprints\n```text\n2\n```\n```python\nx = 3\n```\n",
    )
    assert list(runnable(page)) == [
        (Block("python", 1, ("print(1)  # -> 1",)), "1\n"),
        (Block("python", 7, ("print(2)",)), "2\n"),
        (Block("python", 14, ("x = 3",)), ""),
    ]


def test_the_lines_of_a_page_are_those_of_the_module_it_runs_as(tmp_path: Path) -> None:
    page = _page(tmp_path, "one\n\n```python\ndef f():\n    pass\n```\n```python\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as caught:
        run_page(page, tmp_path)
    assert caught.traceback[-1].lineno + 1 == 8
    lines = (tmp_path / "example.py").read_text(encoding="utf-8").splitlines()
    assert lines[3:5] == ["def f():", "    pass"]


@pytest.mark.parametrize("shown", ["```text\n2\n```\n", ""])
def test_a_block_that_prints_something_else_than_shown_is_refused(
    shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.docs.pages.ROOT", tmp_path)
    page = _page(tmp_path, "```python\nprint(1)\n```\n" + shown)
    with pytest.raises(AssertionError, match=r"example\.md:2: the block prints something else"):
        run_page(page, tmp_path)
