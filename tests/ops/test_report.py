"""The report on the table names every operation, and every name of the first tiers is there."""

from __future__ import annotations

import pytest

from jitgrad.core.primitive import TABLE
from jitgrad.ops.__main__ import is_there, names_by_tier, operations, report

NOT_THERE = {3: ["linalg.eig"]}  # its results are complex


@pytest.mark.parametrize("tier", [0, 1, 2, 3])
def test_the_names_of_the_first_tiers_are_there(tier: int) -> None:
    missing = [name for name in names_by_tier()[tier] if not is_there(name)]
    assert missing == NOT_THERE.get(tier, [])


def test_the_report_has_a_row_for_each_operation() -> None:
    rows = list(operations())
    assert [row[0] for row in rows] == sorted(TABLE)
    assert ("tanh", "2", "expression", "f32 f64 i32 i64 bool") in rows
    assert f"{len(TABLE)} operations" in report()
