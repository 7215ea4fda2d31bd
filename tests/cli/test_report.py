"""Responses in words."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from multi_llm_wrapper.cli import report
from multi_llm_wrapper.cli.exits import exit_status
from multi_llm_wrapper.response import Response
from tests.cli.lanes import answered, closed, failed


def drawn(columns: int, *, terminal: bool, responses: list[Response]) -> list[str]:
    file = io.StringIO()
    out = Console(file=file, width=columns, force_terminal=terminal, color_system=None, highlight=False)
    out.print(report.comparison(out, responses, ["gpt-4o-mini"] * len(responses)))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_the_table_fits_into_80_columns() -> None:
    """Numbers to the right, two lines of headings."""
    responses = [
        answered("Hi"),
        answered("Hi", "anthropic", "claude-sonnet-4-5"),
        failed(),
        closed("x"),
    ]

    assert [
        "                                           tokens  tokens   first  response",
        "provider   model              status           in     out   token      time",
        "─" * 75,
        "openai     gpt-4o-mini        success          10   1,234  250 ms    1.50 s",
        "anthropic  claude-sonnet-4-5  success          10   1,234  250 ms    1.50 s",
        "openai     gpt-4o-mini        rate_limit        -       -       -    500 ms",
        "openai     gpt-4o-mini        interrupted       -       -       -    500 ms",
    ] == drawn(80, terminal=True, responses=responses)


def test_a_pipe_gets_one_line_for_each_provider() -> None:
    """No frame, no second line of headings: made for grep and awk."""
    lines = drawn(10_000, terminal=False, responses=[answered("Hi"), failed()])

    assert [
        "provider  model        status      tokens in  tokens out  first token  response time",
        "openai    gpt-4o-mini  success            10       1,234       250 ms         1.50 s",
        "openai    gpt-4o-mini  rate_limit          -           -            -         500 ms",
    ] == lines


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0 ms"), (0.0254, "25 ms"), (0.9994, "999 ms"), (0.9996, "1.00 s"), (61.0, "61.00 s")]
)
def test_times_are_for_people(value: float, text: str) -> None:
    """Milliseconds below a second."""
    assert text == report.seconds(value)


@pytest.mark.parametrize(
    ("usd", "text"), [(None, None), (0.0, "$0.00"), (0.0000275, "$0.000028"), (0.5, "$0.50"), (12.345, "$12.35")]
)
def test_costs_are_for_people(usd: float | None, text: str | None) -> None:
    """Two digits that count, and at least whole cents; nothing where the price is not known."""
    assert text == report._cost(usd)


def test_a_missing_key_is_explained_to_the_user_of_a_command() -> None:
    """The variables to set, not the code to write."""
    response = failed("set it or give WrapperConfig(...)", "auth_error", "gemini", code="missing_key")

    assert (
        "Error: there is no API key for gemini; set GEMINI_API_KEY or GOOGLE_API_KEY (see: multi-llm models)"
        == report.error_line(response)
    )


def test_a_missing_key_of_a_host_that_is_not_known_is_told_as_it_is() -> None:
    """The library's own words are all there is."""
    assert "Set it." == report.explain(failed("Set it.", "auth_error", "my-host", code="missing_key"))


def test_a_traceback_in_the_log_is_shown_by_verbose() -> None:
    """Nobody sees a log on a command line."""
    response = failed("Something went wrong (KeyError); the log has the traceback. Please report it.", "general_error")

    assert "Something went wrong (KeyError); --verbose shows the traceback. Please report it." == report.explain(
        response
    )


def test_an_error_is_one_line() -> None:
    """Whatever the provider wrote into its message."""
    assert "Error: gpt-4o: a b [2J" == report.error_line(failed("a\n b\x1b \x1b[2J"), "gpt-4o")


def test_details_tell_everything_that_is_known() -> None:
    """A fact a line; what is unknown is left out."""
    response = failed("No.", "rate_limit", code="slow_down", status_code=429, retry_after=7.0, request_id="req_1")
    response["metadata"]["attempts_detail"] = [
        {"error_type": "rate_limit", "status_code": 429, "duration": 0.25, "wait": 1.0},
        {"error_type": None, "status_code": None, "duration": 0.5, "wait": None, "hedge": True},
    ]
    response["metadata"]["cost_usd"] = 0.0000275

    assert [
        "  provider         openai",
        "  model            gpt-4o-mini",
        "  error_type       rate_limit",
        "  code             slow_down",
        "  HTTP status      429",
        "  retry after      7.0",
        "  request id       req_1",
        "  cost             $0.000028",
        "  attempts         1",
        "  attempt 1        rate_limit, HTTP 429, after 250 ms, then 1.00 s of waiting",
        "  attempt 2        success, beside a late one, after 500 ms",
    ] == list(report.details(response))


def test_a_cut_answer_gets_a_note() -> None:
    """A success that is not quite one."""
    assert report.note(answered("Hi", finish_reason="stop")) is None
    assert "raise --max-tokens" in str(report.note(answered("Hi", finish_reason="length")))
    assert "filter" in str(report.note(answered("Hi", finish_reason="content_filter")))


@pytest.mark.parametrize(
    ("responses", "status"),
    [
        ([answered("Hi")], 0),
        ([failed()], 1),
        ([failed(kind="validation_error", rejected_by="client")], 2),
        ([failed(kind="validation_error", rejected_by="provider")], 1),
        ([failed(kind="unsupported_feature", rejected_by="client")], 2),
        ([failed(kind="auth_error", rejected_by="provider")], 3),
        ([failed(kind="permission_error")], 3),
        ([answered("Hi"), failed(kind="auth_error")], 3),
        ([failed(kind="auth_error"), failed(kind="validation_error", rejected_by="client")], 1),
    ],
)
def test_the_exit_status_is_what_all_failures_have_in_common(responses: list[Response], status: int) -> None:
    """See `multi-llm ask --help`."""
    assert status == exit_status(responses)
