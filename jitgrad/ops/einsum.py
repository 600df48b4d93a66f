"""Sums of products in Einstein's notation, as products of matrices, two operands at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.errors import ArgumentError, ShapeError
from jitgrad.core.public import public
from jitgrad.core.spec import Shape
from jitgrad.ops.arithmetic import mul
from jitgrad.ops.contraction import matmul_stack
from jitgrad.ops.diagonal import diagonal_primitive
from jitgrad.ops.reduction import sum_over
from jitgrad.ops.shape import permute_axes, reshape_to

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import Tensor

# One letter for each axis; the axes of an ellipsis get letters that users can't write.
Labels = str
_ELLIPSIS_FIRST = 0x100


def _ellipsis_labels(count: int) -> Labels:
    """Return labels for the axes of an ellipsis, the same ones from the right for any count."""
    return "".join(chr(_ELLIPSIS_FIRST + k) for k in reversed(range(count)))


@public(method=False)
def einsum(equation: str, *operands: Any) -> Tensor:
    """Return a sum of products in Einstein's notation.

    Parameters
    ----------
    equation : str
        A letter for each axis of each operand, ``...`` for axes without letters: ``"ij,jk->ik"``
        is a product of matrices. Axes with equal letters go together; letters that are not
        behind the arrow are summed over. Without an arrow those that occur once are kept, in
        alphabetical order.
    *operands : array_like, or one list of them
        One for each part of the equation. Axes of size 1 broadcast.

    Returns
    -------
    Tensor
        With the axes behind the arrow, in the promoted dtype.

    Raises
    ------
    ArgumentError
        If the equation can't be read, or has another number of parts than there are operands.
    ShapeError
        If an operand has another number of axes than letters, or sizes of equal letters differ.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.einsum("ij,j->i", [[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    tensor([3., 7.])
    """
    if len(operands) == 1 and isinstance(operands[0], tuple | list):
        operands = tuple(operands[0])
    if not isinstance(equation, str):
        raise ArgumentError(
            "einsum: the first argument is the equation", do='for instance "ij,jk->ik"'
        )
    values = [box(x) for x in operands]
    parts, output = _parse(equation, [tuple(v.shape) for v in values])
    terms = [_without_repeats(v, labels) for v, labels in zip(values, parts, strict=True)]
    sizes = _sizes(equation, terms)
    terms = [_without_ones(v, labels, sizes) for v, labels in terms]
    for group in _path(terms, output):
        chosen = [terms[number] for number in group]
        terms = [term for number, term in enumerate(terms) if number not in group]
        while len(chosen) > 1:
            rest = "".join(labels for _, labels in [*terms, *chosen[2:]]) + output
            chosen = [_contract(chosen[0], chosen[1], rest), *chosen[2:]]
        terms.append(chosen[0])
    value, labels = _summed(*terms[0], output)
    ordered = tuple([labels.index(label) for label in output if label in labels])
    result: Tensor = permute_axes(value, ordered)
    return result


# -- reading the equation ----------------------------------------------------------------------


def _parse(equation: str, shapes: Sequence[Shape]) -> tuple[list[Labels], Labels]:
    """Return the labels of each operand and of the output, an ellipsis replaced by labels."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(shapes):
        raise ArgumentError(
            f"einsum: {equation!r} is for {len(parts)} operands, {len(shapes)} are given"
        )
    widest = 0
    expanded = []
    for number, (part, shape) in enumerate(zip(parts, shapes, strict=True)):
        named = part.replace("...", "", 1)
        _check_letters(equation, named)
        hidden = len(shape) - len(named)
        if hidden < 0 or (hidden > 0 and "..." not in part):
            raise ShapeError(
                f"einsum: {part!r} does not fit an operand of shape {shape}",
                why=f"operand number {number} has {len(shape)} axes and {len(named)} letters",
            )
        widest = max(widest, hidden)
        expanded.append(part.replace("...", _ellipsis_labels(hidden)))
    every = "".join(expanded)
    if arrow:
        _check_letters(equation, right.replace("...", "", 1))
        output = right.replace("...", _ellipsis_labels(widest))
    else:
        once = sorted({c for c in left if c.isalpha() and left.count(c) == 1})
        output = _ellipsis_labels(widest) + "".join(once)
    for label in output:
        if label not in every or output.count(label) > 1:
            raise ArgumentError(
                f"einsum: {label!r} behind the arrow of {equation!r} "
                + ("occurs twice" if label in every else "is in no operand")
            )
    return expanded, output


def _check_letters(equation: str, letters: str) -> None:
    for letter in letters:
        if not (letter.isascii() and letter.isalpha()):
            raise ArgumentError(f"einsum: {letter!r} in {equation!r} can't name an axis")


def _sizes(equation: str, terms: list[tuple[Any, Labels]]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for value, labels in terms:
        for label, size in zip(labels, value.shape, strict=True):
            held = sizes.get(label, 1)
            if held != 1 and size not in (1, held):
                name = "..." if ord(label) >= _ELLIPSIS_FIRST else label
                raise ShapeError(
                    f"einsum: the axes {name!r} of {equation!r} have sizes {held} and {size}",
                    why="axes with the same letter must have the same size, or size 1",
                )
            sizes[label] = size if held == 1 else held
    return sizes


# -- one operand -------------------------------------------------------------------------------


def _without_repeats(value: Any, labels: Labels) -> tuple[Any, Labels]:
    """Return the diagonal along axes with the same label."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if value.shape[first] != value.shape[second]:
                raise ShapeError(
                    f"einsum: the axes {label!r} of one operand have sizes"
                    f" {value.shape[first]} and {value.shape[second]}",
                    why="axes with the same letter must have the same size",
                )
            value = diagonal_primitive(value, axes=(first, second), offset=0)
            rest = [c for n, c in enumerate(labels) if n not in (first, second)]
            labels = "".join(rest) + label
    return value, labels


def _without_ones(value: Any, labels: Labels, sizes: dict[str, int]) -> tuple[Any, Labels]:
    """Return an operand without the axes of size 1 that broadcast against longer ones."""
    kept = [n for n, label in enumerate(labels) if value.shape[n] == sizes[label]]
    shape = tuple([value.shape[n] for n in kept])
    return reshape_to(value, shape), "".join(labels[n] for n in kept)


def _summed(value: Any, labels: Labels, kept: Labels) -> tuple[Any, Labels]:
    axes = tuple([n for n, label in enumerate(labels) if label not in kept])
    if not axes:
        return value, labels
    left = "".join(label for label in labels if label in kept)
    return sum_over(value, axes=axes, keepdims=False), left


# -- two operands ------------------------------------------------------------------------------


def _path(terms: list[tuple[Any, Labels]], output: Labels) -> list[tuple[int, ...]]:
    """Return which operands to contract, step by step, counted in the list as it then is."""
    if len(terms) <= 2:
        return [tuple(range(len(terms)))]
    letters: dict[str, str] = {}
    for _, labels in terms:
        for label in labels:
            if label not in letters:
                letters[label] = _letter(len(letters))
    equation = ",".join("".join(letters[c] for c in labels) for _, labels in terms)
    equation += "->" + "".join(letters[c] for c in output if c in letters)
    blanks = [np.broadcast_to(np.float64(0), tuple(value.shape)) for value, _ in terms]
    return list(np.einsum_path(equation, *blanks, optimize="greedy")[0][1:])


def _letter(number: int) -> str:
    if number >= 52:
        raise ArgumentError("einsum: more than 52 different axes")
    return chr(ord("a") + number) if number < 26 else chr(ord("A") + number - 26)


def _contract(
    first: tuple[Any, Labels], second: tuple[Any, Labels], rest: Labels
) -> tuple[Any, Labels]:
    """Return the sum of products of two operands over labels that are not in `rest`."""
    a, la = _summed(*first, second[1] + rest)
    b, lb = _summed(*second, la + rest)
    shared = [c for c in la if c in lb]
    batch = [c for c in shared if c in rest]
    inner = [c for c in shared if c not in rest]
    rows = [c for c in la if c not in lb]
    columns = [c for c in lb if c not in la]
    size = dict(zip(la, a.shape, strict=True)) | dict(zip(lb, b.shape, strict=True))

    def arranged(value: Any, labels: Labels, order: list[str]) -> Any:
        return permute_axes(value, tuple([labels.index(c) for c in order]))

    def product(labels: list[str]) -> int:
        result = 1
        for label in labels:
            result *= size[label]
        return result

    stacked = tuple([size[c] for c in batch])
    shape = tuple([size[c] for c in [*batch, *rows, *columns]])
    if inner:
        left = reshape_to(
            arranged(a, la, [*batch, *rows, *inner]), (*stacked, product(rows), product(inner))
        )
        right = reshape_to(
            arranged(b, lb, [*batch, *inner, *columns]),
            (*stacked, product(inner), product(columns)),
        )
        value = reshape_to(matmul_stack(left, right), shape)
    else:
        left = reshape_to(
            arranged(a, la, [*batch, *rows]),
            (*[size[c] for c in [*batch, *rows]], *[1] * len(columns)),
        )
        right = reshape_to(
            arranged(b, lb, [*batch, *columns]),
            (*stacked, *[1] * len(rows), *[size[c] for c in columns]),
        )
        value = mul(left, right)
    return value, "".join([*batch, *rows, *columns])
