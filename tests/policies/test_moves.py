"""Which failures move on, and which take a deployment out."""

from __future__ import annotations

import math

import pytest

from multi_llm_wrapper.errors import CLASSES
from multi_llm_wrapper.policies.moves import BREAKS, MOVES_ON, OUT_SECONDS, out_seconds

STAYS = {"context_length_exceeded", "request_too_large", "content_filter", "validation_error"}


def test_the_table_covers_every_class() -> None:
    """No more and no less, so that a new class has to be decided on."""
    assert set(CLASSES) == set(MOVES_ON)
    assert set(CLASSES) >= BREAKS
    assert set(CLASSES) >= set(OUT_SECONDS)


def test_only_the_callers_own_failures_stay() -> None:
    """A prompt that is too long, refused or wrong is so wherever it is sent."""
    assert STAYS == {kind for kind, moves in MOVES_ON.items() if not moves}


def test_what_speaks_against_a_deployment_also_moves_on() -> None:
    """The breaker counts nothing that would end the call."""
    assert set() == {kind for kind in BREAKS if not MOVES_ON[kind]}


@pytest.mark.parametrize(
    ("kind", "asked", "expected"),
    [
        ("auth_error", None, 60.0), ("permission_error", None, 60.0), ("quota_exceeded", None, 60.0),
        ("quota_exceeded", 600.0, 600.0), ("rate_limit", None, 5.0), ("rate_limit", 17.5, 17.5), ("rate_limit", 0, 0),
        ("rate_limit", math.inf, 3600.0), ("rate_limit", 1e12, 3600.0),
        ("server_error", None, None), ("overloaded", 30.0, None), ("validation_error", None, None),
    ],
)  # fmt: skip
def test_how_long_a_deployment_is_out(kind: str, asked: float | None, expected: float | None) -> None:
    """For as long as it said, a minute for a bad key or a spent quota, an hour at most; others take none out."""
    assert expected == out_seconds(CLASSES[kind]("x", retry_after=asked))
