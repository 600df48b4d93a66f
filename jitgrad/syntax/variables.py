"""The variables of a function that a loop or branch assigns, read and written from outside."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from typing import Any


class _Unset:
    """Stands for the content of a variable that has none."""

    def __repr__(self) -> str:
        return "<unset>"


UNSET = _Unset()


class Variables:
    """Variables of the function that is running, as the functions inside it share them.

    Parameters
    ----------
    parts : iterable of function
        What a construct was divided into.
    names : iterable of str
        Variables that these assign.
    """

    def __init__(self, parts: Iterable[Callable[..., Any]], names: Iterable[str]) -> None:
        cells: dict[str, types.CellType] = {}
        for part in parts:
            function: Any = part
            names_of_cells = function.__code__.co_freevars
            cells.update(zip(names_of_cells, function.__closure__ or (), strict=True))
        self._cells = {name: cells[name] for name in names}

    def __getitem__(self, name: str) -> Any:
        try:
            return self._cells[name].cell_contents
        except ValueError:
            return UNSET

    def __setitem__(self, name: str, value: Any) -> None:
        cell = self._cells[name]
        if value is not UNSET:
            cell.cell_contents = value
        elif self[name] is not UNSET:
            del cell.cell_contents

    def all(self) -> dict[str, Any]:
        """Return the content of every variable."""
        return {name: self[name] for name in self._cells}

    def restore(self, contents: dict[str, Any]) -> None:
        """Give variables the contents that they had."""
        for name, value in contents.items():
            self[name] = value
