"""Keeps compiled kernels, and the sources they came from, on disk between processes.

An entry is a file named by a hash of everything its machine code depends on. It is unpickled only
if its file and its directory belong to this user and nobody else can write to them.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib.metadata
import importlib.resources
import json
import os
import pickle
import platform
import shutil
import stat
import struct
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from jitgrad.core.errors import JitgradWarning

_MAGIC = b"jitgrad\n"
_FORMAT_VERSION = 2
# magic, format version, key, length of the payload, SHA-256 of the payload
_HEADER = struct.Struct("<8sI32sQ32s")

_STORES_PER_EVICTION = 64
_DEFAULT_LIMIT_MB = 512.0
# after an eviction there is room, so that the next stores need none
_KEPT_FRACTION = 0.8

# settings of Numba that change the code it makes
_NUMBA_SETTINGS = (
    "NUMBA_BOUNDSCHECK",
    "NUMBA_DEBUGINFO",
    "NUMBA_ENABLE_AVX",
    "NUMBA_DISABLE_INTEL_SVML",
    "NUMBA_LLVM_REFPRUNE_PASS",
    "NUMBA_LOOP_VECTORIZE",
    "NUMBA_OPT",
    "NUMBA_SLP_VECTORIZE",
)
# What the files of these rooms say becomes part of machine code.
_CODE = {
    "jitgrad.intrinsics": "",
    "jitgrad.runtime": (
        "built_in.py frames.py function_text.py machine_code.py panels.py translate.py "
        "translate_arrays.py translate_expressions.py translate_parts.py translated_values.py "
        "words.py"
    ),
}

T = TypeVar("T")

_already_warned: set[str] = set()
_stores = 0
_temporary_sources: Path | None = None


class CacheWarning(JitgradWarning):
    """The disk cache, or an entry of it, is not used."""


class _UnusableEntryError(Exception):
    """An entry that is damaged, of another origin, or not safe to read."""


def cache_directory() -> Path | None:
    """Return the directory of the disk cache, made if it was not there.

    It is ``JITGRAD_CACHE_DIR`` or a folder in the user's cache folder, and is looked up at every
    call, so that a change of the environment takes effect.

    Returns
    -------
    Path or None
        None if ``JITGRAD_DISK_CACHE`` is 0; and, with a warning, if the directory can't be made or
        others can write to it.
    """
    if os.environ.get("JITGRAD_DISK_CACHE", "").strip() == "0":
        return None
    try:
        # links resolved: what is checked must be what is used
        root = Path(os.environ.get("JITGRAD_CACHE_DIR") or _user_cache_directory()).resolve()
        for directory in (root, root / "sources", root / "kernels"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            unsafe = _why_unsafe(directory.stat())
            if unsafe:
                _warn_once(
                    f"disk cache not used: {directory} {unsafe}, and what is read from it is "
                    "executed; make it private, or set JITGRAD_CACHE_DIR to a directory that is"
                )
                return None
    except (OSError, RuntimeError) as error:
        _warn_once(
            f"disk cache not used: {error}; set JITGRAD_CACHE_DIR to a directory that can be "
            "written, or JITGRAD_DISK_CACHE=0"
        )
        return None
    return root


def write_source(name: str, text: str) -> Path:
    """Write generated source to a file, unless it is there already.

    Parameters
    ----------
    name : str
        Name of the file without directory, made from a hash of `text`.
    text : str
        The source.

    Returns
    -------
    Path
        Of the file: in the cache directory, or where that can't be used in a temporary directory
        that goes when the process ends.
    """
    root = cache_directory()
    if root is not None:
        try:
            return _write_once(root / "sources" / name, text)
        except OSError as error:
            _warn_once(f"disk cache not used for sources: {error}")
    return _write_once(_temporary_directory() / name, text)


def entry_key(source: str, entry: str, signature: str, options: str, machine: Any) -> str:
    """Return the hash of everything that the machine code of a kernel depends on.

    Parameters
    ----------
    source, entry : str
        The text of the kernel and the name of its function.
    signature : str
        Its argument types.
    options : str
        What Numba is told about how to compile it.
    machine : object
        Numba's description of the target: triple, CPU name and CPU features.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return _hash([source, entry, signature, options, repr(machine), *_environment()]).hex()


