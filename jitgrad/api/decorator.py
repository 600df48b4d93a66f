"""`compile`, as users call it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, overload

from jitgrad.api.compile import MODES, RETRACE_LIMIT, CompiledFunction
from jitgrad.api.donation import Donated, DonatingFunction
from jitgrad.control.loop import memory_limit
from jitgrad.core.errors import ArgumentError

F = TypeVar("F", bound=Callable[..., Any])


@overload
def compile(
    function: F,
    *,
    retrace_limit: int = ...,
    mode: str = ...,
    donate: Donated = ...,
    checkpoint: str | None = ...,
    memory: int | None = ...,
) -> F: ...
@overload
def compile(
    function: None = None,
    *,
    retrace_limit: int = ...,
    mode: str = ...,
    donate: Donated = ...,
    checkpoint: str | None = ...,
    memory: int | None = ...,
) -> Callable[[F], F]: ...
def compile(
    function: Any = None,
    *,
    retrace_limit: int = RETRACE_LIMIT,
    mode: str = "immediate",
    donate: Donated = (),
    checkpoint: str | None = None,
    memory: int | None = None,
) -> Any:
    """Return `function` as one that is traced at its first call and then runs compiled.

    Parameters
    ----------
    function : callable
        Takes and returns Tensors, arrays, numbers, and nested tuples, lists, dicts, named tuples
        and dataclasses of them. Any callable: a function, method, lambda, ``functools.partial``.
    retrace_limit : int
        How often it may be traced anew for one kind of arguments before it is left to plain
        Python, with one warning.
    mode : {"immediate", "background"}
        Whether the first call waits for the compiler. In the background kernels are built by a
        thread; until they are there, calls run on the interpreter, which gives the same results
        but for rounding.
    donate : str, int, or several of these
        Arguments, by name or number, that the caller needs no more: results of their shapes and
        dtypes are made in their memory where that can be done. A Tensor among them can't be used
        after the call; an array has whatever the function left there.
    checkpoint : {None, "auto"}
        Whether what a gradient needs of the iterations of each loop is kept within `memory`; what
        does not fit is computed again on the way back. None keeps all of it, and so do loops that
        end by a condition.
    memory : int, optional
        So many bytes may be kept of a loop; 256 MB where `checkpoint` is given alone.

    Returns
    -------
    CompiledFunction
        Gives what the plain function would; what it returns can be differentiated as usual.

    Raises
    ------
    ArgumentError
        If `function` is not callable, the mode is another one, `donate` names no argument of
        the function, or `checkpoint` and `memory` say nothing; at a call, if a donated argument
        shares memory with another one.

    Notes
    -----
    A call takes ``out=``, arrays or Tensors that results are computed into, in the structure of the
    result, with None for those that are made anew; where the function has such a parameter itself,
    it is the function's.

    Python floats, arrays and Tensors are inputs of the compiled program; ints, strings and the
    like are part of it. NumPy arrays among the arguments keep NumPy's meaning: what operators and
    NumPy's functions make of them comes back as arrays, what jitgrad's make of them as Tensors.
    ``print`` prints when the function is traced. A function that changes something besides arrays
    (a counter, a list), or that depends on the time or on Python's random numbers, is left to
    plain Python, with one warning.

    Examples
    --------
    >>> import jitgrad
    >>> @jitgrad.compile
    ... def loss(w, x):
    ...     return (w * x).sum()
    """
    if mode not in MODES:
        raise ArgumentError(f"compile: mode {mode!r} is none of {', '.join(MODES)}")
    limit = memory_limit("compile", checkpoint, memory)
    if function is None:
        return functools.partial(
            compile, retrace_limit=retrace_limit, mode=mode, donate=donate,
            checkpoint=checkpoint, memory=memory,
        )  # fmt: skip
    if not callable(function):
        raise ArgumentError(f"compile: {type(function).__name__} is not callable")
    if isinstance(function, CompiledFunction):
        return function
    if donate != ():
        return DonatingFunction(function, donate, retrace_limit, mode, limit)
    return CompiledFunction(function, retrace_limit, mode, limit)
