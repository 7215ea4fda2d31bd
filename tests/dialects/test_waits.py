"""Waits and rate limits are read from every provider's headers, and from nothing else."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from multi_llm_wrapper.dialects.waits import FAMILIES, parse_duration, rate_limit, reset_wait, retry_after
from multi_llm_wrapper.types import RateLimit

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
NOW = 1792567680.0
"""The same moment in unix seconds."""


def gemini(delay: Any) -> dict[str, Any]:
    details = [{"@type": "type.googleapis.com/google.rpc.Help"}, {"@type": "RetryInfo", "retryDelay": delay}]
    return {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "25"}, 25.0),
        ({"retry-after": " 25 "}, 25.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": ".5"}, 0.5),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "19550.5", "retry-after": "20"}, 19.5505),
        ({"retry-after-ms": "soon", "retry-after": "20"}, 20.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": DATE}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:20 GMT"}, 10.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "yesterday"}, 30.0),
        ({"retry-after": "Wednesday, 21-Oct-26 07:28:30 GMT", "date": DATE}, 30.0),
        ({"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": DATE}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "1_000"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "Wed, 99 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": "Mon, 01 Jan 0001 00:00:00 +2359", "date": DATE}, 0.0),
        ({"x-ratelimit-reset-requests": "6s", "x-ratelimit-remaining-requests": "0"}, None),
    ],
)
def test_retry_after_header(headers: dict[str, str], expected: float | None) -> None:
    """Milliseconds beat seconds, a date counts from the Date header or else from now, nonsense is as if absent."""
    assert expected == retry_after(headers, None, NOW)


def test_date_without_any_clock() -> None:
    """A date says nothing where there is no moment to measure it from."""
    assert retry_after({"retry-after": DATE}) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (gemini("37s"), 37.0),
        (gemini("1.5s"), 1.5),
        (gemini("0s"), 0.0),
        ([gemini("37s")], 37.0),
        (gemini("37s")["error"], 37.0),
        (gemini("soon"), None),
        (gemini(37), None),
        (gemini("-37s"), None),
        ({"error": {"details": "37s"}}, None),
        ({"error": {"details": ["37s", None]}}, None),
        ({"error": "x", "estimated_time": 20.5}, 20.5),
        ({"error": "x", "estimated_time": -1}, None),
        ({"error": "x", "estimated_time": True}, None),
        ({"error": "x", "estimated_time": float("inf")}, None),
        ({"error": {"metadata": {"headers": {"X-RateLimit-Reset": str(int(NOW + 60) * 1000)}}}}, 60.0),
        ({"error": {"metadata": {"headers": {"X-RateLimit-Reset": int(NOW + 60) * 1000}}}}, 60.0),
        ({"error": {"metadata": {"headers": {"Retry-After": "9", "X-RateLimit-Reset": "99"}}}}, 9.0),
        ({"error": {"metadata": {"headers": {}}}}, None),
        ({"error": {"metadata": {"headers": [1]}}}, None),
        ({"error": {"metadata": "x"}}, None),
        ([], None),
        ("37s", None),
        (None, None),
    ],
)
def test_retry_after_body(body: Any, expected: float | None) -> None:
    """Where no header says the wait, the body may: Gemini, OpenRouter, a model that Hugging Face is loading."""
    assert expected == retry_after({}, body, NOW)


def test_header_beats_body() -> None:
    """The header is the later and the more general word."""
    assert retry_after({"retry-after": "5"}, gemini("37s")) == 5.0
    assert retry_after({"retry-after": "x"}, gemini("37s")) == 37.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1m30s", 90.0), ("17ms", 0.017), ("7.66s", 7.66), ("2m59.56s", 179.56), ("1h2m", 3720.0), ("6", 6.0),
        ("0s", 0.0), ("6m0s", 360.0), ("1d2h", 93600.0), ("500us", 0.0005), ("500µs", 0.0005), ("5ns", 5e-9),
        ("1.5", 1.5), (" 6s ", 6.0), (".5s", 0.5), ("1h0m0.5s", 3600.5),
        ("", None), ("s", None), ("1x", None), ("1m30", None), ("-1s", None), ("1 m", None), ("1s!", None),
        ("nan", None), ("٣s", None), ("1e3s", None), ("9" * 50 + "s", None), ("!1s", None),
    ],
)  # fmt: skip
def test_parse_duration(text: str, expected: float | None) -> None:
    """Durations as Go writes them, and bare seconds; nothing else."""
    assert expected == (pytest.approx(parse_duration(text)) if expected is not None else parse_duration(text))


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(["d", "h", "m", "s", "ms"])), min_size=1, max_size=4),
)
def test_parse_duration_adds_up(pieces: list[tuple[int, str]]) -> None:
    """A duration is the sum of its pieces."""
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}

    expected = sum(number * units[unit] for number, unit in pieces)

    assert pytest.approx(expected) == parse_duration("".join(f"{number}{unit}" for number, unit in pieces))


OPENAI = {
    "x-ratelimit-limit-requests": "5000",
    "x-ratelimit-limit-tokens": "800000",
    "x-ratelimit-remaining-requests": "4999",
    "x-ratelimit-remaining-tokens": "796075",
    "x-ratelimit-reset-requests": "12ms",
    "x-ratelimit-reset-tokens": "1m30s",
}
ANTHROPIC = {
    "date": "Fri, 19 Dec 2025 00:28:30 GMT",
    "anthropic-ratelimit-input-tokens-limit": "2000000",
    "anthropic-ratelimit-input-tokens-remaining": "1998000",
    "anthropic-ratelimit-input-tokens-reset": "2025-12-19T00:28:40Z",
    "anthropic-ratelimit-output-tokens-limit": "400000",
    "anthropic-ratelimit-output-tokens-remaining": "399000",
    "anthropic-ratelimit-output-tokens-reset": "2025-12-19T00:28:56Z",
    "anthropic-ratelimit-requests-limit": "4000",
    "anthropic-ratelimit-requests-remaining": "3999",
    "anthropic-ratelimit-requests-reset": "2025-12-19T00:28:31Z",
}
LEFT = {"anthropic-ratelimit-requests-remaining": "1"}
ANTHROPIC_COMBINED = ANTHROPIC | {
    "anthropic-ratelimit-tokens-limit": "2400000",
    "anthropic-ratelimit-tokens-remaining": "2397000",
    "anthropic-ratelimit-tokens-reset": "2025-12-19T00:28:35Z",
}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (OPENAI, RateLimit(5000, 4999, 0.012, 800000, 796075, 90.0)),
        ({"x-ratelimit-remaining-tokens": "7"}, RateLimit(remaining_tokens=7)),
        ({"x-ratelimit-limit-requests": "7"}, RateLimit(limit_requests=7)),
        (ANTHROPIC, RateLimit(4000, 3999, 1.0, 2000000, 1998000, 10.0)),
        (ANTHROPIC_COMBINED, RateLimit(4000, 3999, 1.0, 2400000, 2397000, 5.0)),
        (
            {"x-ratelimit-limit-tokens-minute": "500000", "x-ratelimit-remaining-tokens-minute": "499000",
             "x-ratelimit-limit-req-minute": "60", "x-ratelimit-remaining-req-minute": "59"},
            RateLimit(60, 59, None, 500000, 499000),
        ),
        (
            {"x-ratelimit-remaining-tokens-minute": "1", "x-ratelimit-remaining-requests-day": "2",
             "x-ratelimit-reset-tokens-minute": "21.5"},
            RateLimit(remaining_requests=2, remaining_tokens=1, reset_tokens=21.5),
        ),
        (
            {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW + 30) * 1000)},
            RateLimit(20, 0, 30.0),
        ),
        (
            {"x-ratelimit-limit": "2", "x-ratelimit-reset": "4", "x-tokenlimit-remaining": "9"},
            RateLimit(2, None, 4.0, None, 9),
        ),
        (
            {"x-trial-endpoint-call-limit": "20", "x-trial-endpoint-call-remaining": "3",
             "x-ratelimit-reset": str(int(NOW + 5))},
            RateLimit(20, 3, 5.0),
        ),
        ({"x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "soon"}, RateLimit()),
        ({**LEFT, "anthropic-ratelimit-requests-reset": "2026-99-99T00:00:00Z"}, RateLimit(None, 1)),
        ({**LEFT, "anthropic-ratelimit-requests-reset": "2000-01-01T00:00:00Z"}, RateLimit(None, 1, 0.0)),
        ({**LEFT, "anthropic-ratelimit-requests-reset": "2026-10-21T07:28:09"}, RateLimit(None, 1, 9.0)),
        ({"content-type": "application/json", "x-request-id": "1"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_rate_limit(headers: dict[str, str], expected: RateLimit | None) -> None:
    """Each family of headers gives the same facts; what it does not say is None."""
    assert expected == rate_limit(headers, NOW)
    assert expected == rate_limit(CIMultiDictProxy(CIMultiDict({k.title(): v for k, v in headers.items()})), NOW)


def test_moment_without_any_clock() -> None:
    """Without Date header and clock the moments of Anthropic say nothing, the counts do."""
    headers = {k: v for k, v in ANTHROPIC.items() if k != "date"}

    assert RateLimit(4000, 3999, None, 2000000, 1998000, None) == rate_limit(headers)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system cannot change its time zone")
def test_times_without_a_zone_are_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine is does not matter."""
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    try:
        assert retry_after({"retry-after": "Wed, 21 Oct 2026 07:28:30 -0000"}, None, NOW) == 30.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_every_name_of_a_family_is_read() -> None:
    """Each name in the table of header families reaches the field it stands for."""
    for markers, fields in FAMILIES:
        for field, names in fields.items():
            for name in names:
                limit = rate_limit({markers[0]: "7", name: "7"})

                assert limit is not None
                assert getattr(limit, field) == 7, name


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        (OPENAI, None),
        (OPENAI | {"x-ratelimit-remaining-tokens": "0"}, 90.0),
        (OPENAI | {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-remaining-requests": "0"}, 0.012),
        ({"x-ratelimit-remaining-tokens": "0"}, None),
    ],
)
def test_reset_wait(headers: dict[str, str], expected: float | None) -> None:
    """A reset is a wait only of a limit that is used up, and then the nearest one."""
    assert expected == reset_wait(headers)


