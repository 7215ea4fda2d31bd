"""What is known of a call when it has ended, and how its parts add up."""

from __future__ import annotations

import decimal
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper.metering.record import Record, Share, total, used
from multi_llm_wrapper.types import Usage

# --- sums -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], None),
        ([None, None], None),
        ([Usage(1, 2, 3)], Usage(1, 2, 3)),
        ([None, Usage(1, 2, 3, None, 0, 1), None], Usage(1, 2, 3, None, 0, 1)),
        ([Usage(1, 2, 3, 4, 5, 6), Usage(10, 20, 30, 40, 50, 60)], Usage(11, 22, 33, 44, 55, 66)),
        ([Usage(1, None, 1), Usage(10, 2, None, 0)], Usage(11, 2, 1, 0)),
        ([Usage(), Usage()], Usage()),
    ],
)
def test_used(parts: list[Usage | None], expected: Usage | None) -> None:
    """Each count is the sum of those that were reported, and None where none was."""
    assert expected == used(parts)


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ([], None),
        ([None], None),
        (["0.1"], "0.1"),
        (["0.1", "0.2"], "0.3"),
        (["0.1", None], "0.1"),
        ([None, "0.1"], "0.1"),
        (["0", "0"], "0"),
        (["1000000", "0.00000000000000000001", "1E-30"], "1000000.000000000000000000010000000001"),
    ],
)
def test_total(costs: list[str | None], expected: str | None) -> None:
    """Exact, whatever precision the program computes with; those that are unknown add nothing."""
    with decimal.localcontext(prec=3):
        assert (None if expected is None else Decimal(expected)) == total(
            None if cost is None else Decimal(cost) for cost in costs
        )


money = st.decimals(0, 1000, places=12)


@given(st.lists(money, min_size=1))
def test_total_is_exact(costs: list[Decimal]) -> None:
    """As a sum of integers is."""
    assert sum(int(cost.scaleb(12)) for cost in costs) == int((total(costs) or Decimal(0)).scaleb(12))


# --- by provider ------------------------------------------------------------------------------------------------


def shared(*shares: Share) -> list[tuple[Share, list[Share]]]:
    return Record(1.0, "success", "fast", "a", "n", 9.0, list(shares)).by_provider()


M = Share("a", "m", 1.0, Usage(10, 5, 15), Decimal("0.1"), "server_error", attempts=2, retries=1, first_token=0.5)
N = Share("a", "n", 2.0, Usage(1, 1, 2), Decimal("0.2"), hedges=1)
OTHER = Share("b", "m", 4.0, error_type="timeout")


def test_one_share_is_its_providers() -> None:
    """There is nothing to add up."""
    assert [(OTHER, [OTHER]), (N, [N])] == shared(OTHER, N)


def test_models_of_one_provider() -> None:
    """They are added up, and it failed if the last of them did."""
    whole = Share("a", "n", 3.0, Usage(11, 6, 17), Decimal("0.3"), None, 3, 1, 1, 0.5)

    assert [(whole, [M, N]), (OTHER, [OTHER])] == shared(M, OTHER, N)


def test_the_only_provider_has_the_time_of_the_call() -> None:
    """With the waits between its attempts."""
    assert [9.0] == [whole.seconds for whole, _ in shared(M, N)]
    assert (1.0, 2.0) == (M.seconds, N.seconds)


def test_a_model_without_a_price() -> None:
    """What is known stays, and the rest is told; where it reported nothing, there is nothing to price."""
    priceless, silent = Share("a", "x", 1.0, Usage(3)), Share("a", "y", 1.0)

    assert [(Decimal("0.1"), True)] == [(whole.cost, whole.unpriced) for whole, _ in shared(M, priceless)]
    assert [(Decimal("0.1"), False)] == [(whole.cost, whole.unpriced) for whole, _ in shared(M, silent)]
    assert [(None, True)] == [(whole.cost, whole.unpriced) for whole, _ in shared(priceless, silent)]
