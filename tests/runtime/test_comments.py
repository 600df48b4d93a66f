"""Comments in generated source name the user's lines; moving those must not cost a compile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


SCRIPT = """
import sys
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from jitgrad.runtime.build import ArgumentType, build_kernel, build_statistics
kernel = build_kernel(sys.argv[1], "kernel", (ArgumentType(np.dtype(np.float64), 1),))
x = np.array([2.0])
kernel.call(x)
assert x[0] == 5.0
print(build_statistics().compiled, build_statistics().loaded_from_disk)
"""


def test_another_process_finds_machine_code_though_comments_have_moved(tmp_path: Path) -> None:
    environment = {**os.environ, "JITGRAD_CACHE_DIR": str(tmp_path / "cache")}

    def counts(line: int) -> str:
        command = [sys.executable, "-W", "error", "-c", SCRIPT, SOURCE.format(line=line)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert counts(1) == "1 0"
    assert counts(2) == "0 1"