NAMES = ["retry-after", "retry-after-ms", "date", *{n for _, f in FAMILIES for names in f.values() for n in names}]
TEXTS = st.text(max_size=50) | st.sampled_from(
    ["1e999", "-0", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "Mon, 01 Jan 0001 00:00:00 +2359", DATE]
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES), TEXTS), st.none() | st.floats(0, 1e11))
def test_any_headers(headers: dict[str, str], now: float | None) -> None:
    """Whatever the headers say, a wait is a number of seconds that can be waited, or None; nothing is raised."""
    limits = rate_limit(headers, now) or RateLimit()

    for wait in (retry_after(headers, None, now), limits.reset_requests, limits.reset_tokens, reset_wait(headers, now)):
        assert wait is None or 0 <= wait < float("inf")
    for count in (limits.limit_requests, limits.remaining_requests, limits.limit_tokens, limits.remaining_tokens):
        assert count is None or count >= 0


@given(st.text(max_size=60))
def test_any_duration(text: str) -> None:
    """Any text is a duration of finite length or none."""
    duration = parse_duration(text)

    assert duration is None or 0 <= duration < float("inf")


@pytest.mark.benchmark_safe
def test_rate_limit_costs_nothing_where_there_is_none() -> None:
    """A successful reply without such headers pays some microseconds at most (2 on a quiet machine)."""
    headers = CIMultiDictProxy(CIMultiDict({f"X-Header-{i}": "value" for i in range(20)}))
    best = min(_seconds(headers) for _ in range(20))

    assert best < 10e-6


def _seconds(headers: CIMultiDictProxy[str]) -> float:
    start = time.perf_counter()
    for _ in range(1000):
        rate_limit(headers)
    return (time.perf_counter() - start) / 1000


def test_recorded_rate_limits(recordings: Path) -> None:
    """Recorded replies that carry limits give a request limit, and all that their headers say is read."""
    seen = 0
    for file in sorted(recordings.glob("*.jsonl")):
        for line in file.read_text("utf-8").splitlines():
            headers = json.loads(line)["response"]["headers"]
            names = [name for name in headers if "ratelimit" in name]
            limit = rate_limit(headers, NOW)

            assert bool(names) == (limit is not None)
            if limit is not None:
                seen += 1
                told = (limit.limit_requests, limit.remaining_requests, limit.reset_requests, limit.limit_tokens)
                assert None not in told
                assert limit.remaining_tokens is not None
                assert limit.reset_tokens is not None
    assert seen > 0
