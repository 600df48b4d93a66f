"""Whether code may look at the elements of a NumPy array that it reads from outside.

Such an array becomes an input of the graph where it meets a traced value. But what NumPy and
Python make of it before, while the function is traced, is a constant of the graph: an element that
a branch depends on, say. Then its elements have to be guarded, which takes time in every call.
"""

from __future__ import annotations

import dis
import re
import types
from collections.abc import Iterable, Sequence
from typing import Any

# By these a value leaves NumPy, so that nothing shows where it came from.
_LEAVING_NUMPY = frozenset(
    {"float", "int", "bool", "complex", "str", "repr", "format", "item", "tolist", "list",
     "tuple", "set", "dict", "range", "max", "min", "any", "all", "sorted", "round", "abs",
     "tobytes", "array_equal", "allclose", "isclose"}
)  # fmt: skip
_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_CLOSURE"})
_ENDS = ("STORE_", "POP_TOP", "RETURN_", "POP_JUMP", "JUMP_IF", "FOR_ITER", "RAISE")


def names_in(descriptions: Iterable[str]) -> set[str]:
    """Return every identifier in the descriptions of objects, as ``data`` in ``model.data[0]``."""
    return {name for text in descriptions for name in re.findall(r"[^\W\d]\w*", text)}


def may_look_inside(codes: Sequence[types.CodeType], root: Any, names: Iterable[str]) -> bool:
    """Return whether code may take a Python value from arrays that it knows by these names.

    Parameters
    ----------
    codes : sequence of code
        The user's code that may run; what functions other than `root` are given may be arrays.
    root : code or None
        The code of the function that is traced.
    names : iterable of str
        Of globals, closure variables and attributes that hold arrays, or things that do.
    """
    suspects = set(names)
    statements = [(code, list(_statements(code))) for code in codes]
    before = -1
    while len(suspects) > before:
        # A function that reads an array may return it, or a part of it.
        before = len(suspects)
        for code, listed in statements:
            own = _suspect_locals(code, listed, suspects, code is not root)
            if any(_reads(statement, suspects, own) for statement in listed):
                suspects.add(code.co_name)
    return any(
        _leaves_numpy(statement)
        for code, listed in statements
        for own in [_suspect_locals(code, listed, suspects, code is not root)]
        for statement in listed
        if _reads(statement, suspects, own)
    )


def _statements(code: types.CodeType) -> Iterable[list[dis.Instruction]]:
    """Yield the instructions between two places where a value is stored, dropped or tested."""
    statement: list[dis.Instruction] = []
    for instruction in dis.get_instructions(code):
        statement.append(instruction)
        if instruction.opname.startswith(_ENDS):
            yield statement
            statement = []
    yield statement


def _suspect_locals(
    code: types.CodeType,
    statements: Sequence[Sequence[dis.Instruction]],
    suspects: set[str],
    arguments_too: bool,
) -> set[str]:
    """Return the local variables that may hold an array or a part of one."""
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 12) * 2
    own = set(code.co_varnames[:count]) if arguments_too else set()
    before = -1
    while len(own) > before:
        before = len(own)
        for statement in statements:
            if _reads(statement, suspects, own):
                own |= {i.argval for i in statement if i.opname.startswith("STORE_FAST")}
    return own


def _reads(statement: Sequence[dis.Instruction], suspects: set[str], own: set[str]) -> bool:
    for instruction in statement:
        operation = instruction.opname
        if operation.startswith("LOAD_FAST"):
            if instruction.argval in own:
                return True
        elif (operation in _LOADS or "ATTR" in operation or operation == "LOAD_METHOD") and (
            instruction.argval in suspects
        ):
            return True
    return False


def _leaves_numpy(statement: Sequence[dis.Instruction]) -> bool:
    subscripts = 0
    for instruction in statement:
        operation = instruction.opname
        if "_JUMP_IF" in operation or operation.startswith("JUMP_IF"):
            return True
        name = instruction.argval
        if operation.startswith("LOAD_") and isinstance(name, str) and name in _LEAVING_NUMPY:
            return True
        if operation in ("FORMAT_VALUE", "FORMAT_SIMPLE", "CONTAINS_OP"):
            return True
        subscripts += operation.endswith("_SUBSCR")
    # An element of an array may be the index of something else.
    return subscripts > 1
