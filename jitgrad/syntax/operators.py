"""What rewritten functions call, under one name: this module is in a closure cell of each."""

from __future__ import annotations

from jitgrad.syntax.calls import callee

__all__ = ["callee"]
