from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from jitgrad.runtime import disk_cache, panels
from jitgrad.runtime.build import ArgumentType, Kernel, build_kernel, build_statistics, clear_cache
from jitgrad.runtime.disk_cache import CacheWarning, cache_directory, entry_key, evict
from jitgrad.runtime.machine_code import MachineCode, machine

SOURCE = "# doubled (train.py:1)\ndef kernel(x):\n    return 2.0 * x\n"
NUMBER = ArgumentType(np.dtype("float64"), is_scalar=True)
UNKNOWN = MachineCode(b"", ("no_such_symbol",), ())
SCRIPT = f"""
import dataclasses, json
import numpy as np
from jitgrad.runtime.build import ArgumentType, build_kernel, build_statistics

doubled = build_kernel({SOURCE!r}, "kernel", (ArgumentType(np.dtype("float64"), is_scalar=True),))
assert doubled.call(4) == 8.0

source = '''
from jitgrad.intrinsics.blas import gemm
from jitgrad.intrinsics.exponential import exp


def kernel(a, b, out):
    gemm(a, b, out, False, False, False)
    for i in range(out.shape[0]):
        out[i, i] = exp(out[i, i])
'''
matrix = ArgumentType(np.dtype("float64"), 2)
product = build_kernel(source, "kernel", (matrix, matrix, matrix))
out = np.empty((2, 2))
product.call(np.eye(2), np.full((2, 2), 1.0), out)
assert np.allclose(out, [[np.e, 1], [1, np.e]])
print(json.dumps(dataclasses.asdict(build_statistics())))
"""


def build_doubled() -> Kernel:
    kernel = build_kernel(SOURCE, "kernel", (NUMBER,))
    assert kernel.call(3.0) == 6.0
    return kernel


def build_again() -> Kernel:
    clear_cache(disk=False)
    return build_doubled()


def only_entry(cache: Path) -> Path:
    (entry,) = (cache / "kernels").iterdir()
    return entry


def with_payload(entry: Path, payload: bytes) -> bytes:
    digest = hashlib.sha256(payload).digest()
    key = bytes.fromhex(entry.stem)
    return disk_cache._HEADER.pack(b"jitgrad\n", 2, key, len(payload), digest) + payload


def test_kernel_comes_from_disk_the_second_time() -> None:
    assert build_doubled().origin == "compiled"
    before = build_statistics()
    assert build_again().origin == "disk"
    after = build_statistics()
    assert after.loaded_from_disk == before.loaded_from_disk + 1
    assert after.compiled == before.compiled


def test_second_process_compiles_nothing(run_python: Callable[..., str]) -> None:
    first, second = (json.loads(run_python(SCRIPT)) for _ in range(2))
    assert (first["compiled"], first["loaded_from_disk"]) == (2, 0)
    assert (second["compiled"], second["loaded_from_disk"]) == (0, 2)


