"""Gradients of Python code on a CPU, compiled.

`Tensor`, `tensor`, `autograd`, `nn` and `optim` have PyTorch's names and semantics; what has
``dim`` and ``keepdim`` as parameters also takes NumPy's ``axis`` and ``keepdims``.
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import Any

from jitgrad.core.dtypes import (
    bool_,
    float32,
    float64,
    get_default_dtype,
    int32,
    int64,
    set_default_dtype,
)
from jitgrad.core.errors import (
    ArgumentError,
    DtypeError,
    FallbackWarning,
    GradientError,
    GraphError,
    IndexingError,
    JitgradError,
    JitgradWarning,
    ShapeError,
    TraceError,
)
from jitgrad.core.public import functions_in as _functions_in
from jitgrad.interop import dlpack as _dlpack  # noqa: F401 - fills the tables
from jitgrad.interop import standard as _standard  # noqa: F401 - fills the tables
from jitgrad.ops import all as _operations  # noqa: F401 - fills the tables
from jitgrad.ops.generators import Generator
from jitgrad.tensor import creation as _creation  # noqa: F401 - fills the tables
from jitgrad.tensor import filling as _filling  # noqa: F401 - fills the tables
from jitgrad.tensor.methods import install_methods as _install_methods
from jitgrad.tensor.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from jitgrad.tensor.tensor import Tensor
from jitgrad.trace import guards as _guards  # noqa: F401 - see below
from jitgrad.trace.operators import install_operators as _install_operators

# Tensors get their methods and this module its functions from the tables filled above. Packages
# with the name of a function come first: importing one later would hide the function.
_install_methods()
_install_operators()
_functions = _functions_in("")
globals().update(_functions)

from jitgrad import autograd, fft, interop, linalg, nn, optim, special, testing  # noqa: E402 - read tables
from jitgrad.api.autodiff import grad, value_and_grad  # noqa: E402
from jitgrad.api.compile import clear_cache  # noqa: E402
from jitgrad.api.custom import custom_jvp, custom_vjp  # noqa: E402
from jitgrad.api.decorator import compile  # noqa: E402
from jitgrad.api.directional import hvp, jvp, linearize, vjp  # noqa: E402
from jitgrad.api.jacobians import hessian, jacfwd, jacrev  # noqa: E402
from jitgrad.api.vmap import vmap  # noqa: E402
from jitgrad.control import user_function as _user_function  # noqa: E402, F401 - records them
from jitgrad.control.branches import checkpoint, cond, switch  # noqa: E402
from jitgrad.control.loops import fori_loop, map, scan, while_loop  # noqa: E402
from jitgrad.diagnostics.nonfinite import first_nonfinite  # noqa: E402
from jitgrad.diagnostics.profile import profile  # noqa: E402
from jitgrad.diagnostics.source import annotated_source  # noqa: E402
from jitgrad.runtime import bodies as _bodies  # noqa: E402, F401 - runs what loops hold
from jitgrad.runtime.threads import get_num_threads, set_num_threads  # noqa: E402

# PyTorch's short names. Like `sum` and others they hide Python's own in this module.
bool, int, float, long, double = bool_, int32, float32, int64, float64

__version__ = "0.1.0"

__all__ = [
    *_functions,
    "ArgumentError",
    "DtypeError",
    "FallbackWarning",
    "Generator",
    "GradientError",
    "GraphError",
    "IndexingError",
    "JitgradError",
    "JitgradWarning",
    "ShapeError",
    "Tensor",
    "TraceError",
    "__version__",
    "annotated_source",
    "autograd",
    "bool",
    "bool_",
    "checkpoint",
    "clear_cache",
    "compile",
    "custom_jvp",
    "custom_vjp",
    "cond",
    "double",
    "enable_grad",
    "fft",
    "first_nonfinite",
    "float",
    "float32",
    "float64",
    "fori_loop",
    "get_default_dtype",
    "get_num_threads",
    "grad",
    "hessian",
    "hvp",
    "inference_mode",
    "int",
    "int32",
    "int64",
    "interop",
    "is_grad_enabled",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "linalg",
    "long",
    "map",
    "nn",
    "no_grad",
    "optim",
    "profile",
    "scan",
    "set_default_dtype",
    "set_grad_enabled",
    "set_num_threads",
    "special",
    "switch",
    "testing",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]


def __getattr__(name: str) -> Any:
    if name == "sparse":
        # Not before it is used: it takes SciPy along.
        return _import_module("jitgrad.sparse")
    # Reached for what does not exist; tells type checkers that names come from the table.
    raise AttributeError(f"module 'jitgrad' has no attribute {name!r}")
