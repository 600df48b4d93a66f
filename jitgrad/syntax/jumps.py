"""Break, continue and return become flags, so that every loop and branch ends at its end.

Before::

    for x in xs:
        if x < 0:
            continue
        if x > 9:
            return x
        total += x
    return total

After::

    returned = False
    for x in xs:              # until returned
        if x < 0:
            pass
        elif x > 9:
            result, returned = x, True
        else:
            total += x
    if go_on(returned):
        result, returned = total, True
    return result
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from jitgrad.syntax.names import OWN, flag_check, like
from jitgrad.syntax.scopes import jumps_out

RETURNED = f"{OWN}returned"
RESULT = f"{OWN}result"


@dataclass(slots=True, eq=False)
class Lowered:
    """A function body without jumps.

    Parameters
    ----------
    body : list of stmt
        The statements.
    stops : dict
        For each loop the flags that end it.
    """

    body: list[ast.stmt]
    stops: dict[ast.stmt, tuple[str, ...]] = field(default_factory=dict)


def without_jumps(body: Sequence[ast.stmt]) -> Lowered:
    """Return a function body in which flags take the place of jumps.

    A ``return`` that is not inside a loop or branch stays.
    """
    lowering = _Lowering()
    inside = any(jumps_out([s]) for s in body if not isinstance(s, ast.Return))
    if not inside:
        done, _ = lowering.block(body, None, keep_return=True)
        return Lowered(done, lowering.stops)
    last = like(ast.Return(ast.Constant(None)), body[-1])
    done, _ = lowering.block([*body, last], None)
    start = [_set(RETURNED, False, body[0])]
    end = like(ast.Return(ast.Name(RESULT, ast.Load())), body[-1])
    return Lowered([*start, *done, end], lowering.stops)


@dataclass(frozen=True, slots=True)
class _Loop:
    broken: str
    continued: str


class _Lowering:
    def __init__(self) -> None:
        self.stops: dict[ast.stmt, tuple[str, ...]] = {}
        self.loops = 0

    def block(
        self, body: Sequence[ast.stmt], loop: _Loop | None, keep_return: bool = False
    ) -> tuple[list[ast.stmt], set[str]]:
        """Return statements without jumps, and the flags that they may set."""
        done: list[ast.stmt] = []
        for number, statement in enumerate(body):
            rest = body[number + 1 :]
            if isinstance(statement, ast.Break | ast.Continue):
                assert loop is not None
                flag = loop.broken if isinstance(statement, ast.Break) else loop.continued
                return [*done, _set(flag, True, statement)], {flag}
            if isinstance(statement, ast.Return):
                if keep_return:
                    return [*done, statement], set()
                value = statement.value or like(ast.Constant(None), statement)
                kept = like(ast.Assign([ast.Name(RESULT, ast.Store())], value), statement)
                return [*done, kept, _set(RETURNED, True, statement)], {RETURNED}
            if isinstance(statement, ast.If) and rest:
                moved = _with_rest_inside(statement, rest)
                if moved is not None:
                    made, flags = self.inner(moved, loop)
                    return [*done, *made], flags
            made, flags = self.inner(statement, loop)
            done += made
            if flags and rest:
                after, more = self.block(rest, loop)
                return [*done, _guarded(after, flags, rest[0])], flags | more
            if flags:
                return done, flags
        return done, set()

    def inner(self, statement: ast.stmt, loop: _Loop | None) -> tuple[list[ast.stmt], set[str]]:
        """Return one statement without jumps inside it."""
        if isinstance(statement, ast.For | ast.While):
            return self.loop(statement, loop)
        flags: set[str] = set()
        if isinstance(statement, ast.If | ast.With):
            statement.body, flags = self.block(statement.body, loop)
            if isinstance(statement, ast.If):
                statement.orelse, more = self.block(statement.orelse, loop)
                flags |= more
        elif isinstance(statement, ast.Match):
            for case in statement.cases:
                case.body, more = self.block(case.body, loop)
                flags |= more
        elif isinstance(statement, ast.Try):
            # No jump leaves it, so all flags are those of loops inside.
            statement.body, _ = self.block(statement.body, loop)
            statement.orelse, _ = self.block(statement.orelse, loop)
            statement.finalbody, _ = self.block(statement.finalbody, loop)
            for handler in statement.handlers:
                handler.body, _ = self.block(handler.body, loop)
        return [statement], flags

    def loop(
        self, statement: ast.For | ast.While, outer: _Loop | None
    ) -> tuple[list[ast.stmt], set[str]]:
        self.loops += 1
        own = _Loop(f"{OWN}broken_{self.loops}", f"{OWN}continued_{self.loops}")
        body, flags = self.block(statement.body, own)
        if own.continued in flags:
            body = [_set(own.continued, False, statement), *body]
        statement.body = body
        stops = sorted(flags - {own.continued})
        self.stops[statement] = tuple(stops)
        done: list[ast.stmt] = [statement]
        if own.broken in flags:
            done.insert(0, _set(own.broken, False, statement))
        out = flags & {RETURNED}
        if statement.orelse:
            after, more = self.block(statement.orelse, outer)
            done.append(_guarded(after, set(stops), statement)) if stops else done.extend(after)
            out |= more
            statement.orelse = []
        return done, out


def _with_rest_inside(statement: ast.If, rest: Sequence[ast.stmt]) -> ast.If | None:
    """Return a branch one side of which always jumps, with what follows it on the other side."""
    if _always_jumps(statement.body):
        sides = statement.body, [*statement.orelse, *rest]
    elif _always_jumps(statement.orelse):
        sides = [*statement.body, *rest], statement.orelse
    else:
        return None
    return like(ast.If(statement.test, *sides), statement)


def _always_jumps(body: Sequence[ast.stmt]) -> bool:
    if not body:
        return False
    last = body[-1]
    if isinstance(last, ast.Break | ast.Continue | ast.Return):
        return True
    return isinstance(last, ast.If) and _always_jumps(last.body) and _always_jumps(last.orelse)


def _guarded(body: list[ast.stmt], flags: Iterable[str], model: ast.stmt) -> ast.stmt:
    """Return what is to run only if no flag is set."""
    return like(ast.If(flag_check(sorted(flags), model), body, []), model)


def _set(name: str, value: bool, model: ast.AST) -> ast.stmt:
    return like(ast.Assign([ast.Name(name, ast.Store())], ast.Constant(value)), model)