def test_processes_that_build_at_once_share_the_cache(
    cache: Path,
    start_python: Callable[..., subprocess.Popen[str]],
    run_python: Callable[..., str],
) -> None:
    processes = [start_python(SCRIPT) for _ in range(4)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    # Besides the kernels, what multiplies matrices is kept where it is not BLAS.
    shared = 1 if panels.addresses(machine()) else 0
    assert len(list((cache / "kernels").iterdir())) == 2 + shared
    assert len(list((cache / "sources").iterdir())) == 2
    assert json.loads(run_python(SCRIPT))["loaded_from_disk"] == 2


def test_code_for_another_cpu_is_compiled_anew(run_python: Callable[..., str]) -> None:
    run_python(SCRIPT)
    counts = json.loads(run_python(SCRIPT, NUMBA_CPU_NAME="generic"))
    assert counts["compiled"] == 2


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        pytest.param(lambda entry, content: b"", "it is cut short", id="empty"),
        pytest.param(lambda entry, content: content[:-1], "it is cut short", id="truncated"),
        pytest.param(lambda entry, content: content + b"x", "it is too long", id="longer"),
        pytest.param(
            lambda entry, content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
            "its checksum is wrong",
            id="flipped bit",
        ),
        pytest.param(
            lambda entry, content: b"another " + content[8:],
            "it is not the entry that its name says",
            id="foreign",
        ),
        pytest.param(
            lambda entry, content: content[:12] + bytes(32) + content[44:],
            "it is not the entry that its name says",
            id="of another key",
        ),
        pytest.param(
            lambda entry, content: with_payload(entry, b"no pickle"),
            "invalid load key, 'n'.",
            id="no pickle",
        ),
        pytest.param(
            lambda entry, content: with_payload(entry, pickle.dumps(UNKNOWN)),
            "it needs no_such_symbol, which this process does not have",
            id="missing symbol",
        ),
    ],
)
def test_damaged_entry_is_made_anew_with_one_warning(
    cache: Path, damaged: Callable[[Path, bytes], bytes], reason: str
) -> None:
    build_doubled()
    entry = only_entry(cache)
    entry.write_bytes(damaged(entry, entry.read_bytes()))
    with pytest.warns(CacheWarning) as caught:
        assert build_again().origin == "compiled"
    assert [str(warning.message) for warning in caught] == [
        f"disk cache: {entry} is ignored and made anew: {reason}"
    ]
    assert build_again().origin == "disk"


posix_only = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no permission bits on Windows")


@posix_only
@pytest.mark.parametrize("folder", ["", "kernels", "sources"])
@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_directory_that_others_can_write_to_is_refused(cache: Path, folder: str, mode: int) -> None:
    build_doubled()
    (cache / folder).chmod(mode)
    with pytest.warns(CacheWarning) as caught:
        kernels = [build_again(), build_again()]
    assert [kernel.origin for kernel in kernels] == ["compiled", "compiled"]
    assert cache not in kernels[0].path.parents
    assert [str(warning.message) for warning in caught] == [
        f"disk cache not used: {cache / folder} can be written by other users (mode {mode:04o}), "
        "and what is read from it is executed; make it private, or set JITGRAD_CACHE_DIR to a "
        "directory that is"
    ]


@posix_only
def test_link_to_a_directory_that_others_can_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "shared")
    monkeypatch.setenv("JITGRAD_CACHE_DIR", str(tmp_path / "link"))
    with pytest.warns(CacheWarning, match="can be written by other users"):
        assert cache_directory() is None


@posix_only
def test_directory_of_another_user_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_doubled()
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with pytest.warns(CacheWarning, match=f"belongs to another user \\(uid {user}\\)"):
        assert build_again().origin == "compiled"


@posix_only
def test_entry_that_others_can_write_to_is_made_anew(cache: Path) -> None:
    build_doubled()
    only_entry(cache).chmod(0o622)
    with pytest.warns(CacheWarning, match="it can be written by other users"):
        assert build_again().origin == "compiled"
    assert only_entry(cache).stat().st_mode & 0o777 == 0o600
    assert build_again().origin == "disk"


@posix_only
def test_entry_that_is_a_link_is_made_anew(cache: Path, tmp_path: Path) -> None:
    build_doubled()
    entry = only_entry(cache)
    entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(CacheWarning, match="is ignored and made anew"):
        assert build_again().origin == "compiled"
    assert not entry.is_symlink()


@posix_only
def test_cache_is_made_private(cache: Path) -> None:
    build_doubled()
    for directory in (cache, cache / "kernels", cache / "sources"):
        assert directory.stat().st_mode & 0o777 == 0o700


