"""Which variables somebody may still read after a loop or branch, and at its next iteration."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jitgrad.syntax.scopes import assigned_names, in_scope, read_names


@dataclass(frozen=True, slots=True)
class Live:
    """The variables that are read later, as seen from one statement.

    Parameters
    ----------
    again : frozenset of str
        For a loop, read by the next iteration before being assigned.
    after : frozenset of str
        Read after the statement.
    """

    again: frozenset[str]
    after: frozenset[str]


class Liveness:
    """Finds what is live at each loop and branch of a function without jumps.

    Parameters
    ----------
    always : set of str
        Variables that may be read at any time: those of functions inside, and of those around.
    stops : mapping
        For each loop the flags that end it.
    """

    def __init__(self, always: set[str], stops: Mapping[ast.stmt, tuple[str, ...]]) -> None:
        self.always = frozenset(always)
        self.stops = stops
        self.found: dict[ast.stmt, Live] = {}

    def block(self, body: Sequence[ast.stmt], after: frozenset[str]) -> frozenset[str]:
        """Return what is live before statements, given what is live after them."""
        for statement in reversed(body):
            after = self.statement(statement, after)
        return after

    def statement(self, node: ast.stmt, after: frozenset[str]) -> frozenset[str]:
        """Return what is live before one statement."""
        after = after | self.always
        if isinstance(node, ast.If):
            self.found[node] = Live(frozenset(), after)
            both = self.block(node.body, after) | self.block(node.orelse, after)
            return both | _read(node.test)
        if isinstance(node, ast.For | ast.While):
            return self._loop(node, after)
        if isinstance(node, ast.With):
            inside = self.block(node.body, after)
            return inside | _read(*(item.context_expr for item in node.items))
        if isinstance(node, ast.Match):
            inside = after.union(*(self.block(case.body, after) for case in node.cases))
            return inside | read_names([node])
        if isinstance(node, ast.Try) or type(node).__name__ == "TryStar":
            return self._guarded(node, after)  # type: ignore[arg-type]
        if isinstance(node, ast.Return | ast.Raise):
            return _read(node) | self.always
        return (after - _certainly_assigned(node)) | _read(node)

    def _loop(self, node: ast.For | ast.While, after: frozenset[str]) -> frozenset[str]:
        question = node.test if isinstance(node, ast.While) else None
        own: frozenset[str] = frozenset()
        if isinstance(node, ast.For):
            own = frozenset(assigned_names([node.target]))
        again = after
        while True:
            inside = self.block(node.body, again)
            more = again | (inside - own) | frozenset(self.stops.get(node, ()))
            if question is not None:
                more |= _read(question)
            if more == again:
                break
            again = more
        # What is live at the head only because it is read after the loop, is that as well.
        self.found[node] = Live(again, after)
        return again | _read(node.iter) if isinstance(node, ast.For) else again

    def _guarded(self, node: ast.Try, after: frozenset[str]) -> frozenset[str]:
        """Return what is live before a ``try``: an exception may come at any point in it."""
        after = after | read_names([node])
        for handler in node.handlers:
            self.block(handler.body, after)
        for body in (node.finalbody, node.orelse, node.body):
            self.block(body, after)
        return after


def _read(*nodes: ast.AST) -> frozenset[str]:
    return frozenset(read_names(nodes))


def _certainly_assigned(node: ast.stmt) -> set[str]:
    """Return the variables that a simple statement gives new values, whatever happens."""
    if isinstance(node, ast.Assign):
        return {n.id for t in node.targets for n in _whole_names(t)}
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        return {n.id for n in _whole_names(node.target)}
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return assigned_names([node])
    return set()


def _whole_names(target: ast.expr) -> list[ast.Name]:
    return [
        n for n in in_scope([target]) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    ]
