"""Sums over the rows of a ledger: exact, by whatever is asked for, and read without disturbing who writes."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multi_llm_wrapper.metering.histogram import ERROR
from multi_llm_wrapper.metering.ledger import reader, summary
from multi_llm_wrapper.metering.ledger.sink import RefusedError
from multi_llm_wrapper.metering.ledger.sqlite import MIGRATIONS, SCHEMA, SQLiteSink
from multi_llm_wrapper.metering.ledger.summary import summarise
from multi_llm_wrapper.metering.record import Share
from multi_llm_wrapper.types import Usage
from tests.metering.ledger_support import NOW, USAGE, record, write

HOUR = 3600.0


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def requests(path: Path, by: str, **options: Any) -> dict[str, int]:
    return {name: sums.requests for name, sums in summarise(str(path), by, **options).groups.items()}


def test_a_day_is_the_sum_of_its_calls(tmp_path: Path) -> None:
    """Every number of a group, and of the total; cache hits are neither requests nor times nor tokens."""
    file = tmp_path / "u.db"
    write(
        file,
        [
            record(1, response_time=1.0),
            record(2, response_time=2.0, usage=Usage(500, None, cache_read_tokens=100), cost=None),
            record(3, status="error", error_type="rate_limit", usage=None, cost=None, response_time=3.0),
            record(4, status="error", usage=None, cost=None, attempts=0, shares=[], error_type="circuit_open"),
            record(5, cached=True, attempts=0, shares=[]),
            record(6, status="abandoned", usage=None, cost=None, response_time=4.0),
        ],
    )
    found = summarise(str(file), "day")
    day = found.groups["2027-01-15"]

    for sums in (day, found.total):
        assert (4, 1, 1, 1, 1) == (sums.requests, sums.errors, sums.abandoned, sums.unsent, sums.cache_hits)
        assert (1500, 200, 900) == (sums.input_tokens, sums.output_tokens, sums.cache_read_tokens)
        assert (Decimal("0.00027"), 1, 1) == (sums.cost, sums.unpriced, sums.unreported)
        assert ({"rate_limit": 1}, 0.25, 6) == (sums.errors_by_class, sums.error_rate, sums.calls)
        assert [2.0, 4.0] == pytest.approx([sums.times.quantile(0.5), sums.times.quantile(0.95)], rel=ERROR)


def test_days_and_hours_are_those_of_local_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order, however the rows came."""
    file = tmp_path / "u.db"
    midnight = 1_799_971_200.0  # 2027-01-15 00:00 UTC
    write(file, [record(timestamp=midnight + seconds) for seconds in (0.0, -0.1, 14 * HOUR, 3 * HOUR + 1)])

    assert {"2027-01-14": 1, "2027-01-15": 3} == requests(file, "day")
    assert ["2027-01-14 23:00", "2027-01-15 00:00", "2027-01-15 03:00", "2027-01-15 14:00"] == [*requests(file, "hour")]
    monkeypatch.setenv("TZ", "<+1045>-10:45")
    time.tzset()
    assert {"2027-01-15": 3, "2027-01-16": 1} == requests(file, "day")
    assert ["2027-01-15 10:00", "2027-01-15 13:00", "2027-01-16 00:00"] == [*requests(file, "hour")]


def test_a_call_counts_for_each_provider_that_it_asked(tmp_path: Path) -> None:
    """With the part that this one had; the largest spend comes first, and the total has each call once."""
    file = tmp_path / "u.db"
    shares = [
        Share("groq", "llama", 0.5, None, None, "overloaded", attempts=2),
        Share("openai", "gpt-4o", 0.75, USAGE, Decimal("0.002")),
    ]
    write(
        file,
        [
            record(cost=Decimal("0.002"), shares=shares, attempts=3, response_time=1.25),
            record(
                provider="groq",
                model="llama",
                cost=Decimal("0.001"),
                shares=[Share("groq", "llama", 1.25, USAGE, Decimal("0.001"))],
            ),
            record(provider="groq", model="llama", cached=True, attempts=0, shares=[]),
            record(provider=None, model=None, attempts=0, shares=[], status="error"),
        ],
    )
    by_provider, by_model = (summarise(str(file), by) for by in ("provider", "model"))
    groq, openai = by_provider.groups["groq"], by_provider.groups["openai"]

    assert ["openai", "groq", "(none)"] == list(by_provider.groups)
    assert ["openai/gpt-4o", "groq/llama", "(none)/(none)"] == list(by_model.groups)
    assert (2, 1, 1, Decimal("0.001")) == (groq.requests, groq.errors, groq.cache_hits, groq.cost)
    assert (1, 0, 1000, Decimal("0.002")) == (openai.requests, openai.errors, openai.input_tokens, openai.cost)
    assert (0.75, 2, 0, 1) == (
        openai.times.maximum, by_provider.total.requests, by_provider.total.errors, by_provider.total.unsent,
    )  # fmt: skip
    assert Decimal("0.003") == by_provider.total.cost