def load(key: str, use: Callable[[Any], T]) -> T | None:
    """Return what becomes of the content of an entry.

    Parameters
    ----------
    key : str
        As `entry_key` makes it.
    use : callable
        Makes functions of this process of what `store` was given.

    Returns
    -------
    object or None
        What `use` returns; None if there is no such entry. One that is damaged or not ours, or
        that `use` can't use, counts as none, with a warning.
    """
    root = cache_directory()
    if root is None:
        return None
    path = _entry_path(root, key)
    try:
        payload = _read_entry(path, key)
        # pickle can fail with any exception on an entry of another version of some library
        used = use(pickle.loads(payload))
    except FileNotFoundError:
        return None
    except Exception as error:
        _warn_once(f"disk cache: {path} is ignored and made anew: {error}")
        return None
    _mark_used(path)
    return used


def store(key: str, content: Any) -> None:
    """Keep machine code.

    Parameters
    ----------
    key : str
        As `entry_key` makes it.
    content : object
        What a later process makes functions of; can be pickled.
    """
    global _stores
    root = cache_directory()
    if root is None:
        return
    try:
        payload = pickle.dumps(content)
        digest = hashlib.sha256(payload).digest()
        header = _HEADER.pack(_MAGIC, _FORMAT_VERSION, bytes.fromhex(key), len(payload), digest)
        _write_atomically(_entry_path(root, key), header + payload)
    except OSError as error:  # a full or read-only disk
        _warn_once(f"disk cache: compiled kernels are not kept: {error}")
        return
    # reading a whole directory is too slow for each store, and one store adds little
    if _stores % _STORES_PER_EVICTION == 0:
        evict(root, _limit_in_bytes())
    _stores += 1


def evict(root: Path, limit: int) -> None:
    """Delete what was not used for longest until the cache is well below its limit.

    Parameters
    ----------
    root : Path
        The cache directory.
    limit : int
        Size that starts a deletion, in bytes.
    """
    files = []
    for path in _files(root):
        try:
            status = path.stat()
        except OSError:  # another process was faster
            continue
        files.append((status.st_mtime_ns, status.st_size, path))
    total = sum(size for _, size, _ in files)
    if total <= limit:
        return
    for _, size, path in sorted(files):
        if total <= _KEPT_FRACTION * limit:
            return
        _delete(path)
        total -= size


def clear() -> None:
    """Delete every entry and every source."""
    root = cache_directory()
    for path in _files(root) if root is not None else ():
        _delete(path)


def _user_cache_directory() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "jitgrad"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "jitgrad"
    configured = os.environ.get("XDG_CACHE_HOME", "")
    # the XDG specification says that a relative path is to be ignored
    return (Path(configured) if os.path.isabs(configured) else Path.home() / ".cache") / "jitgrad"


def _why_unsafe(status: os.stat_result) -> str:
    """Return why others could have written a file or directory, or ``""`` if they could not."""
    if not hasattr(os, "geteuid"):  # Windows: the user's folder is private by inheritance
        return ""
    if status.st_uid != os.geteuid():
        return f"belongs to another user (uid {status.st_uid})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by other users (mode {stat.S_IMODE(status.st_mode):04o})"
    return ""


def _entry_path(root: Path, key: str) -> Path:
    return root / "kernels" / f"{key}.kernel"


