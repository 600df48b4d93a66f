"""The syntax tree of a function with our operators in place of Python's constructs.

Every call ``f(x)`` becomes ``jitgrad__.callee(f)(x)``, so that the functions of the user's that it
calls are rewritten, too, and others can have something else in their place.
"""

from __future__ import annotations

import ast
import copy
import types

from jitgrad.syntax.source import FunctionNode, Source

# What begins with this is ours among the names of a rewritten function.
OWN = "jitgrad__"
# What the operators are called there.
OPERATORS = OWN


def rewritten(source: Source, code: types.CodeType) -> FunctionNode:
    """Return the rewritten definition of a function.

    Parameters
    ----------
    source : Source
        The definition, which stays as it is.
    code : code
        What Python made of it.
    """
    node = copy.deepcopy(source.node)
    if source.class_name:
        _PrivateNames(source.class_name).visit(node)
    _Calls(_first_argument(node)).visit(node)
    return node


def _first_argument(node: FunctionNode) -> str:
    names = [*node.args.posonlyargs, *node.args.args]
    return names[0].arg if names else ""


def operator(name: str, like: ast.AST) -> ast.expr:
    """Return the syntax of one of our operators, at the line of `like`."""
    held = ast.Attribute(ast.Name(OPERATORS, ast.Load()), name, ast.Load())
    return ast.fix_missing_locations(ast.copy_location(held, like))


class _PrivateNames(ast.NodeTransformer):
    """Writes out what Python makes of private names in a class: ``self._Class__x``."""

    def __init__(self, class_name: str) -> None:
        self.prefix = f"_{class_name.lstrip('_')}"

    def mangled(self, name: str) -> str:
        private = name.startswith("__") and not name.endswith("__")
        return self.prefix + name if private and self.prefix != "_" else name

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = self.mangled(node.attr)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.mangled(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self.mangled(node.arg)
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        if node.arg is not None:
            node.arg = self.mangled(node.arg)
        return self.generic_visit(node)


class _Calls(ast.NodeTransformer):
    """Lets calls pass through `callee`."""

    def __init__(self, first_argument: str) -> None:
        self.first_argument = first_argument

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args:
            # What the short form means depends on the frame it stands in.
            names = ("__class__", self.first_argument)
            node.args = [ast.copy_location(ast.Name(n, ast.Load()), node) for n in names]
        passed = ast.Call(operator("callee", node.func), [node.func], [])
        node.func = ast.copy_location(passed, node.func)
        return node
