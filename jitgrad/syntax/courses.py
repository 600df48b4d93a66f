"""The courses that a loop can take through a graph: ranges, and what goes along an axis."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.tensor.tensor import Tensor
from jitgrad.trace.stand_ins import ArrayStandIn, NumberStandIn


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What a ``for`` goes along, as a range of an index.

    Parameters
    ----------
    lower, upper : int, or number of a trace
        The indices are ``range(lower, upper)``.
    reverse : bool
        Whether the last index comes first.
    item : callable
        Gives what the loop's variable is bound to at an index.
    plain : callable
        Gives the same as Python goes along it.
    """

    lower: Any
    upper: Any
    reverse: bool
    item: Callable[[Any], Any]
    plain: Callable[[], Iterable[Any]]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.plain())

    @property
    def count(self) -> int | None:
        """The number of iterations; None where only a run tells."""
        if type(self.lower) is int and type(self.upper) is int:
            return max(self.upper - self.lower, 0)
        return None

    def first(self) -> Any:
        """Return what the loop's variable is bound to first."""
        return self.item(self.upper - 1 if self.reverse else self.lower)

    def after_first(self) -> Course:
        """Return the course without its first iteration."""
        lower, upper = self.lower + (not self.reverse), self.upper - self.reverse
        skipped = lambda: itertools.islice(self.plain(), 1, None)  # noqa: E731 - one expression
        return Course(lower, upper, self.reverse, self.item, skipped)


def course_of(iterable: Any) -> Course | None:
    """Return the course along an object; None where only Python can go along it."""
    if type(iterable) is Course:
        return iterable
    if type(iterable) is builtins.range:
        return _range(iterable.start, iterable.stop, iterable.step, lambda: iterable)
    if type(iterable) in (Tensor, ArrayStandIn) and iterable.shape:
        return Course(0, iterable.shape[0], False, iterable.__getitem__, lambda: iterable)
    return None


def range_(*bounds: Any) -> Any:
    """Return ``range(*bounds)``, also of integers that only a run knows."""
    if not any(isinstance(b, Tensor) for b in bounds):
        return builtins.range(*bounds)

    def plain() -> builtins.range:
        return builtins.range(*map(_as_index, bounds))

    if not 1 <= len(bounds) <= 3 or not all(map(_is_integer, bounds)):
        return plain()
    start, stop, step = {
        1: (0, *bounds, 1), 2: (*bounds, 1), 3: bounds
    }[len(bounds)]  # fmt: skip
    if isinstance(step, Tensor) or step == 0:
        return plain()
    return _range(_number(start), _number(stop), int(step), plain)


def _range(start: Any, stop: Any, step: int, plain: Callable[[], Any]) -> Course:
    if step == 1:
        return Course(start, stop, False, lambda i: i, plain)
    if step == -1:
        return Course(stop + 1, start + 1, True, lambda i: i, plain)
    if step > 0:
        count = (stop - start + (step - 1)) // step
    else:
        count = (start - stop + (-step - 1)) // -step
    return Course(0, count, False, lambda k: start + k * step, plain)


def _is_integer(bound: Any) -> bool:
    if isinstance(bound, Tensor):
        return not bound.shape and bound.dtype.kind in "iu"
    return isinstance(bound, int | np.integer)


def _number(bound: Any) -> Any:
    """Return an integer as Python's numbers compute: int8 and the like would overflow."""
    from jitgrad.control.captured import as_number
    from jitgrad.ops.cast import convert

    if type(bound) is NumberStandIn:
        return bound
    if isinstance(bound, Tensor):
        return as_number(convert(bound, np.dtype(np.int64)))
    return int(bound)


def _as_index(bound: Any) -> Any:
    return bound.__index__() if isinstance(bound, Tensor) else bound


def enumerate_(iterable: Any, start: Any = 0) -> Any:
    """Return ``enumerate(iterable, start)``."""
    course = course_of(iterable)
    if course is None:
        return builtins.enumerate(iterable, start)
    lower, upper, reverse = course.lower, course.upper, course.reverse

    def item(i: Any) -> Any:
        number = upper - 1 - i if reverse else i - lower if _moves(lower) else i
        return (number + start if _moves(start) else number), course.item(i)

    return Course(lower, upper, reverse, item, lambda: builtins.enumerate(course, start))


def _moves(offset: Any) -> bool:
    return isinstance(offset, Tensor) or offset != 0


def zip_(*iterables: Any, **options: Any) -> Any:
    """Return ``zip(*iterables)``."""
    courses = [course_of(each) for each in iterables]
    counts = [c.count for c in courses if c is not None]
    simple = bool(courses) and options.keys() <= {"strict"} and None not in counts
    if options.get("strict") and len(set(counts)) > 1:
        simple = False
    if not simple or any(c is None or c.reverse for c in courses):
        return builtins.zip(*iterables, **options)  # noqa: B905 - as the user calls it
    known: list[Any] = courses

    def item(k: Any) -> Any:
        return tuple([c.item(k + c.lower if _moves(c.lower) else k) for c in known])

    count = min(counts)  # type: ignore[type-var]
    return Course(0, count, False, item, lambda: builtins.zip(*known, strict=False))


def reversed_(sequence: Any) -> Any:
    """Return ``reversed(sequence)``."""
    course = course_of(sequence)
    if course is None or (type(sequence) is not builtins.range and type(sequence) is not Course):
        return builtins.reversed(sequence)
    return Course(
        course.lower,
        course.upper,
        not course.reverse,
        course.item,
        lambda: builtins.reversed(list(course)),
    )
