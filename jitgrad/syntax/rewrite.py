"""The syntax tree of a function with our operators in place of Python's constructs.

Every call ``f(x)`` becomes ``jitgrad__.callee(f)(x)``, so that the functions of the user's that it
calls are rewritten, too, and others can have something else in their place. What decides where
the program goes becomes an operator that is given the alternatives as functions::

    for i in range(n):                  def jitgrad__body_1(jitgrad__item):
        s = s + x[i]                        nonlocal i, s
                                            i = jitgrad__item
                                            s = s + x[i]
                                        jitgrad__.for_(range(n), jitgrad__body_1, ...)

Run as plain Python these do what Python does; `loops.py` and `branches.py` say what else they do.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Sequence
from typing import Any

from jitgrad.syntax.jumps import without_jumps
from jitgrad.syntax.liveness import Liveness
from jitgrad.syntax.names import OWN, call, constant, is_operator, like
from jitgrad.syntax.obstacles import obstacle
from jitgrad.syntax.scopes import (
    assigned_names,
    declared_names,
    in_scope,
    keeps_its_statements,
    names_in_functions,
    parameters,
)
from jitgrad.syntax.source import FunctionNode, Source, define

_ITEM = f"{OWN}item"
# The function of `operator` that carries out each sign, without its ``i``.
_NAMES_OF_SIGNS = {
    "Add": "add", "Sub": "sub", "Mult": "mul", "Div": "truediv", "FloorDiv": "floordiv",
    "Mod": "mod", "Pow": "pow", "MatMult": "matmul", "LShift": "lshift", "RShift": "rshift",
    "BitAnd": "and", "BitOr": "or", "BitXor": "xor",
}  # fmt: skip
_NO_ARGUMENTS = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])


def rewritten(source: Source, code: types.CodeType) -> FunctionNode:
    """Return the rewritten definition of a function.

    Parameters
    ----------
    source : Source
        The definition, which stays as it is.
    code : code
        What Python made of it.
    """
    node: FunctionNode = _copied(source.node)
    if source.class_name:
        _PrivateNames(source.class_name).visit(node)
    _Functions().visit(node)
    _Expressions().visit(node)
    return node


def _copied(part: Any) -> Any:
    """Return a copy of a tree; `copy.deepcopy` takes five times as long."""
    if isinstance(part, list):
        return [_copied(item) for item in part]
    if not isinstance(part, ast.AST):
        return part
    made = type(part).__new__(type(part))
    vars(made).update((name, _copied(value)) for name, value in vars(part).items())
    return made


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


class _Functions(ast.NodeTransformer):
    """Rewrites the statements of functions, the inner ones first."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        if _has_constructs(node.body) and not keeps_its_statements(node.body):
            node.body = _Statements(node).body()
        return node


def _has_constructs(body: Sequence[ast.stmt]) -> bool:
    """Return whether statements of a function hold others: simple ones stay as they are."""
    return any(hasattr(part, name) for part in body for name in ("body", "cases"))


