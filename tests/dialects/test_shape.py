"""Reading JSON that somebody else wrote."""

from __future__ import annotations

from typing import Any

import pytest

from multi_llm_wrapper.dialects.shape import MAX_COUNT, count


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (7, 7),
        (7.0, 7),
        (MAX_COUNT - 1, MAX_COUNT - 1),
        (MAX_COUNT, None),
        (float(MAX_COUNT), None),
        (2**70, None),
        (float("inf"), None),
        (float("nan"), None),
        (-1, None),
        (-0.5, None),
        (True, None),
        ("7", None),
        (None, None),
        ([7], None),
    ],
)
def test_a_count_is_a_number_that_anybody_can_keep(value: Any, expected: int | None) -> None:
    """Whatever else stands there is no count, and no failure either."""
    assert expected == count(value)
