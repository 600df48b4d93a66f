from __future__ import annotations

import inspect
import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jitgrad.core.errors import ArgumentError
from jitgrad.runtime.build import (
    ArgumentType,
    Kernel,
    KernelBuildError,
    build_kernel,
    build_statistics,
    clear_cache,
)

SCALED = """\
# scaled_sum (train.py:3), x: f64[], factor: f64
def kernel(x, factor, out):
    total = 0.0
    for i in range(x.shape[0]):
        # train.py:4  return (factor * x).sum()
        total += factor * x[i]
    out[()] = total
    return total
"""
F64 = np.dtype("float64")
VECTOR = ArgumentType(F64, 1, mutable=False)
NUMBER = ArgumentType(F64, is_scalar=True)
CELL = ArgumentType(F64, 0)


def build_scaled() -> Kernel:
    return build_kernel(SCALED, "kernel", (VECTOR, NUMBER, CELL))


def test_kernel_equals_its_own_plain_python() -> None:
    kernel = build_scaled()
    x, compiled, plain = np.arange(5.0), np.empty(()), np.empty(())
    assert kernel.call(x, 3.0, compiled) == kernel.python(x, 3.0, plain) == 30.0
    assert compiled == plain == 30.0
    assert kernel(x, 2, compiled) == 20.0
    assert kernel.unchecked(x, 1.0, compiled) == 10.0


def test_same_text_gives_the_same_kernel() -> None:
    kernel = build_scaled()
    before = build_statistics()
    assert build_kernel(SCALED[:10] + SCALED[10:], "kernel", (VECTOR, NUMBER, CELL)) is kernel
    after = build_statistics()
    assert after.memory_hits == before.memory_hits + 1
    assert after.compiled == before.compiled
    assert after.seconds == before.seconds


def test_same_text_with_other_types_is_another_kernel_of_the_same_module() -> None:
    wide = build_scaled()
    f32 = np.dtype("float32")
    narrow = build_kernel(
        SCALED,
        "kernel",
        (ArgumentType(f32, 1), ArgumentType(f32, is_scalar=True), ArgumentType(f32, 0)),
    )
    assert narrow.python is wide.python
    out = np.empty((), f32)
    assert narrow(np.ones(3, f32), np.float32(2), out) == 6.0


def test_build_is_counted() -> None:
    before = build_statistics()
    kernel = build_scaled()
    after = build_statistics()
    assert kernel.origin == "compiled"
    assert after.compiled == before.compiled + 1
    assert after.seconds == before.seconds + kernel.seconds


def test_source_is_a_real_file_named_by_its_comment(cache: Path) -> None:
    kernel = build_scaled()
    assert kernel.path.parent == cache / "sources"
    assert kernel.path.name.startswith("scaled_sum_")
    assert kernel.path.read_text() == kernel.source == SCALED
    assert kernel.python.__module__.startswith("jitgrad_generated.")
    assert sys.modules[kernel.python.__module__].__file__ == str(kernel.path)
    assert inspect.getsource(kernel.python) == SCALED.split("\n", 1)[1]


def test_source_without_comment_has_a_name() -> None:
    kernel = build_kernel("def f(x):\n    return x + x\n", "f", (NUMBER,))
    assert kernel.path.name.startswith("kernel_")
    assert kernel.call(2.0) == 4.0


def test_source_file_is_written_once() -> None:
    path = build_scaled().path
    before = path.stat()
    clear_cache(disk=False)
    assert build_scaled().path == path
    assert path.stat().st_ino == before.st_ino


def test_changed_source_file_is_written_again_and_never_executed() -> None:
    path = build_scaled().path
    path.write_text("raise SystemExit")
    clear_cache(disk=False)
    assert build_scaled().path.read_text() == SCALED


