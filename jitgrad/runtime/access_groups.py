"""Tells LLVM of which loops the iterations are independent.

Loads and stores of such a loop belong to an access group, which the loop's branch names. Both must
be distinct nodes of metadata, which `llvmlite.ir` can't write: it writes nodes with a number of
their own in text, of which `distinct` makes distinct ones.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

_numbers = itertools.count()
_GROUP = re.compile(r'(?m)^(!\d+) = !\{ !"access group \d+" \}$')
_LOOP = re.compile(r'(?m)^(!\d+) = !\{ !"loop \d+", (![0-9]+) \}$')


def access_group(builder: Any) -> Any:
    """Return a new group of loads and stores."""
    return builder.module.add_metadata([f"access group {next(_numbers)}"])


def note_access(instruction: Any, group: Any) -> None:
    """Note on a load or store that it belongs to a group, if there is one."""
    if group is not None:
        instruction.set_metadata("llvm.access.group", group)


def note_parallel(builder: Any, branch: Any, group: Any) -> None:
    """Note on the branch of a loop that a group has all that it loads and stores."""
    module = builder.module
    accesses = module.add_metadata(["llvm.loop.parallel_accesses", group])
    branch.set_metadata("llvm.loop", module.add_metadata([f"loop {next(_numbers)}", accesses]))


def distinct(text: str) -> str:
    """Return the text of a module with distinct nodes for groups and loops."""
    text = _GROUP.sub(r"\1 = distinct !{}", text)
    return _LOOP.sub(r"\1 = distinct !{\1, \2}", text)
