"""Which names a piece of syntax assigns, reads, and hands to functions inside it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence

_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_SCOPES = _FUNCTIONS | ast.ClassDef
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
# These look at or change the variables of the function they are called in.
_LOOKING = frozenset({"locals", "vars", "eval", "exec", "dir"})


def in_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield what stands in the same function as `nodes`, these included.

    Of functions and classes defined there, the definition, decorators and defaults; not the body.
    """
    stack = list(nodes)[::-1]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, _FUNCTIONS):
            inner: list[ast.AST] = [*node.args.defaults]
            inner += [d for d in node.args.kw_defaults if d is not None]
            inner += getattr(node, "decorator_list", [])
            stack.extend(reversed(inner))
        else:
            stack.extend(reversed(list(ast.iter_child_nodes(node))))


def assigned_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the variables of this function that `nodes` assign, delete or define."""
    found: set[str] = set()
    for node in in_scope(nodes):
        found.update(_bound_by(node))
    hidden = {name for node in in_scope(nodes) for name in _of_comprehension(node)}
    # A variable of a comprehension is its own, unless a statement assigns the same name.
    return {n for n in found if n not in hidden} | {
        n for node in _outside_comprehensions(nodes) for n in _bound_by(node)
    }


def _outside_comprehensions(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    stack = list(nodes)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, _SCOPES | _COMPREHENSIONS):
            stack.extend(ast.iter_child_nodes(node))


def _of_comprehension(node: ast.AST) -> set[str]:
    if not isinstance(node, _COMPREHENSIONS):
        return set()
    return {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}


def _bound_by(node: ast.AST) -> Sequence[str]:
    if isinstance(node, ast.Name):
        return () if isinstance(node.ctx, ast.Load) else (node.id,)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return (node.name,)
    if isinstance(node, ast.alias):
        return (node.asname or node.name.partition(".")[0],)
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return () if node.name is None else (node.name,)
    if isinstance(node, ast.MatchMapping):
        return () if node.rest is None else (node.rest,)
    return ()


def read_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Return every name that `nodes` read, those in functions defined there included."""
    return {
        n.id
        for node in nodes
        for n in ast.walk(node)
        if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Store)
    }


def names_in_functions(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names in functions, classes and generators defined by `nodes`.

    These may be read at any later time.
    """
    return {
        n.id
        for node in nodes
        for inner in ast.walk(node)
        if isinstance(inner, _SCOPES | ast.GeneratorExp)
        for n in ast.walk(inner)
        if isinstance(n, ast.Name)
    }


def declared_names(nodes: Iterable[ast.AST], kind: type[ast.Global | ast.Nonlocal]) -> set[str]:
    """Return the names in the ``global`` or ``nonlocal`` statements of this function."""
    return {name for node in in_scope(nodes) if isinstance(node, kind) for name in node.names}


def parameters(arguments: ast.arguments) -> list[str]:
    """Return the names of a function's parameters."""
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return [a.arg for a in every]


def keeps_its_statements(body: Sequence[ast.stmt]) -> bool:
    """Return whether loops and branches of a function have to stay Python's own.

    They become functions inside it: not where it yields, looks at its own variables, or leaves a
    ``try`` by a jump.
    """
    for node in in_scope(body):
        if isinstance(node, ast.Yield | ast.YieldFrom | ast.Await | ast.AsyncFor | ast.AsyncWith):
            return True
        if isinstance(node, ast.comprehension) and node.is_async:
            return True
        if isinstance(node, ast.Name) and node.id in _LOOKING:
            return True
        if type(node).__name__ in ("Try", "TryStar") and jumps_out([node]):
            return True
    return False


def jumps_out(nodes: Iterable[ast.AST], in_loop: bool = False) -> bool:
    """Return whether a ``return`` is among `nodes`, or a ``break`` that leaves them."""
    for node in nodes:
        if isinstance(node, ast.Return):
            return True
        if isinstance(node, ast.Break | ast.Continue) and not in_loop:
            return True
        if isinstance(node, _SCOPES | ast.expr):
            continue
        if isinstance(node, ast.For | ast.While):
            if jumps_out(node.body, True) or jumps_out(node.orelse, in_loop):
                return True
        elif jumps_out(ast.iter_child_nodes(node), in_loop):
            return True
    return False