def test_traceback_of_plain_python_shows_the_source_line() -> None:
    kernel = build_scaled()
    kernel.path.unlink()  # as when another process clears the cache
    with pytest.raises(IndexError) as caught:
        kernel.python(np.float64(1.0), 2.0, np.empty(()))
    shown = "".join(traceback.format_exception(caught.value))
    assert f'File "{kernel.path}", line 4, in kernel' in shown
    assert "for i in range(x.shape[0]):" in shown


def test_kernel_raises_what_its_python_raises() -> None:
    source = "def kernel(n):\n    if n < 0.0:\n        raise ValueError('negative')\n    return n\n"
    compiled = build_kernel(source, "kernel", (NUMBER,))
    clear_cache(disk=False)
    loaded = build_kernel(source, "kernel", (NUMBER,))
    assert (compiled.origin, loaded.origin) == ("compiled", "disk")
    for function in (compiled.call, loaded.call, loaded.unchecked, loaded.python):
        assert function(1.0) == 1.0
        with pytest.raises(ValueError, match="negative"):
            function(-1.0)


def test_module_globals_and_helpers_of_a_kernel_are_its_own() -> None:
    source = "import math\n\nRATE = {}\n\n\ndef kernel(x):\n    return RATE * math.sqrt(x)\n"
    for _ in ("compiled", "from disk"):
        kernels = [build_kernel(source.format(rate), "kernel", (NUMBER,)) for rate in (2.0, 3.0)]
        assert [kernel.call(4.0) for kernel in kernels] == [4.0, 6.0]
        clear_cache(disk=False)


def test_intrinsics_are_compiled_in() -> None:
    source = (
        "from jitgrad.intrinsics.exponential import exp\n\n\ndef kernel(x):\n    return exp(x)\n"
    )
    for _ in ("compiled", "from disk"):
        kernel = build_kernel(source, "kernel", (NUMBER,))
        np.testing.assert_allclose(kernel.call(1.5), np.exp(1.5), rtol=1e-15)
        clear_cache(disk=False)


def test_call_with_other_types_is_an_error() -> None:
    source = "def kernel(x):\n    x[0] = 1.0\n"
    kernel = build_kernel(source, "kernel", (ArgumentType(F64, 1),))
    readonly = np.zeros(3)
    readonly.setflags(write=False)
    for unfit in (readonly, np.zeros((3, 3)), np.zeros(3, np.int32), np.zeros(6)[::2]):
        with pytest.raises(TypeError, match="No matching definition"):
            kernel.call(unfit)


def test_strided_and_fortran_arrays_are_taken_where_the_type_says_so() -> None:
    source = "def kernel(x):\n    return x[1, 0]\n"
    x = np.arange(6.0).reshape(2, 3)
    for layout, array in (("A", x[:, ::2]), ("F", np.asfortranarray(x)), ("C", x)):
        kernel = build_kernel(source, "kernel", (ArgumentType(F64, 2, layout),))
        assert kernel.call(array) == 3.0


def test_argument_types_are_equal_by_value() -> None:
    by_name: Any = "float64"
    assert ArgumentType(by_name, 1) == ArgumentType(F64, 1)
    assert len({ArgumentType(F64, 1), ArgumentType(F64, 1, mutable=False), NUMBER, CELL}) == 4


def test_impossible_argument_types_are_refused() -> None:
    with pytest.raises(ArgumentError, match="layout 'K' is none of C, F, A"):
        ArgumentType(F64, 1, "K")
    with pytest.raises(ArgumentError, match="can't have 1 axes"):
        ArgumentType(F64, 1, is_scalar=True)
    with pytest.raises(ArgumentError, match="can't have -1 axes"):
        ArgumentType(F64, -1)