def test_a_provider_that_had_failed_was_not_abandoned(tmp_path: Path) -> None:
    """The caller left the one that was asked then."""
    file = tmp_path / "u.db"
    shares = [Share("groq", "llama", 0.5, error_type="overloaded"), Share("openai", "gpt-4o", 0.75)]
    write(file, [record(status="abandoned", shares=shares)])
    groups = summarise(str(file), "provider").groups
    assert [(1, 0), (0, 1)] == [(groups[name].errors, groups[name].abandoned) for name in ("groq", "openai")]


def test_tags_make_groups(tmp_path: Path) -> None:
    """A call counts for each of its tags, or by the value of the one that is named."""
    file = tmp_path / "u.db"
    tags = [{"team": "a", "env": "x"}, {"team": "b"}, {"team": "a"}, {}]
    write(file, [record(tags=each) for each in tags])

    assert {"team=a": 2, "team=b": 1, "env=x": 1, "(none)": 1} == requests(file, "tag")
    assert {"a": 2, "b": 1, "(none)": 1} == requests(file, "tag", tag="team")
    assert 4 == summarise(str(file), "tag").total.requests


def test_only_the_time_that_was_asked_for_counts(tmp_path: Path) -> None:
    """From `since` on, to before `until`."""
    file = tmp_path / "u.db"
    write(file, [record(number) for number in range(10)])
    assert [10, 7, 3, 2] == [
        summarise(str(file), since=since, until=until).total.requests
        for since, until in ((None, None), (NOW + 3, None), (None, NOW + 3), (NOW + 3, NOW + 5))
    ]


def test_groups_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond counts as others."""
    monkeypatch.setattr(summary, "MAX_GROUPS", 2)
    file = tmp_path / "u.db"
    write(file, [record(tags={"user": name}) for name in "abcda"])
    assert {"a": 2, "b": 1, "(other)": 2} == requests(file, "tag", tag="user")


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.none() | st.decimals("0", "1e9", places=12),
            st.floats(1e-5, 4000.0),
            st.sampled_from(["a", "b"]),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_sums_are_exact_and_quantiles_near(calls: list[tuple[Decimal | None, float, str]]) -> None:
    """Whatever the precision of decimals is set to elsewhere; groups add up to the total."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "u.db")
        write(file, [record(cost=cost, response_time=seconds, tags={"t": tag}) for cost, seconds, tag in calls])
        with localcontext(prec=3):
            found = summarise(str(file), "tag", tag="t")

    exact = sum(Fraction(cost) for cost, _, _ in calls if cost is not None)
    assert (exact, exact) == (Fraction(found.total.cost), sum(Fraction(sums.cost) for sums in found.groups.values()))
    assert sum(cost is None for cost, _, _ in calls) == found.total.unpriced
    ordered = sorted(seconds for _, seconds, _ in calls)
    for q in (0.5, 0.95):
        rank = math.ceil(q * len(ordered) - 1e-9)
        assert ordered[rank - 1] == pytest.approx(found.total.times.quantile(q), rel=ERROR * 1.0001)


# --- rows that cannot be read -----------------------------------------------------------------------------------


ODD: dict[str, list[object]] = {
    "cost_usd": ["abc", "", "NaN", "sNaN", "Infinity", "1e999999999", "1e-999999999", "-1", b"0.1"],
    "time": ["soon", b"1", 1e18, -1.0, math.inf],
    "response_time": ["long", b"1", math.inf, -1.0],
    "input_tokens": ["many", b"5", 1.5],
    "output_tokens": ["many"],
    "cache_read_tokens": [b""],
    "cached": ["no"],
    "attempts": ["one", 0.5],
    "provider": [b"openai"],
    "model": [b"\xff"],
    "error_type": [b""],
    "status": [b"error"],
    "tags": ["", "team=a", "[]", "null", '{"team": 5}', '{"team": "\\ud800"}', "[" * 10_000, b"{}"],
    "shares": [
        "", "{}", "[]", "[5]", '[{"provider": "groq"}]', '[{"later": ' + "[" * 10_000,
        '[{"provider": "groq", "model": "m", "seconds": "1"}]',
        '[{"provider": "groq", "model": "m", "seconds": 1}, {"provider": "groq", "model": "m", "seconds": 1e99}]',
        '[{"provider": "groq", "model": "m", "seconds": 1, "cost_usd": "NaN"}]',
        '[{"provider": "groq", "model": "m", "seconds": 1, "unpriced": "yes"}]',
    ],
}  # fmt: skip