def test_directory_that_can_not_be_made_is_warned_about_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("JITGRAD_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.warns(CacheWarning, match="disk cache not used: ") as caught:
        first, second = build_doubled(), build_again()
    assert len(caught) == 1
    assert (first.origin, second.origin) == ("compiled", "compiled")
    assert first.path.read_text() == SOURCE


def test_cache_on_a_read_only_disk_is_still_read(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_doubled()

    def refuse(*arguments: Any, **keywords: Any) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(disk_cache, "_write_atomically", refuse)
    assert build_again().origin == "disk"
    clear_cache(disk=False)
    only_entry(cache).unlink()
    with pytest.warns(CacheWarning, match="compiled kernels are not kept: .*Read-only") as caught:
        kernels = [build_doubled(), build_again()]
    assert [kernel.origin for kernel in kernels] == ["compiled", "compiled"]
    assert len(caught) == 1


def test_disk_cache_can_be_switched_off(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JITGRAD_DISK_CACHE", "0")
    kernel = build_doubled()
    assert build_again().origin == "compiled"
    assert kernel.path.read_text() == SOURCE
    assert not cache.exists()


def test_temporary_sources_go_with_the_process(run_python: Callable[..., str]) -> None:
    script = f"""
from jitgrad.runtime.build import ArgumentType, build_kernel
kernel = build_kernel({SOURCE!r}, "kernel", (ArgumentType("float64", is_scalar=True),))
print(kernel.path, kernel.path.exists())
"""
    path, existed = run_python(script, JITGRAD_DISK_CACHE="0").split()
    assert existed == "True"
    assert not Path(path).parent.exists()


def test_change_of_the_environment_is_seen(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_directory() == cache
    monkeypatch.setenv("JITGRAD_CACHE_DIR", str(tmp_path / "other"))
    assert cache_directory() == tmp_path / "other"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="XDG folders are Linux's")
def test_default_directory_is_in_the_cache_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JITGRAD_CACHE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_directory() == tmp_path / "xdg" / "jitgrad"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_directory() == tmp_path / ".cache" / "jitgrad"


def test_what_was_not_used_for_longest_is_evicted(cache: Path) -> None:
    assert cache_directory() == cache
    for age in range(10):
        path = cache / "kernels" / f"{age}.kernel"
        path.write_bytes(bytes(100))
        os.utime(path, (1000 - age, 1000 - age))
    evict(cache, 1000)
    assert len(list((cache / "kernels").iterdir())) == 10
    evict(cache, 999)
    remaining = sorted(path.stem for path in (cache / "kernels").iterdir())
    assert remaining == ["0", "1", "2", "3", "4", "5", "6"]


def test_loading_an_entry_counts_as_use(cache: Path) -> None:
    path = build_doubled().path
    for file in (only_entry(cache), path):
        os.utime(file, (1000, 1000))
    assert build_again().origin == "disk"
    for file in (only_entry(cache), path):
        assert file.stat().st_mtime > 1000


def test_limit_comes_from_the_environment(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JITGRAD_CACHE_MB", "0.001")
    monkeypatch.setattr(disk_cache, "_stores", 0)
    build_doubled()
    assert list((cache / "kernels").iterdir()) == []


def test_limit_that_is_no_number_is_warned_about(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JITGRAD_CACHE_MB", "lots")
    monkeypatch.setattr(disk_cache, "_stores", 0)
    with pytest.warns(CacheWarning, match="JITGRAD_CACHE_MB=lots is no number: 512 is used"):
        build_doubled()


def test_key_depends_on_everything_that_code_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {"source": "s", "entry": "e", "signature": "t", "options": "o", "machine": "m"}
    keys = {entry_key(**parts)} | {entry_key(**{**parts, name: "x"}) for name in parts}
    assert len(keys) == 6
    environment = disk_cache._environment()
    for index in range(len(environment)):
        changed = (*environment[:index], "x", *environment[index + 1 :])
        monkeypatch.setattr(disk_cache, "_environment", lambda changed=changed: changed)
        keys.add(entry_key(**parts))
    assert len(keys) == 6 + len(environment)


def test_warning_made_an_error_is_not_hidden_by_the_build(cache: Path) -> None:
    build_doubled()
    only_entry(cache).write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CacheWarning):
            build_again()
