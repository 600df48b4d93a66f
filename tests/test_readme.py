"""The commands that README and the pages name exist, and the gate runs the README's tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, blocks_of

README = ROOT / "README.md"


def _targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):", text, re.MULTILINE))


def _commands(page: Path) -> list[str]:
    """Return the command lines of a page's blocks, without their comments."""
    shells = [block for block in blocks_of(page) if block.language in ("sh", "bash")]
    lines = [line.partition(" #")[0].strip() for block in shells for line in block.lines]
    return [line for line in lines if line and not line.startswith("#")]


def test_the_readme_needs_two_commands() -> None:
    assert _commands(README) == ["make demo", "make test"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_targets_that_a_page_names_are_in_the_makefile(page: Path) -> None:
    named = {line.split()[1] for line in _commands(page) if line.startswith("make ")}
    named |= set(re.findall(r"`make ([a-z]+)", page.read_text(encoding="utf-8")))
    assert named <= _targets()


def test_the_gate_runs_the_tests_as_the_readme_does() -> None:
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line.partition("<")[0].strip() for line in gate]
    assert "make test" in commands
    assert commands.index("make test") < commands.index("make lint")


def test_modules_that_a_page_runs_exist() -> None:
    for page in PAGES:
        for line in _commands(page):
            for module in re.findall(r"-m ([\w.]+)", line):
                if module in ("pytest", "ruff", "mypy"):
                    continue
                path = ROOT.joinpath(*module.split("."))
                assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), line
