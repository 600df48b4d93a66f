"""What rewritten functions call, under one name: this module is in a closure cell of each."""

from __future__ import annotations

import builtins

from jitgrad.syntax.booleans import and_, chain, choose, go_on, not_, or_
from jitgrad.syntax.branches import if_
from jitgrad.syntax.calls import callee, replace_when_called
from jitgrad.syntax.courses import enumerate_, range_, reversed_, zip_
from jitgrad.syntax.loops import for_, while_

__all__ = [
    "and_", "callee", "chain", "choose", "for_", "go_on", "if_", "not_", "or_", "while_",
]  # fmt: skip

replace_when_called(builtins.range, range_)
replace_when_called(builtins.enumerate, enumerate_)
replace_when_called(builtins.zip, zip_)
replace_when_called(builtins.reversed, reversed_)