def _read_entry(path: Path, key: str) -> bytes:
    content = _read_private(path)
    if len(content) < _HEADER.size:
        raise _UnusableEntryError("it is cut short")
    magic, version, stored_key, length, digest = _HEADER.unpack_from(content)
    if magic != _MAGIC or version != _FORMAT_VERSION or stored_key.hex() != key:
        raise _UnusableEntryError("it is not the entry that its name says")
    payload = content[_HEADER.size :]
    if len(payload) != length:
        raise _UnusableEntryError("it is cut short" if len(payload) < length else "it is too long")
    if hashlib.sha256(payload).digest() != digest:
        raise _UnusableEntryError("its checksum is wrong")
    return payload


def _read_private(path: Path) -> bytes:
    if not hasattr(os, "geteuid"):
        return path.read_bytes()
    # by descriptors: what was checked can't be exchanged before it is read
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        unsafe = _why_unsafe(os.fstat(directory))
        if unsafe:
            raise _UnusableEntryError(f"its directory {unsafe}")
        descriptor = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
    finally:
        os.close(directory)
    with open(descriptor, "rb") as file:
        unsafe = _why_unsafe(os.fstat(descriptor))
        if unsafe:
            raise _UnusableEntryError(f"it {unsafe}")
        return file.read()


def _mark_used(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:
        return  # of a cache that can't be written nothing is evicted either


def _write_once(path: Path, text: str) -> Path:
    content = text.encode()
    try:
        if path.read_bytes() == content:
            _mark_used(path)
            return path
    except FileNotFoundError:
        pass
    _write_atomically(path, content)
    return path


def _write_atomically(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        _delete(Path(temporary))
        raise


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:  # Windows keeps files that are open
        _warn_once(f"disk cache: {error}")


def _files(root: Path) -> list[Path]:
    suffixes = (".kernel", ".py", ".tmp")  # a process that was killed leaves its temporary files
    return [
        path
        for folder in ("kernels", "sources")
        for path in (root / folder).iterdir()
        if path.suffix in suffixes
    ]


def _limit_in_bytes() -> int:
    configured = os.environ.get("JITGRAD_CACHE_MB") or str(_DEFAULT_LIMIT_MB)
    try:
        return int(float(configured) * 2**20)
    except (ValueError, OverflowError):
        _warn_once(f"JITGRAD_CACHE_MB={configured} is no number: {_DEFAULT_LIMIT_MB:.0f} is used")
        return int(_DEFAULT_LIMIT_MB * 2**20)


def _temporary_directory() -> Path:
    global _temporary_sources
    # a forked child loses it when its parent ends
    if _temporary_sources is None or not _temporary_sources.is_dir():
        _temporary_sources = Path(tempfile.mkdtemp(prefix="jitgrad_"))
        atexit.register(_remove_temporary_directory, _temporary_sources, os.getpid())
    return _temporary_sources


def _remove_temporary_directory(directory: Path, owner: int) -> None:
    if os.getpid() == owner:  # forked children run the exit handlers of their parent
        shutil.rmtree(directory, ignore_errors=True)


@functools.cache
def _environment() -> tuple[str, ...]:
    import numpy as np

    return (
        str(_FORMAT_VERSION),
        str(getattr(sys.modules.get("jitgrad"), "__version__", "")),
        _hash_of_code(),
        sys.version,
        # not from the modules: code on disk is to run without loading Numba
        importlib.metadata.version("numba"),
        importlib.metadata.version("llvmlite"),
        np.__version__,
        sys.platform,
        platform.machine(),
        str(struct.calcsize("P")),
        *(f"{name}={os.environ.get(name)}" for name in _NUMBA_SETTINGS),
    )


def _hash_of_code() -> str:
    """Return the hash of the files that say what machine code kernels become."""
    digest = hashlib.sha256()
    for room, names in _CODE.items():
        files = [f for f in importlib.resources.files(room).iterdir() if f.name.endswith(".py")]
        for file in sorted(files, key=lambda file: file.name):
            if not names or file.name in names.split():
                digest.update(f"{file.name}\n".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def _hash(parts: list[str]) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def _warn_once(message: str) -> None:
    if message not in _already_warned:
        _already_warned.add(message)
        warnings.warn(message, CacheWarning, stacklevel=3)
