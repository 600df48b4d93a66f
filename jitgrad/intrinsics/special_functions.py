"""SciPy's special functions for the Python twins, loaded with the first that is used.

Loading them takes longer than loading all of jitgrad, and kernels never call them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class _Special:
    def __getattr__(self, name: str) -> Callable[..., Any]:
        from scipy import special as loaded

        function: Callable[..., Any] = getattr(loaded, name)
        setattr(self, name, function)
        return function


special = _Special()
