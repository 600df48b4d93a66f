"""Comments in generated source name the user's lines; moving those must not cost a compile."""

from __future__ import annotations

import numpy as np

from jitgrad.runtime.build import ArgumentType, build_kernel, build_statistics

SOURCE = """# moved (a.py:{line})
def kernel(x):
    # a.py:{line}  y = x * 2.5
    x[0] = x[0] * 2.5
"""


def test_source_that_differs_in_comments_shares_machine_code() -> None:
    types = (ArgumentType(np.dtype(np.float64), 1),)
    first = build_kernel(SOURCE.format(line=1), "kernel", types)
    before = build_statistics().compiled
    second = build_kernel(SOURCE.format(line=2), "kernel", types)
    assert build_statistics().compiled == before
    assert second.unchecked is first.unchecked
    assert "a.py:2" in second.path.read_text()
    assert "a.py:1" in first.path.read_text()
    x = np.array([2.0])
    second.call(x)
    assert x[0] == 5.0
