"""Jacobians and Hessians as sparse matrices: only what is not zero is computed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from jitgrad.api.autodiff import grad, leaf_of
from jitgrad.api.coloring import colored
from jitgrad.api.decorator import compile
from jitgrad.api.directional import linearize, vjp
from jitgrad.api.vmap import vmap
from jitgrad.control.bodies import BodyTrace, Traced, subgraph, trace_body
from jitgrad.control.dependence import RULES
from jitgrad.control.draws import take_out_draws
from jitgrad.core.errors import ArgumentError, GradientError, JitgradError
from jitgrad.core.spec import Spec
from jitgrad.core.tree import LEAF
from jitgrad.ir.subgraph import SubGraph
from jitgrad.syntax.calls import callee
from jitgrad.tensor.modes import differentiating, no_grad
from jitgrad.tensor.tensor import Tensor
from jitgrad.trace.user_code import as_traced
from jitgrad.transforms.dependence import Analysis, Known, Pattern, TooDenseError

Array = np.ndarray[Any, Any]
# So many patterns are kept of a function whose indices decide about them.
_MOST_KEPT = 8


def jacobian(function: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """Return a function that gives the Jacobian of `function` as a sparse matrix.

    Which elements may differ from zero is found from the operations of `function`. Columns, or
    rows, that have none of these in common are computed together, as one product with the Jacobian.

    Parameters
    ----------
    function : callable
        Returns one Tensor or array.
    argnums : int
        Which positional argument to differentiate by: one Tensor or array, floating.

    Returns
    -------
    callable
        Takes the arguments of `function`; returns a `scipy.sparse.csr_array` of shape
        ``(value.size, argument.size)``, elements of both counted in row-major order. Pattern and
        groups of columns are kept for calls that have the same pattern.

    Raises
    ------
    ArgumentError
        If there is no argument of such a number, when called.
    DtypeError
        If the argument is not floating, when called.
    GradientError
        If the function returns something else, when called.
    JitgradError
        If so much depends on so much that the matrix would not be sparse, when called.

    References
    ----------
    A. R. Curtis, M. J. D. Powell, J. K. Reid: On the estimation of sparse Jacobian matrices,
    J. Inst. Math. Appl. 13 (1974). A. H. Gebremedhin, F. Manne, A. Pothen: What color is your
    Jacobian?, SIAM Review 47 (2005).

    Examples
    --------
    >>> import jitgrad
    >>> x = jitgrad.tensor([1.0, 2.0, 3.0])
    >>> jitgrad.sparse.jacobian(lambda x: x[1:] * x[:-1])(x).toarray()
    array([[2., 1., 0.],
           [0., 3., 2.]], dtype=float32)
    """
    made = _Jacobian("sparse.jacobian", function, argnums)

    @functools.wraps(function, updated=())
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        return made(args, kwargs)

    return differentiated


def hessian(function: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """Return a function that gives the second derivatives of `function` as a sparse matrix.

    Parameters
    ----------
    function : callable
        Returns one number.
    argnums : int
        Which positional argument to differentiate by: one Tensor or array, floating.

    Returns
    -------
    callable
        Takes the arguments of `function`; returns a `scipy.sparse.csr_array` of shape
        ``(argument.size, argument.size)``, as `jacobian` of the gradient does.

    Raises
    ------
    GradientError
        If `function` does not return one number, when called.

    Examples
    --------
    >>> import jitgrad
    >>> x = jitgrad.tensor([1.0, 2.0, 3.0])
    >>> jitgrad.sparse.hessian(lambda x: (x[1:] * x[:-1]).sum())(x).toarray()
    array([[0., 1., 0.],
           [1., 0., 1.],
           [0., 1., 0.]], dtype=float32)
    """
    made = _Jacobian("sparse.hessian", grad(function, argnums), argnums)

    @functools.wraps(function, updated=())
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        return made(args, kwargs)

    return differentiated


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """What is computed together.

    Parameters
    ----------
    rows, columns : ndarray
        Of the elements that may differ from zero.
    groups : ndarray
        The group of each of these elements.
    seeds : ndarray, shape (number of groups, size of value or argument)
        Ones for what belongs to each group.
    by_columns : bool
        Whether groups are of columns.
    decided_by : dict
        By number of the graph's inputs, the arrays that the pattern depends on.
    shape : tuple of int
        Of the matrix.
    """

    rows: Array
    columns: Array
    groups: Array
    seeds: Array
    by_columns: bool
    decided_by: dict[int, Array]
    shape: tuple[int, int]


class _Jacobian:
    """The sparse Jacobian of a function by one argument."""

    def __init__(self, name: str, function: Callable[..., Any], argnum: int) -> None:
        self.name, self.function, self.argnum = name, function, argnum
        self.known: dict[Any, list[_Groups]] = {}
        self.forward = compile(self._forward)
        self.back = compile(self._back)

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not isinstance(self.argnum, int) or not -len(args) <= self.argnum < len(args):
            raise ArgumentError(
                f"{self.name}: argnums is {self.argnum!r}",
                why=f"the function was called with {len(args)} positional arguments",
                do="give the number of the one to differentiate by",
            )
        number = self.argnum % len(args)
        x: Tensor = leaf_of(args[number], f"{self.name}: argument {number}").detach()
        given = [x if k == number else a for k, a in enumerate(args)]
        with differentiating():
            found = self._groups(x, given, kwargs)
        with no_grad():
            shape = tuple(x.shape)
            if found.by_columns:
                seeds = found.seeds.reshape((len(found.seeds), *shape)).astype(x.dtype)
                products = self.forward(seeds, number, given, kwargs)
            else:
                products = self.back(found.seeds, number, given, kwargs)
        other = found.rows if found.by_columns else found.columns
        size = found.shape[0 if found.by_columns else 1]
        flat = products.numpy().reshape(len(found.seeds), size)
        values = flat[found.groups, other]
        return sparse.csr_array((values, (found.rows, found.columns)), found.shape)

    def _by_argument(self, number: int, given: Any, kwargs: Any) -> Callable[[Any], Any]:
        def of_argument(x: Any) -> Any:
            arguments = [x if k == number else a for k, a in enumerate(given)]
            return callee(self.function)(*arguments, **kwargs)

        return of_argument

    def _forward(self, seeds: Any, number: int, given: Any, kwargs: Any) -> Any:
        _, along = linearize(self._by_argument(number, given, kwargs), given[number])
        return vmap(along)(seeds)

    def _back(self, seeds: Any, number: int, given: Any, kwargs: Any) -> Any:
        value, back = vjp(self._by_argument(number, given, kwargs), given[number])
        cts = seeds.to(value.dtype).reshape((seeds.shape[0], *value.shape))
        return vmap(lambda ct: back(ct)[0])(cts)

    # -- which are computed together ---------------------------------------------------------

    def _groups(self, x: Tensor, given: list[Any], kwargs: dict[str, Any]) -> _Groups:
        trace = BodyTrace(self.name)
        leaf = trace.input(Spec(tuple(x.shape), x.dtype), differentiable=True)
        number = self.argnum % len(given)
        arguments = [leaf if k == number else a for k, a in enumerate(given)]
        traced = trace_body(trace, lambda: as_traced(self.function)(*arguments, **kwargs), ())
        self._check(traced)
        if take_out_draws([trace]):
            raise JitgradError(f"{self.name}: the function draws random numbers")
        closures = {key: c.tensor for key, c in trace.closures.items()}
        body = subgraph(traced, trace.inputs, closures, self.name)
        arrays = [x.numpy(), *(t.detach().numpy() for t in closures.values())]
        kept = self.known.setdefault((body, x.shape), [])
        for groups in kept:
            if all(np.array_equal(arrays[k], a) for k, a in groups.decided_by.items()):
                return groups
        made = self._analysed(body, arrays)
        kept[:] = [made, *kept[: _MOST_KEPT - 1]]
        return made

    def _check(self, traced: Traced) -> None:
        if traced.tree != LEAF:
            raise GradientError(
                f"{self.name}: the function must return one Tensor or array",
                why=f"it returned a {traced.tree.kind.__name__}" if traced.tree.kind else "",
                do="join what it returns into one",
            )

    def _analysed(self, body: SubGraph, arrays: list[Array]) -> _Groups:
        x = arrays[0]
        whole = sparse.eye_array(x.size, dtype=bool, format="csr")
        inputs = [Known(a, None if k else whole, frozenset({k})) for k, a in enumerate(arrays)]
        analysis = Analysis(x.size, RULES)
        try:
            (value,) = analysis.run(body.graph, inputs)
        except TooDenseError:
            raise JitgradError(
                f"{self.name}: the matrix is not sparse",
                why="an operation makes everything depend on everything",
                do="use jitgrad.jacrev or jitgrad.hessian, or products with jitgrad.jvp",
            ) from None
        size = int(np.size(value.array))
        pattern = value.pattern
        if pattern is None:
            pattern = sparse.csr_array((size, x.size), dtype=bool)
        decided = {k: arrays[k].copy() for k in analysis.decided_by}
        return _grouped(pattern.tocsr(), decided)


def _grouped(pattern: Pattern, decided_by: dict[int, Array]) -> _Groups:
    pattern.sum_duplicates()
    turned = pattern.T.tocsr()
    widest, tallest = [int(np.diff(p.indptr).max(initial=0)) for p in (pattern, turned)]
    by_columns = widest <= tallest
    colors = colored(pattern, turned) if by_columns else colored(turned, pattern)
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    columns = pattern.indices
    seeds = np.zeros((max(int(colors.max(initial=-1)) + 1, 1), colors.size))
    seeds[colors, np.arange(colors.size)] = 1.0
    groups = colors[columns if by_columns else rows]
    return _Groups(rows, columns, groups, seeds, by_columns, decided_by, pattern.shape)