def test_source_that_numba_does_not_take_is_a_build_error() -> None:
    source = "# loss (train.py:2)\ndef kernel(x):\n    y = x + 1.0\n    return 'a' + y\n"
    with pytest.raises(KernelBuildError) as caught:
        build_kernel(source, "kernel", (NUMBER,))
    error = caught.value
    assert error.path.read_text() == source
    assert error.reason == (
        "line 4: No implementation of function Function(<built-in function add>) found for "
        "signature: add(Literal[str](a), float64)"
    )
    lines = str(error).splitlines()
    assert lines[0] == "kernel: this kernel can't be compiled"
    assert lines[1].startswith("  where: test_build.py:")
    assert lines[2:] == [
        f"  why:   {error.reason}",
        f"  do:    report it with {error.path}; until then run it without compiling",
    ]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def kernel(x:\n", "'(' was never closed"),
        ("from jitgrad import nothing_there\n", "cannot import name 'nothing_there'"),
        ("def other(x):\n    return x\n", "has no attribute 'kernel'"),
    ],
)
def test_source_that_does_not_run_is_a_build_error(source: str, reason: str) -> None:
    for _ in range(2):  # a module that failed does not stay
        with pytest.raises(KernelBuildError) as caught:
            build_kernel(source, "kernel", (NUMBER,))
        assert reason in caught.value.reason


def test_failed_build_is_not_kept(cache: Path) -> None:
    with pytest.raises(KernelBuildError):
        build_kernel("def kernel(x):\n    return unknown(x)\n", "kernel", (NUMBER,))
    assert list((cache / "kernels").iterdir()) == []


def test_threads_that_ask_at_once_get_one_build() -> None:
    before = build_statistics()
    barrier = threading.Barrier(8)
    kernels: list[Kernel] = []

    def ask() -> None:
        barrier.wait()
        kernels.append(build_scaled())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = build_statistics()
    assert len(kernels) == 8
    assert len(set(kernels)) == 1
    assert after.compiled == before.compiled + 1
    assert after.memory_hits == before.memory_hits + 7


def test_clear_cache_forgets_and_deletes(cache: Path) -> None:
    kernel = build_scaled()
    clear_cache()
    assert list((cache / "kernels").iterdir()) == list((cache / "sources").iterdir()) == []
    assert kernel.call(np.ones(2), 1.0, np.empty(())) == 2.0
    again = build_scaled()
    assert again is not kernel
    assert again.origin == "compiled"
    assert again.path.exists()


def test_import_does_not_load_numba(run_python: Callable[..., str]) -> None:
    script = "import sys, jitgrad.runtime.build; print('numba' in sys.modules)"
    assert run_python(script) == "False\n"


def test_without_jit_kernels_are_plain_python(run_python: Callable[..., str]) -> None:
    script = f"""
from jitgrad.runtime.build import build_kernel, ArgumentType
kernel = build_kernel({SCALED!r}, "kernel", (ArgumentType("float64", 1),))
print(kernel.call is kernel.python is kernel.unchecked, kernel.origin)
"""
    assert run_python(script, NUMBA_DISABLE_JIT="1") == "True python\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
def test_forked_child_builds_while_its_parent_was_building(run_python: Callable[..., str]) -> None:
    script = """
import os, threading, warnings
from jitgrad.runtime import build
from jitgrad.runtime.build import ArgumentType, build_kernel

number = ArgumentType("float64", is_scalar=True)
source = "def kernel(x):\\n    return x + {}.0\\n"
begun = threading.Event()
original = build._build

def build_and_tell(*arguments):
    begun.set()
    return original(*arguments)

build._build = build_and_tell
thread = threading.Thread(target=build_kernel, args=(source.format(1), "kernel", (number,)))
thread.start()
begun.wait()
warnings.simplefilter("ignore", DeprecationWarning)  # of forking a process with threads
child = os.fork()
if child == 0:
    kernel = build_kernel(source.format(2), "kernel", (number,))
    os._exit(0 if kernel.call(1.0) == 3.0 else 1)
thread.join()
print(os.waitpid(child, 0)[1], build_kernel(source.format(3), "kernel", (number,)).call(1.0))
"""
    assert run_python(script) == "0 4.0\n"
