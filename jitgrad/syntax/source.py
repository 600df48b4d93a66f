"""The syntax tree of a function, where its source can be read and is what was compiled."""

from __future__ import annotations
import __future__

import ast
import dis
import functools
import linecache
import types
from dataclasses import dataclass
from typing import Any

FunctionNode = ast.FunctionDef | ast.Lambda
_FUTURE_FLAGS = functools.reduce(
    lambda flags, name: flags | getattr(__future__, name).compiler_flag,
    __future__.all_feature_names,
    0,
)
_NAMING = frozenset([*dis.hasconst, *dis.hasname, *dis.haslocal, *dis.hasfree])
_FACTORY = "jitgrad__factory"
_FUNCTION = "jitgrad__function"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The definition of a function.

    Parameters
    ----------
    node : FunctionDef or Lambda
        Its syntax tree, with the line numbers of the file.
    class_name : str
        The class around it, to which private names belong; ``""`` outside of classes.
    """

    node: FunctionNode
    class_name: str


def find_source(code: types.CodeType) -> Source | None:
    """Return the definition of a function with this code; None where it can't be read.

    A file that was changed since it was imported counts as one that can't be read.
    """
    text = "".join(linecache.getlines(code.co_filename))
    if not text:
        return None
    for source in _definitions(text).get((code.co_name, code.co_firstlineno), ()):
        if _is_of(source, code):
            return source
    return None


@functools.lru_cache(maxsize=64)
def _definitions(text: str) -> dict[tuple[str, int], list[Source]]:
    """Return the functions that a file defines, by name and first line."""
    found: dict[tuple[str, int], list[Source]] = {}

    def walk(node: ast.AST, class_name: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            decorators = getattr(node, "decorator_list", [])
            line = min([node.lineno, *(d.lineno for d in decorators)])
            name = node.name if isinstance(node, ast.FunctionDef) else "<lambda>"
            found.setdefault((name, line), []).append(Source(node, class_name))
        inner = node.name if isinstance(node, ast.ClassDef) else class_name
        for child in ast.iter_child_nodes(node):
            walk(child, inner)

    try:
        walk(ast.parse(text), "")
    except (SyntaxError, RecursionError, ValueError):
        return {}
    return found


def _is_of(source: Source, code: types.CodeType) -> bool:
    """Return whether `code` is what Python makes of a definition."""
    node = source.node
    try:
        own = compile_function(node, code, ())
    except (SyntaxError, ValueError):
        return False
    if any(isinstance(part, ast.Assert) for part in ast.walk(node)):
        # Test runners write other code for assertions.
        return own.co_varnames[: own.co_argcount] == code.co_varnames[: code.co_argcount]
    return _steps(own, source.class_name) == _steps(code, source.class_name)


def _steps(code: types.CodeType, class_name: str) -> list[object]:
    """Return what the instructions of a code name; which ones they are depends on its module."""
    private = f"_{class_name.lstrip('_')}__"
    steps: list[object] = []
    for instruction in dis.get_instructions(code):
        argument = instruction.argval
        if isinstance(argument, types.CodeType):
            argument = argument.co_name
        if isinstance(argument, str) and class_name and argument.startswith(private):
            argument = "__" + argument.removeprefix(private)
        if instruction.opcode in _NAMING:
            steps.append(repr(argument))
        elif instruction.opname in ("BINARY_OP", "COMPARE_OP", "CONTAINS_OP", "IS_OP"):
            steps.append((instruction.opname, instruction.arg))
    return steps


def compile_function(
    node: FunctionNode, code: types.CodeType, more_cells: tuple[str, ...]
) -> types.CodeType:
    """Return the code of a definition that stands where `code` does.

    Parameters
    ----------
    node : FunctionDef or Lambda
        The definition; decorators and defaults are left out.
    code : code
        Gives file, flags and the names of closure cells.
    more_cells : tuple of str
        Names of further cells.
    """
    bare = _bare(node)
    result: ast.stmt = bare if isinstance(bare, ast.FunctionDef) else ast.Return(bare)
    cells = [ast.arg(name) for name in dict.fromkeys((*code.co_freevars, *more_cells))]
    arguments = ast.arguments(
        posonlyargs=[], args=cells, kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    factory = define(_FACTORY, arguments, [result])
    module = ast.Module([factory], [])
    ast.fix_missing_locations(module)
    flags = code.co_flags & _FUTURE_FLAGS
    whole = compile(module, code.co_filename, "exec", flags, dont_inherit=True)
    (outer,) = [c for c in whole.co_consts if isinstance(c, types.CodeType)]
    name = _FUNCTION if isinstance(node, ast.FunctionDef) else "<lambda>"
    return next(c for c in outer.co_consts if isinstance(c, types.CodeType) and c.co_name == name)


def _bare(node: FunctionNode) -> FunctionNode:
    """Return a definition without decorators, defaults and annotations of its arguments."""
    old = node.args
    plain = _plain_argument
    arguments = ast.arguments(
        posonlyargs=list(map(plain, old.posonlyargs)),
        args=list(map(plain, old.args)),
        vararg=None if old.vararg is None else plain(old.vararg),
        kwonlyargs=list(map(plain, old.kwonlyargs)),
        kw_defaults=[None] * len(old.kwonlyargs),
        kwarg=None if old.kwarg is None else plain(old.kwarg),
        defaults=[],
    )
    if isinstance(node, ast.Lambda):
        return ast.copy_location(ast.Lambda(arguments, node.body), node)
    # Under its own name it would hide the global one by which it calls itself.
    return ast.copy_location(define(_FUNCTION, arguments, node.body), node)


def define(name: str, arguments: ast.arguments, body: list[ast.stmt]) -> ast.FunctionDef:
    """Return the syntax of ``def name(arguments): body``."""
    fields: dict[str, Any] = {"name": name, "args": arguments, "body": body}
    if "type_params" in ast.FunctionDef._fields:
        fields["type_params"] = []
    return ast.FunctionDef(decorator_list=[], **fields)


def _plain_argument(argument: ast.arg) -> ast.arg:
    return ast.copy_location(ast.arg(argument.arg), argument)
