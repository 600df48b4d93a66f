"""What in the source of a loop body can't be repeated by a graph, seen without running it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from jitgrad.syntax.scopes import assigned_names, in_scope

_WHAT = {
    "Try": "handles exceptions", "TryStar": "handles exceptions", "Delete": "deletes something",
    "Import": "imports a module", "ImportFrom": "imports a module", "ClassDef": "defines a class",
}  # fmt: skip


def obstacle(
    body: Sequence[ast.stmt], assigned: frozenset[str], of_module: set[str], own: set[str]
) -> str:
    """Return why statements can't become part of a graph; ``""`` where nothing is seen.

    Parameters
    ----------
    body : sequence of stmt
        The body of a loop, or the sides of a branch.
    assigned : frozenset of str
        Variables that it assigns.
    of_module, own : set of str
        Names that the function declares global, and its own variables.
    """
    outside = sorted(assigned_names(body) & of_module) or sorted(assigned - own)
    if outside:
        return f"it assigns `{outside[0]}`, a variable from outside of the function"
    for node in in_scope(body):
        what = _WHAT.get(type(node).__name__, "")
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            what = "assigns an attribute"
        if what and isinstance(node, ast.stmt | ast.expr):
            return f"line {node.lineno} {what}"
    return ""
