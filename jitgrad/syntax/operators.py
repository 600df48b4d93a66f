"""What rewritten functions call, under one name: this module is in a closure cell of each."""

from __future__ import annotations

import builtins

from jitgrad.syntax.booleans import and_, chain, choose, go_on, not_, or_
from jitgrad.syntax.branches import if_
from jitgrad.syntax.builtin_functions import bool_, float_, int_, max_, min_
from jitgrad.syntax.calls import callee, replace_when_called
from jitgrad.syntax.courses import enumerate_, range_, reversed_, zip_
from jitgrad.syntax.loops import for_, while_
from jitgrad.syntax.updates import augment, item

__all__ = [
    "and_", "augment", "callee", "chain", "choose", "for_", "go_on", "if_", "item", "not_", "or_",
    "slice", "while_",
]  # fmt: skip

slice = builtins.slice

for _name, _ours in {
    "range": range_, "enumerate": enumerate_, "zip": zip_, "reversed": reversed_,
    "int": int_, "float": float_, "bool": bool_, "max": max_, "min": min_,
}.items():  # fmt: skip
    replace_when_called(getattr(builtins, _name), _ours)
