"""The check of a price table, as the configuration runs it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from multi_llm_wrapper.pricing import RATES, check_prices


def test_rates_become_exact_decimals() -> None:
    """Numbers, texts and decimals; a float is the number that it prints as."""
    table = {"gpt-4o": {"input": 2.5, "output": "10", "cache_read": Decimal("1.25"), "request": 0}}
    kept = {
        "gpt-4o": {
            "input": Decimal("2.5"),
            "output": Decimal(10),
            "cache_read": Decimal("1.25"),
            "request": Decimal(0),
        }
    }

    assert kept == check_prices("WrapperConfig.prices", table)
    assert {"m": {"input": Decimal("0.1"), "output": Decimal("1E-7")}} == check_prices(
        "prices", {"m": {"input": 0.1, "output": 1e-7}}
    )


def test_a_checked_table_can_be_checked_again() -> None:
    """A configuration checks what it keeps, and again when the wrapper is built."""
    once = check_prices("prices", {"a/b/c": dict.fromkeys(RATES, "0.5")})

    assert once == check_prices("prices", once)


def test_an_empty_table_is_a_table() -> None:
    """Nothing is overruled."""
    assert {} == check_prices("prices", {})


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ([], "prices is a list; give a dict like"),
        ({3: {}}, 'prices has the key 3; name a "model" or a "provider/model".'),
        ({" ": {}}, 'prices has the key \' \'; name a "model" or a "provider/model".'),
        ({"m ": {}}, 'prices has the key \'m \'; name a "model" or a "provider/model".'),
        ({"m": 3}, "prices['m'] is 3; give a dict with some of input, output,"),
        ({"m": {}}, "prices['m'] has no 'input'; give dollars per million tokens, 0 where it is free."),
        ({"m": {"input": 1}}, "prices['m'] has no 'output'; give dollars per million tokens, 0 where it is free."),
        ({"m": {"inptu": 1}}, "prices['m'] has 'inptu' in it (did you mean 'input'?); use some of input, output,"),
        ({"m": {1: 1}}, "prices['m'] has 1 in it; use some of input,"),
    ],
)
def test_a_table_of_the_wrong_form_is_refused(table: Any, says: str) -> None:
    """The message names the place and the remedy."""
    with pytest.raises(ValueError, match=r"^prices") as caught:
        check_prices("prices", table)

    assert says == str(caught.value)[: len(says)]


@pytest.mark.parametrize(
    "price",
    [
        -1,
        "-0.1",
        "free",
        "",
        True,
        None,
        [],
        float("nan"),
        float("inf"),
        "NaN",
        1_000_001,
        10**5000,
        "1e-21",
        b"1",
        "1_0$",
    ],
    ids=map(str, range(15)),
)
def test_what_is_no_price_is_refused(price: Any) -> None:
    """Negative, infinite, too large, too fine, or no number."""
    with pytest.raises(ValueError, match=r"^WrapperConfig.prices\['m'\]\['output'\] is .*; give US dollars from 0 to"):
        check_prices("WrapperConfig.prices", {"m": {"input": 1, "output": price}})
