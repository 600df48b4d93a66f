"""What rewritten functions call ours, and the syntax of a call of it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TypeVar

# What begins with this is ours among the names of a rewritten function.
OWN = "jitgrad__"
# What the operators are called there.
OPERATORS = OWN

N = TypeVar("N", bound=ast.AST)


def like(node: N, model: ast.AST) -> N:
    """Return new syntax with the place in the source that `model` has."""
    return ast.fix_missing_locations(ast.copy_location(node, model))


def operator(name: str, model: ast.AST) -> ast.expr:
    """Return the syntax of one of our operators, at the line of `model`."""
    return like(ast.Attribute(ast.Name(OPERATORS, ast.Load()), name, ast.Load()), model)


def is_operator(node: ast.expr) -> bool:
    """Return whether this is the syntax of one of our operators."""
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == OPERATORS
    )


def call(name: str, arguments: Sequence[ast.expr], model: ast.AST) -> ast.Call:
    """Return the syntax of a call of one of our operators."""
    return like(ast.Call(operator(name, model), list(arguments), []), model)


def constant(value: object, model: ast.AST) -> ast.expr:
    """Return the syntax of a number, a string, or a tuple of such."""
    if isinstance(value, tuple):
        return like(ast.Tuple([constant(v, model) for v in value], ast.Load()), model)
    return like(ast.Constant(value), model)  # type: ignore[arg-type]


def flag_check(flags: Sequence[str], model: ast.AST) -> ast.expr:
    """Return the syntax of the question whether no flag is set."""
    return call("go_on", [ast.Name(flag, ast.Load()) for flag in flags], model)