def change(file: Path, column: str, value: object) -> None:
    """In the row of `record(1)`."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(f"UPDATE calls SET {column} = ? WHERE request_id = 'req-1'", [value])


@pytest.mark.parametrize(("column", "value"), [(column, value) for column in ODD for value in ODD[column]])
def test_a_row_is_read_whole_or_not_at_all(tmp_path: Path, column: str, value: object) -> None:
    """By whatever is asked for, it is counted apart; the others are there, and no group has a part of it."""
    file = tmp_path / "u.db"
    write(file, [record(number, tags={"team": "a"}) for number in range(3)])
    change(file, column, value)

    for by in summary.GROUPINGS:
        found = summarise(str(file), by)
        (group,) = found.groups.values()
        assert 1 == found.unreadable
        for sums in (group, found.total):
            assert (2, Decimal("0.00054"), 2000) == (sums.calls, sums.cost, sums.input_tokens)


def test_what_can_be_read_is_not_left_out(tmp_path: Path) -> None:
    """Values that a person may have put in, and keys that a later version may add."""
    file = tmp_path / "u.db"
    write(file, [record(number) for number in range(6)])
    with closing(sqlite3.connect(file)) as connection, connection:
        for number, (column, value) in enumerate(
            [("cost_usd", 1e-5), ("cost_usd", 0), ("response_time", 0), ("tags", "{}"), ("error_type", "what\0ever"),
             ("shares", '[{"provider": "groq", "model": "m", "seconds": 1, "later": [1]}]')]
        ):  # fmt: skip
            connection.execute(f"UPDATE calls SET {column} = ? WHERE request_id = 'req-{number}'", [value])
    found = summarise(str(file), "provider")
    assert (0, 6, Decimal("0.00109")) == (found.unreadable, found.total.requests, found.total.cost)
    assert ["openai", "groq"] == list(found.groups)


@pytest.mark.parametrize("column", ["provider", "tags", "status", "cost_usd"])
def test_a_text_that_is_none_costs_its_row_alone(tmp_path: Path, column: str) -> None:
    """Bytes of a broken disk, of which SQLite knows no characters."""
    file = tmp_path / "u.db"
    write(file, [record(number, provider="größe") for number in range(3)])
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(f"UPDATE calls SET {column} = CAST(x'22ff22' AS TEXT) WHERE id = 2")
    found = summarise(str(file), "provider")
    assert (1, {"größe": 2}) == (found.unreadable, {name: sums.requests for name, sums in found.groups.items()})


# --- the file ---------------------------------------------------------------------------------------------------


def test_reading_changes_nothing_and_waits_for_nobody(tmp_path: Path) -> None:
    """Not even for a transaction that is under way; its rows count when it is through."""
    file = tmp_path / "u.db"
    write(file, [record(), record(1)])
    sink = SQLiteSink(str(file))
    try:
        sink._connection.execute("BEGIN IMMEDIATE")
        sink._connection.execute("DELETE FROM calls WHERE request_id = 'req-1'")
        assert 2 == summarise(str(file)).total.requests
        sink._connection.execute("COMMIT")
        assert 1 == summarise(str(file)).total.requests
    finally:
        sink.close()


def test_the_file_is_opened_for_reading_only(tmp_path: Path) -> None:
    """Whoever sums up can change no row, not even by mistake."""
    file = tmp_path / "u.db"
    write(file, [record()])
    with (
        closing(reader.open_file(str(file))) as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("DELETE FROM calls")


def test_a_folder_that_must_not_be_written_to_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup, say, where there is no room for the log of SQLite."""
    file = tmp_path / "a #1?.db"
    write(file, [record()])
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert (1, [file]) == (summarise(str(file)).total.requests, list(tmp_path.iterdir()))


def test_an_older_schema_is_read_as_it_is(tmp_path: Path) -> None:
    """A reader does not migrate."""
    file = tmp_path / "u.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in (*MIGRATIONS[0], "PRAGMA user_version = 1"):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO calls (time, status, provider, streamed, cached, response_time, attempts, retries, hedges) "
            "VALUES (1.8e9, 'success', 'groq', 0, 0, 1.0, 1, 0, 0)"
        )
    assert ({"groq": 1}, {"2027-01-15": 1}) == (requests(file, "provider"), requests(file, "day"))


def test_an_empty_file_is_a_ledger_without_calls(tmp_path: Path) -> None:
    """As it is between its making and the first batch."""
    file = tmp_path / "u.db"
    file.touch()
    assert (0, {}) == (summarise(str(file)).total.calls, summarise(str(file)).groups)


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    """A missing file, a text, another program's database, one of a newer version; each error says what it is."""
    text, other, newer = (tmp_path / name for name in ("text", "other", "newer"))
    text.write_text("Dear diary, " * 100)
    write(newer, [])
    for file, statement in ((other, "CREATE TABLE bills (a)"), (newer, f"PRAGMA user_version = {SCHEMA + 1}")):
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(statement)

    for file, problem in (
        (tmp_path / "none", "there is no ledger at .*; name another file, or have calls write one"),
        (tmp_path, "there is no ledger at"),
        (text, "is no ledger"),
        (other, "another program"),
        (newer, "newer version .* upgrade"),
    ):
        with pytest.raises(RefusedError, match=problem):
            summarise(str(file))
    with pytest.raises(ValueError, match="by must be one of day, hour, model, provider, tag, not 'year'"):
        summarise(str(text), "year")
