"""The order of the rooms, read off the source, and what `import jitgrad` leaves undone."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LONGEST_FILE = 600

_CHAIN = ["core", "ir", "ops", "tensor", "trace", "transforms", "control", "syntax"]
_CHAIN += ["codegen", "loops", "runtime", "api"]
_SIDE_BY_SIDE = ["nn", "optim", "interop", "diagnostics", "autograd"]
_RE_EXPORTING = {"", "nn", "optim", "interop", "autograd"}  # "" is jitgrad/__init__.py
_WRITTEN_AS_BY_USERS = {"demo"}

# The rooms that each room may import from, besides itself.
ALLOWED: dict[str, set[str]] = {room: set(_CHAIN[:i]) for i, room in enumerate(_CHAIN)}
ALLOWED |= {room: {*_CHAIN, "intrinsics"} for room in _SIDE_BY_SIDE}
ALLOWED["intrinsics"] = {"core"}
ALLOWED["autograd"].add("")  # `gradcheck` is a function of jitgrad.testing
for _user in ("codegen", "loops", "runtime", "api"):
    ALLOWED[_user].add("intrinsics")


@dataclass(frozen=True, slots=True)
class Import:
    """One ``import module`` (no name) or ``from module import name`` of a file."""

    file: Path
    line: int
    module: str
    name: str | None
    only_typing: bool

    def __str__(self) -> str:
        text = f"import {self.module}"
        if self.name is not None:
            text = f"from {self.module} import {self.name}"
        return f"{self.file}:{self.line}: {text}"


class Package:
    """The source files below ``root/jitgrad``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.trees = {
            path.relative_to(root): ast.parse(path.read_text(encoding="utf-8"), str(path))
            for path in sorted((root / "jitgrad").rglob("*.py"))
        }

    def imports(self) -> Iterator[Import]:
        """Yield the imports of jitgrad's own modules, at any depth."""
        for file, tree in self.trees.items():
            for node, only_typing in _walk(tree, only_typing=False):
                found: list[tuple[str, str | None]]
                if isinstance(node, ast.Import):
                    found = [(alias.name, None) for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    module = _absolute(file, node)
                    found = [(module, alias.name) for alias in node.names]
                else:
                    continue
                for module, name in found:
                    if module.split(".")[0] == "jitgrad":
                        yield Import(file, node.lineno, module, name, only_typing)

    def file_of(self, module: str) -> Path | None:
        """Return the source file of a dotted module name, or None."""
        base = Path(*module.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path in self.trees:
                return path
        return None

    def target(self, imported: Import) -> tuple[Path | None, bool]:
        """Return the file that an import leads to, and whether it takes the whole module."""
        if imported.name is not None:
            submodule = self.file_of(f"{imported.module}.{imported.name}")
            if submodule is not None:
                return submodule, True
        return self.file_of(imported.module), imported.name is None

    def wrong_order(self) -> list[str]:
        wrong = []
        for imported in self.imports():
            here = _room(imported.file)
            target, _ = self.target(imported)
            if here == "" or imported.only_typing or target is None:
                continue  # a missing module is reported with the owners
            there = _room(target)
            if there not in {here, *ALLOWED.get(here, set())}:
                wrong.append(f"{imported} ({here} may not use {there or 'jitgrad itself'})")
        return wrong

    def not_from_owner(self) -> list[str]:
        wrong = []
        for imported in self.imports():
            target, whole = self.target(imported)
            if target is None:
                wrong.append(f"{imported} (no such module)")
                continue
            if target.name == "__init__.py":
                # demo.py and the like are written as a user writes
                if _room(imported.file) != "" or _room(target) not in _RE_EXPORTING:
                    wrong.append(f"{imported} (name the file inside the room)")
                continue
            if not whole and imported.name not in _defined(self.trees[target]):
                wrong.append(f"{imported} (not defined in that file)")
        return wrong

    def unknown_rooms(self) -> list[str]:
        return sorted({_room(file) for file in self.trees} - {"", *ALLOWED})

    def talking_inits(self) -> list[str]:
        return [
            str(file)
            for file, tree in self.trees.items()
            if file.name == "__init__.py"
            and _room(file) not in _RE_EXPORTING
            and (len(tree.body) != 1 or ast.get_docstring(tree) is None)
        ]

    def long_files(self) -> list[str]:
        lengths = {
            file: len((self.root / file).read_text(encoding="utf-8").splitlines())
            for file in self.trees
        }
        return [f"{file}: {n} lines" for file, n in lengths.items() if n > LONGEST_FILE]


def _room(file: Path) -> str:
    """Return the room of a file, "" for those directly in jitgrad/ and for the demonstration."""
    folder = file.parts[1] if len(file.parts) > 2 else ""
    return "" if folder in _WRITTEN_AS_BY_USERS else folder


def _absolute(file: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = file.parts[: len(file.parts) - node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def _walk(node: ast.AST, *, only_typing: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Yield every node below `node`, and whether it stands under ``if TYPE_CHECKING``."""
    for field, value in ast.iter_fields(node):
        below = only_typing or (
            isinstance(node, ast.If)
            and field == "body"
            and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
        )
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child, below
                yield from _walk(child, only_typing=below)


def _defined(node: ast.AST) -> set[str]:
    """Return the names that a module defines itself, also inside its if, try and with."""
    names: set[str] = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(child.name)
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            names.add(child.id)
        elif not isinstance(child, ast.Lambda):
            names |= _defined(child)
    return names


@pytest.fixture(scope="module")
def package() -> Package:
    return Package(ROOT)


def _assert_none(wrong: list[str]) -> None:
    assert not wrong, "\n" + "\n".join(wrong)


def test_package_is_found(package: Package) -> None:
    assert Path("jitgrad/__init__.py") in package.trees
    assert any(package.imports())


def test_a_room_imports_only_from_rooms_to_its_left(package: Package) -> None:
    _assert_none(package.wrong_order())


def test_names_are_imported_from_the_file_that_owns_them(package: Package) -> None:
    _assert_none(package.not_from_owner())


def test_every_folder_is_a_known_room(package: Package) -> None:
    _assert_none(package.unknown_rooms())


def test_the_init_file_of_a_room_is_only_a_docstring(package: Package) -> None:
    _assert_none(package.talking_inits())


def test_no_file_is_so_long_that_it_tells_two_stories(package: Package) -> None:
    _assert_none(package.long_files())


def _write(root: Path, files: dict[str, str]) -> Package:
    for name, text in files.items():
        path = root / "jitgrad" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Package(root)


@pytest.mark.parametrize(
    "text",
    [
        "import jitgrad",
        "import jitgrad.ops.add",
        "from jitgrad import tensor",
        "from jitgrad.ops.add import add",
        "from jitgrad.ops import add",
        "from ..ops.add import add",
        "def f():\n    from jitgrad.ops.add import add",
        "if TYPE_CHECKING:\n    pass\nelse:\n    import jitgrad.ops.add",
    ],
)
def test_an_import_from_the_right_is_noticed(text: str, tmp_path: Path) -> None:
    files = {"__init__.py": "tensor = 1", "ops/add.py": "add = 1", "ir/graph.py": text}
    assert len(_write(tmp_path, files).wrong_order()) == 1


@pytest.mark.parametrize(
    "text",
    [
        "from jitgrad.core.spec import Spec",
        "from jitgrad.core import spec",
        "from .walk import uses",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from jitgrad.ops.add import add",
    ],
)
def test_an_import_from_the_left_is_accepted(text: str, tmp_path: Path) -> None:
    package = _write(
        tmp_path,
        {
            "core/spec.py": "class Spec: ...",
            "ir/graph.py": text,
            "ir/walk.py": "def uses(): ...",
            "ops/add.py": "if True:\n    add, sub = 1, 2",
        },
    )
    assert package.wrong_order() == []
    assert package.not_from_owner() == []


@pytest.mark.parametrize(
    "text",
    [
        "from jitgrad.core import Spec",
        "from jitgrad.core.shapes import Spec",
        "from jitgrad.core.shapes import missing",
        "from jitgrad.core.shapes import shapes",
        "from jitgrad.core.missing import Spec",
        "from jitgrad.core.shapes import *",
    ],
)
def test_an_import_that_is_not_from_the_owner_is_noticed(text: str, tmp_path: Path) -> None:
    package = _write(
        tmp_path,
        {
            "core/__init__.py": '"""Begin anywhere."""',
            "core/spec.py": "class Spec: ...",
            "core/shapes.py": "from jitgrad.core.spec import Spec",
            "ir/graph.py": text,
        },
    )
    assert len(package.not_from_owner()) == 1


def test_intrinsics_use_only_core_and_are_used_by_codegen(tmp_path: Path) -> None:
    package = _write(
        tmp_path,
        {
            "intrinsics/memory.py": "from jitgrad.ir.graph import Graph",
            "ir/graph.py": "from jitgrad.intrinsics.memory import load\nclass Graph: ...",
            "codegen/emit.py": "from jitgrad.intrinsics.memory import load",
        },
    )
    assert [line.split(":")[0] for line in package.wrong_order()] == [
        "jitgrad/intrinsics/memory.py",
        "jitgrad/ir/graph.py",
    ]


_IMPORT_JITGRAD = """
import json, os, sys, threading
import numpy

def threads():
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()

before = threads()
loaded = set(sys.modules)
import jitgrad
print(json.dumps([sorted(set(sys.modules) - loaded), threads() - before]))
"""
_NOT_LOADED = ("numba", "llvmlite", "scipy.linalg", "matplotlib", "sklearn")


def test_importing_jitgrad_loads_no_compiler_and_leaves_no_threads_or_files(tmp_path: Path) -> None:
    environment = os.environ | {
        name: str(tmp_path) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "JITGRAD_CACHE_DIR")
    }
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", _IMPORT_JITGRAD],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    loaded, threads = json.loads(result.stdout)
    assert "jitgrad" in loaded
    heavy = [name for name in loaded if f"{name}.".startswith(tuple(f"{n}." for n in _NOT_LOADED))]
    assert heavy == []
    assert threads == 0
    assert list(tmp_path.iterdir()) == []