class _Expressions(ast.NodeTransformer):
    """Rewrites calls, and what decides inside an expression."""

    def __init__(self) -> None:
        self.first_argument = ""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        before = self.first_argument
        names = [*node.args.posonlyargs, *node.args.args]
        if not node.name.startswith(OWN):
            self.first_argument = names[0].arg if names else ""
        self.generic_visit(node)
        self.first_argument = before
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if is_operator(node.func):
            return node
        if isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args:
            # What the short form means depends on the frame it stands in.
            names = ("__class__", self.first_argument)
            node.args = [like(ast.Name(n, ast.Load()), node) for n in names]
        node.func = call("callee", [node.func], node.func)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        target = node.target
        if not isinstance(target, ast.Subscript) or _must_stay(node.value):
            return node
        sign = constant(f"i{_NAMES_OF_SIGNS[type(node.op).__name__]}", node)
        parts = [target.value, _as_index(target.slice), sign, _later(node.value)]
        return like(ast.Expr(call("augment", parts, node)), node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load) or _must_stay(node.slice):
            return node
        return call("item", [node.value, _as_index(node.slice)], node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if _must_stay(node):
            return node
        name = "and_" if isinstance(node.op, ast.And) else "or_"
        return call(name, [node.values[0], *map(_later, node.values[1:])], node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return call("not_", [node.operand], node) if isinstance(node.op, ast.Not) else node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        if _must_stay(node):
            return node
        sides = [_later(node.body), _later(node.orelse)]
        return call("choose", [node.test, *sides, constant(node.lineno, node)], node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if (len(node.ops) == 1 and not _compares_objects(node)) or _must_stay(node):
            return node
        signs = constant(tuple(type(op).__name__ for op in node.ops), node)
        return call("chain", [signs, node.left, *map(_later, node.comparators)], node)


def _compares_objects(node: ast.Compare) -> bool:
    """Return whether two things that are no constants are asked to be one."""
    both = (node.left, node.comparators[0])
    return isinstance(node.ops[0], ast.Is | ast.IsNot) and not any(
        isinstance(side, ast.Constant) for side in both
    )


def _as_index(node: ast.expr) -> ast.expr:
    """Return the syntax of the object that an index is."""
    if isinstance(node, ast.Tuple):
        return like(ast.Tuple(list(map(_as_index, node.elts)), ast.Load()), node)
    if not isinstance(node, ast.Slice):
        return node
    bounds = [constant(None, node) if b is None else b for b in (node.lower, node.upper, node.step)]
    return call("slice", bounds, node)


def _later(node: ast.expr) -> ast.expr:
    """Return the syntax of a function that evaluates an expression when called."""
    return like(ast.Lambda(_copied(_NO_ARGUMENTS), node), node)


def _must_stay(node: ast.expr) -> bool:
    """Return whether parts of an expression can't be put into functions of their own."""
    kinds = ast.NamedExpr | ast.Yield | ast.YieldFrom | ast.Await
    return any(isinstance(part, kinds) for part in in_scope([node]))


class _Statements(ast.NodeTransformer):
    """Rewrites the loops and branches of one function.

    Parameters
    ----------
    function : FunctionDef
        Its expressions are rewritten already.
    """

    def __init__(self, function: ast.FunctionDef) -> None:
        lowered = without_jumps([_with_plain_conditions(s) for s in function.body])
        self.statements = lowered.body
        self.stops = lowered.stops
        self.globals = declared_names(function.body, ast.Global)
        from_outside = declared_names(function.body, ast.Nonlocal)
        self.locals = assigned_names(lowered.body) - self.globals - from_outside
        self.locals |= set(parameters(function.args))
        self.own = sorted(self.locals - set(parameters(function.args)))
        inside = names_in_functions(function.body) | from_outside
        self.liveness = Liveness(inside, self.stops)
        self.liveness.block(lowered.body, frozenset(inside))
        self.variables = self.locals | from_outside
        self.made = 0

    def body(self) -> list[ast.stmt]:
        """Return the statements of the rewritten function."""
        done = [s for statement in self.statements for s in _listed(self.visit(statement))]
        if self.made and self.own:
            done.insert(_after_docstring(done), self.declaration(done[0]))
        return done

    def declaration(self, model: ast.stmt) -> ast.stmt:
        """Return what makes names variables of the function though functions inside assign them."""
        targets: list[ast.expr] = [ast.Name(name, ast.Store()) for name in self.own]
        never = ast.Assign(targets, ast.Constant(None))
        return like(ast.If(ast.Constant(False), [never], []), model)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node

    def visit_For(self, node: ast.For) -> list[ast.stmt]:
        assigned = self.assigned([node.target, *node.body])
        live = self.liveness.found[node]
        facts = self.facts(node, assigned, live.again & assigned, live.after & assigned)
        given = like(ast.Assign([node.target], ast.Name(_ITEM, ast.Load())), node.target)
        body = self.part("body", [given, *self.inside(node.body)], assigned, node, (_ITEM,))
        run = call("for_", [node.iter, _load(body), *facts], node)
        return [body, like(ast.Expr(run), node)]

    def visit_While(self, node: ast.While) -> list[ast.stmt]:
        assigned = self.assigned([node.test, *node.body])
        live = self.liveness.found[node]
        facts = self.facts(node, assigned, live.again & assigned, live.after & assigned)
        asked = self.part("test", [like(ast.Return(node.test), node.test)], assigned, node)
        body = self.part("body", self.inside(node.body), assigned, node)
        run = call("while_", [_load(asked), _load(body), *facts], node)
        return [asked, body, like(ast.Expr(run), node)]

    def visit_If(self, node: ast.If) -> list[ast.stmt]:
        assigned = self.assigned([*node.body, *node.orelse])
        live = self.liveness.found[node]
        facts = self.facts(node, assigned, frozenset(), live.after & assigned)
        then = self.part("then", self.inside(node.body), assigned, node)
        other = self.part("else", self.inside(node.orelse), assigned, node)
        run = call("if_", [node.test, _load(then), _load(other), *facts], node)
        return [then, other, like(ast.Expr(run), node)]

    def inside(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        return [s for statement in body for s in _listed(self.visit(statement))]

    def assigned(self, nodes: Sequence[ast.AST]) -> frozenset[str]:
        return frozenset(assigned_names(nodes) & self.variables)

    def part(
        self,
        kind: str,
        body: list[ast.stmt],
        assigned: frozenset[str],
        model: ast.stmt,
        arguments: tuple[str, ...] = (),
    ) -> ast.FunctionDef:
        """Return the definition of a function that a construct is divided into."""
        self.made += 1
        start: list[ast.stmt] = []
        if assigned:
            start.append(ast.Nonlocal(sorted(assigned)))
        outside = sorted(assigned_names(body) & self.globals)
        if outside:
            start.append(ast.Global(outside))
        given = _copied(_NO_ARGUMENTS)
        given.args = [ast.arg(name) for name in arguments]
        statements = [*start, *body] or [ast.Pass()]
        name = f"{OWN}{kind}_{self.made}"
        return like(define(name, given, statements), model)

    def facts(
        self,
        node: ast.For | ast.While | ast.If,
        assigned: frozenset[str],
        again: frozenset[str],
        after: frozenset[str],
    ) -> list[ast.expr]:
        """Return what the operator has to know of the construct, as constants."""
        reason = obstacle([*node.body, *node.orelse], assigned, self.globals, self.locals)
        stops = self.stops.get(node, ())
        values = (*map(tuple, map(sorted, (assigned, again, after))), stops, node.lineno, reason)
        return [constant(value, node) for value in values]


class _PlainConditions(ast.NodeTransformer):
    """Moves conditions that assign variables into the loop: ``while (x := f()) > 0``."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        self.generic_visit(node)
        if not _must_stay(node.test) or node.orelse:
            return node
        stop = like(ast.If(ast.UnaryOp(ast.Not(), node.test), [ast.Break()], []), node.test)
        return like(ast.While(ast.Constant(True), [stop, *node.body], []), node)


def _with_plain_conditions(statement: ast.stmt) -> ast.stmt:
    made: ast.stmt = _PlainConditions().visit(statement)
    return made


def _load(function: ast.FunctionDef) -> ast.expr:
    return ast.Name(function.name, ast.Load())


def _listed(made: object) -> list[ast.stmt]:
    return made if isinstance(made, list) else [made]  # type: ignore[list-item]


def _after_docstring(body: Sequence[ast.stmt]) -> int:
    first = body[0]
    return int(isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant))
