"""What translation asks of the text of a function again and again."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence

from jitgrad.intrinsics.declare import INTRINSICS

_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")


class FunctionText:
    """A function of generated source.

    Parameters
    ----------
    tree : ast.FunctionDef
        Its syntax tree.
    source : str
        The text that the tree was made from.
    """

    def __init__(self, tree: ast.FunctionDef, source: str) -> None:
        self.tree = tree
        self._lines = source.splitlines()
        # How often each name is assigned.
        self.assigned = {parameter.arg: 1 for parameter in tree.args.args}
        # For each statement how many it is, those within it included; the names in it, and those
        # of them that it assigns.
        self.counts: dict[ast.stmt, int] = {}
        self.names: dict[ast.stmt, dict[str, None]] = {}
        self.stored: dict[ast.stmt, dict[str, None]] = {}
        # How many calls of formulas that are longer than an instruction or two.
        self.formulas = 0
        self._branches: list[ast.If] = []
        for statement in tree.body:
            self._note(statement)
        self._note_branches()

    def _note_branches(self) -> None:
        """Count what a branch assigns and others read as assigned again where it is not taken."""
        everywhere = _occurrences(self.tree) if self._branches else Counter[str]()
        for branch in self._branches:
            here = _occurrences(branch)
            for name in self.stored[branch]:
                self.assigned[name] += everywhere[name] > here[name]

    def _note(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.If):
            self._branches.append(statement)
        count, names, stored = 1, dict[str, None](), dict[str, None]()
        waiting: list[ast.AST] = [statement]
        while waiting:
            for node in ast.iter_child_nodes(waiting.pop()):
                if isinstance(node, ast.stmt):
                    self._note(node)
                    count += self.counts[node]
                    names |= self.names[node]
                    stored |= self.stored[node]
                    continue
                waiting.append(node)
                if isinstance(node, ast.Name):
                    names[node.id] = None
                    self.formulas += _is_formula(node.id)
                    if isinstance(node.ctx, ast.Store):
                        stored[node.id] = None
                        self.assigned[node.id] = self.assigned.get(node.id, 0) + 1
        self.counts[statement], self.names[statement] = count, names
        self.stored[statement] = stored

    def count(self, statements: Sequence[ast.stmt]) -> int:
        """Return how many statements there are, those within others included."""
        return sum([self.counts[statement] for statement in statements])

    def names_in(self, statements: Sequence[ast.stmt]) -> dict[str, None]:
        """Return the names in statements."""
        return _union([self.names[statement] for statement in statements])

    def stored_in(self, statements: Sequence[ast.stmt]) -> dict[str, None]:
        """Return the names that statements assign."""
        return _union([self.stored[statement] for statement in statements])

    def with_numbers(self, statements: Sequence[ast.stmt]) -> tuple[str, dict[str, int]]:
        """Return the text of statements with numbers for names, and the number of each name.

        Statements that do the same with things of other names have the same text.
        """
        numbers: dict[str, int] = {}

        def number(match: re.Match[str]) -> str:
            name = match[0]
            if name not in self.assigned:
                return name
            return f"#{numbers.setdefault(name, len(numbers))}"

        lines = [
            line
            for statement in statements
            for line in self._lines[statement.lineno - 1 : statement.end_lineno]
            if not line.lstrip().startswith("#")
        ]
        return _NAME.sub(number, "\n".join(lines)), numbers


def _occurrences(tree: ast.AST) -> Counter[str]:
    return Counter([node.id for node in ast.walk(tree) if isinstance(node, ast.Name)])


def _is_formula(name: str) -> bool:
    record = INTRINSICS.get(name)
    return record is not None and record.formula is not None and not record.in_place


def may_move(statement: ast.stmt) -> bool:
    """Return whether a statement can be in another LLVM function than those around it."""
    return not any(map(_belongs_to_function, ast.walk(statement)))


def _belongs_to_function(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        record = INTRINSICS.get(node.id)
        return record is not None and record.in_kernel
    # Memory is freed where the function that took it ends.
    return isinstance(node, ast.Attribute) and node.attr in ("empty", "zeros")


def _union(sets: Sequence[dict[str, None]]) -> dict[str, None]:
    found: dict[str, None] = {}
    for names in sets:
        found |= names
    return found
