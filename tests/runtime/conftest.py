"""A disk cache of its own for each test, and other processes that share it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jitgrad.runtime import build, disk_cache

_ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "cache"
    monkeypatch.setenv("JITGRAD_CACHE_DIR", str(directory))
    monkeypatch.delenv("JITGRAD_DISK_CACHE", raising=False)
    monkeypatch.delenv("JITGRAD_CACHE_MB", raising=False)
    monkeypatch.setattr(disk_cache, "_already_warned", set())
    build.clear_cache(disk=False)
    return directory


@pytest.fixture
def start_python() -> Callable[..., subprocess.Popen[str]]:
    def start(script: str, **environment: str) -> subprocess.Popen[str]:
        # a warning ends the child, which the test then sees
        return subprocess.Popen(
            [sys.executable, "-W", "error::UserWarning", "-c", script],
            cwd=_ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def run_python(start_python: Callable[..., subprocess.Popen[str]]) -> Callable[..., str]:
    def run(script: str, **environment: str) -> str:
        process = start_python(script, **environment)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        return output

    return run
