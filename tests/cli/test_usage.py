"""`multi-llm usage`, and the plots that it draws."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from multi_llm_wrapper.cli import charts, tally
from multi_llm_wrapper.types import Usage
from tests.cli.support import Invoke, Open
from tests.metering.ledger_support import record, select, write

DAY = 86_400.0
BEGIN = 1_799_971_200.0  # 2027-01-15, midnight


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder, in UTC."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Four days with calls, one of them without a price, one that failed, one from the cache."""
    file = tmp_path / "usage.db"
    costs = [Decimal("0.1"), Decimal("0.2"), Decimal("12.000000000000001"), None]
    write(
        file,
        [
            *(
                record(number, timestamp=BEGIN + day * DAY, cost=cost, tags={"team": team})
                for number, (day, cost, team) in enumerate(zip((0, 0, 1, 4), costs, "abab", strict=True))
            ),
            record(4, timestamp=BEGIN + 5 * DAY, status="error", error_type="timeout", usage=None, cost=None,
                   response_time=600.0, model="claude-sonnet-4-5", provider="anthropic"),
            record(5, timestamp=BEGIN + 5 * DAY, cached=True, attempts=0, shares=[]),
            record(6, timestamp=BEGIN + 5 * DAY, status="error", error_type="auth_error", attempts=0, shares=[]),
        ],
    )  # fmt: skip
    return file


# --- for programs -----------------------------------------------------------------------------------------------


def test_json_has_the_groups_and_the_total(invoke: Invoke, ledger: Path) -> None:
    """Costs are exact texts, times are seconds; nothing is said beside it."""
    result = invoke("usage", "--json")
    told = json.loads(result.stdout)

    assert (0, "") == (result.exit_code, result.stderr)
    assert (["by", "groups", "total", "unreadable_rows"], 0) == (list(told), told["unreadable_rows"])
    assert ("day", ["2027-01-15", "2027-01-16", "2027-01-19", "2027-01-20"]) == (
        told["by"], [group["group"] for group in told["groups"]],
    )  # fmt: skip
    assert {
        "requests": 5, "errors": 1, "error_rate": 0.2, "abandoned": 0, "cache_hits": 1, "unsent": 1,
        "input_tokens": 4000, "output_tokens": 800, "cache_read_tokens": 3200, "unreported_requests": 0,
        "cost_usd": "12.300000000000001", "unpriced_requests": 1, "response_time_p50": pytest.approx(1.25, rel=0.01),
        "response_time_p95": pytest.approx(600, rel=0.01), "errors_by_class": {"timeout": 1},
    } == told["total"]  # fmt: skip
    assert ["group", *told["total"]] == list(told["groups"][0])
    assert ("0.3", 2, 0) == tuple(told["groups"][0][name] for name in ("cost_usd", "requests", "errors"))


def test_csv_has_a_line_for_each_group(invoke: Invoke, ledger: Path) -> None:
    """The same numbers under the same names; what is not known is empty."""
    result = invoke("usage", "--csv", "--by", "model")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))

    assert (
        "group,requests,errors,error_rate,abandoned,cache_hits,unsent,input_tokens,output_tokens,cache_read_tokens,"
        "unreported_requests,cost_usd,unpriced_requests,response_time_p50,response_time_p95"
    ) == result.stdout.splitlines()[0]
    assert ["openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5"] == [row["group"] for row in rows]
    assert ("12.300000000000001", "1", "4000") == tuple(
        rows[0][name] for name in ("cost_usd", "unpriced_requests", "input_tokens")
    )
    assert "\r" not in result.stdout


ODD_NAMES = [
    "plain", "with,comma", 'with"quote', "new\nline", "cr\rhere", "\r", "\r\n", "both\r\n", "\n\r", " blank ", "",
    "=1+1", "tab\tx", "\x1b[31m", "\u2028", "\x85",
]  # fmt: skip


def test_every_group_comes_back_from_csv(invoke: Invoke, tmp_path: Path) -> None:
    """Whatever its name has in it, line ends of all kinds too; lines end in a line feed and nothing else."""
    write(tmp_path / "usage.db", [record(number, tags={"t": name}) for number, name in enumerate(ODD_NAMES)])
    out = invoke("usage", "--tag", "t", "--csv").stdout_bytes.decode()

    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    assert (sorted(ODD_NAMES), {"1"}) == (sorted(row["group"] for row in rows), {row["requests"] for row in rows})
    assert re.search(r"\nplain,1,[^\r\n]*\n", out)
    assert "\r" not in re.sub(r'"[^"]*"', "", out)


def test_a_group_without_requests_has_no_times(invoke: Invoke, tmp_path: Path) -> None:
    """Empty in CSV, null in JSON."""
    write(tmp_path / "usage.db", [record(cached=True, attempts=0, shares=[])])
    assert invoke("usage", "--csv").stdout.splitlines()[1].endswith(",0,,")
    assert json.loads(invoke("usage", "--json").stdout)["total"]["response_time_p50"] is None
    assert invoke("usage").stdout.splitlines()[1].split() == [
        "2027-01-15",
        "$0.00",
        "0",
        "0",
        "-",
        "1",
        "0",
        "0",
        "0",
        "-",
        "-",
    ]


# --- for people -------------------------------------------------------------------------------------------------


def test_a_pipe_gets_plain_columns_and_no_plot(invoke: Invoke, ledger: Path) -> None:
    """What has no price is marked and named, and is not taken for nothing."""
    result = invoke("usage")
    lines = [re.split(r"  +", line.strip()) for line in result.stdout.splitlines()]

    assert [
        ["day", "spend", "requests", "errors", "error rate", "cache hits", "tokens in", "tokens cached", "tokens out",
         "time p50", "time p95"],
        ["2027-01-15", "$0.3000", "2", "0", "0%", "0", "2,000", "1,600", "400", "1.25 s", "1.25 s"],
        ["2027-01-16", "$12.0000", "1", "0", "0%", "0", "1,000", "800", "200", "1.25 s", "1.25 s"],
        ["2027-01-19", "unknown", "1", "0", "0%", "0", "1,000", "800", "200", "1.25 s", "1.25 s"],
        ["2027-01-20", "$0.0000", "1", "1", "100.0%", "1", "0", "0", "0", "600.00 s", "600.00 s"],
    ] == lines[:5]  # fmt: skip
    assert ["total", "$12.3000*", "5", "1", "20.0%", "1"] == lines[5][:6]
    assert [
        "* 1 request used what has no known price; the spend is without it.",
        "1 call sent nothing: refused, given up, or waiting for one that failed.",
        "Errors: timeout 1.",
    ] == result.stderr.splitlines()
    assert "\x1b" not in result.output


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("by", ["day", "model"])
def test_table_and_plots_fit_into_the_terminal(open_terminal: Open, ledger: Path, columns: int, by: str) -> None:
    """Columns that have no room are named; plots are beside each other where there is room."""
    terminal = open_terminal("usage", "--by", by, columns=columns, rows=50)
    assert 0 == terminal.wait()
    lines = terminal.screen.text.splitlines()

    word = "per" if by == "day" else "by"
    titles = [f"spend {word} {by}", f"requests {word} {by}"]
    found = [re.split("  +", line.strip()) for line in lines if line.startswith(("spend ", "requests "))]
    assert ([titles] if columns >= 100 else [[title] for title in titles]) == found
    name = "2027-01-16" if by == "day" else "openai/gpt-4o-mini"
    assert any(re.match(rf"{name} +\$12\.", line) for line in lines)
    missing = [line for line in lines if line.startswith("No room for: ")]
    assert bool(missing) == (columns < 100)
    assert "\x1b[32m" in terminal.output


def test_days_without_calls_have_room_in_the_plot(open_terminal: Open, ledger: Path) -> None:
    """Six days, of which two have nothing; heights are as the values."""
    terminal = open_terminal("usage", columns=80, rows=50)
    terminal.wait()
    lines = terminal.screen.text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("requests per day"))

    assert [
        "2 ┤███",
        "  │███",
        "  │███",
        "  │███ ███         ███ ███",
        "  │███ ███         ███ ███",
        "  │███ ███         ███ ███",
        "0 └────────────────────────",
        "   2027-01-15    2027-01-20",
    ][:7] == [line.rstrip() for line in lines[at + 1 : at + 8]]


def test_no_color_means_none(open_terminal: Open, ledger: Path) -> None:
    """Bold is no colour."""
    terminal = open_terminal("usage", env={"NO_COLOR": "1"}, rows=50)
    terminal.wait()
    assert [] == re.findall(r"\x1b\[[0-9;]*3[0-9]m", terminal.output)
    assert "spend per day" in terminal.screen.text


def test_a_plot_can_be_asked_for_and_left_out(invoke: Invoke, open_terminal: Open, ledger: Path) -> None:
    """In a pipe it is 80 cells wide, and no colour."""
    plotted = invoke("usage", "--plot", "--by", "provider").stdout
    bare = open_terminal("usage", "--no-plot")
    bare.wait()

    assert re.search(r"\nopenai    █+ \$12\.3000\nanthropic +\$0\.0000\n", plotted)
    assert ("\x1b" in plotted, max(map(len, plotted.splitlines()[6:])) <= 80) == (False, True)
    assert "┤" not in bare.screen.text


def test_a_long_list_is_cut_for_people_alone(open_terminal: Open, invoke: Invoke, tmp_path: Path) -> None:
    """The newest days or the largest groups stay; the plot adds days up that have no room."""
    write(
        tmp_path / "usage.db", [record(timestamp=BEGIN + day * DAY, tags={"user": f"u{day:03}"}) for day in range(150)]
    )
    terminal = open_terminal("usage", columns=100, rows=100)
    terminal.wait()
    text = terminal.screen.text

    assert "These are the 60 newest of 150; --csv and --json have all." in text
    assert ("2027-06-13" in text, len(re.findall(r"^2027-", text, re.MULTILINE))) == (True, 60)
    assert "spend per day, 5 together" in text
    assert 152 == len(invoke("usage").stdout.splitlines())
    other = open_terminal("usage", "--tag", "user", columns=80, rows=100)
    other.wait()
    assert "These are the 60 largest of 150" in other.screen.text
    assert 12 == len(re.findall(r"^u\d+ █", other.screen.text.split("requests by tag")[0], re.MULTILINE))


def test_a_plot_knows_what_is_unknown(invoke: Invoke, open_terminal: Open, tmp_path: Path) -> None:
    """A bar without a price says so as the table does; a column is a question mark, where a day without calls is
    empty."""
    costs = {0: ("o3", Decimal("0.5")), 2: ("new", None), 3: ("free", Decimal(0)), 4: ("o3", Decimal("0.25"))}
    write(
        tmp_path / "usage.db",
        [record(day, timestamp=BEGIN + day * DAY, model=model, cost=cost) for day, (model, cost) in costs.items()],
    )
    bars = invoke("usage", "--plot", "--by", "model").stdout.split("spend by model\n")[1].splitlines()
    assert [("openai/o3", "$0.750000"), ("openai/free", "$0.000000"), ("openai/new", "unknown")] == [
        (line.split()[0], line.split()[-1]) for line in bars[:3]
    ]

    terminal = open_terminal("usage", columns=80, rows=50)
    terminal.wait()
    lines = terminal.screen.text.splitlines()
    at = lines.index("spend per day")
    assert ["          │███             ███", "          │███      ?      ███", "        0 └────────────────────"] == [
        line.rstrip() for line in lines[at + 5 : at + 8]
    ]


# --- rows that cannot be read -----------------------------------------------------------------------------------


@pytest.fixture
def damaged(ledger: Path) -> Path:
    """Of its seven rows, three are odd."""
    for number, change in ((0, "cost_usd = 'NaN'"), (1, "tags = '[]'"), (5, "time = 1e18")):
        with closing(sqlite3.connect(ledger)) as connection, connection:
            connection.execute(f"UPDATE calls SET {change} WHERE request_id = 'req-{number}'")
    return ledger


@pytest.mark.parametrize("by", ["day", "hour", "model", "provider", "tag"])
def test_rows_that_cannot_be_read_are_told(invoke: Invoke, damaged: Path, by: str) -> None:
    """Below the table, beside the CSV, as a number in the JSON; the rest is summed up as ever."""
    note = "3 rows cannot be read and are left out."
    table, lines, told = (invoke("usage", "--by", by, *form) for form in ([], ["--csv"], ["--json"]))

    assert (0, 0, 0) == (table.exit_code, lines.exit_code, told.exit_code)
    assert note == table.stderr.splitlines()[-1]
    assert ([note], "") == (lines.stderr.splitlines(), told.stderr)
    found = json.loads(told.stdout)
    assert (3, 3, "12.000000000000001") == (
        found["unreadable_rows"], found["total"]["requests"], found["total"]["cost_usd"],
    )  # fmt: skip


def test_a_ledger_of_nothing_else(invoke: Invoke, tmp_path: Path) -> None:
    """What it says of no calls is not all that there is to say."""
    write(tmp_path / "usage.db", [record()])
    with closing(sqlite3.connect(tmp_path / "usage.db")) as connection, connection:
        connection.execute("UPDATE calls SET response_time = 'long'")
    result = invoke("usage", "--plot")
    assert (0, "1 row cannot be read and is left out.\n") == (result.exit_code, result.stderr)
    assert result.stdout.startswith("No calls in this ledger yet")


# --- what is counted --------------------------------------------------------------------------------------------


def test_tags_models_and_hours(invoke: Invoke, ledger: Path) -> None:
    """What makes a line is a matter of `--by`, and a tag's name alone is enough."""

    def groups(*args: str) -> list[str]:
        return [group["group"] for group in json.loads(invoke("usage", "--json", *args).stdout)["groups"]]

    assert ["a", "b", "(none)"] == groups("--tag", "team") == groups("--by", "tag", "--tag", "team")
    assert ["team=a", "team=b", "(none)"] == groups("--by", "tag")
    assert ["openai", "anthropic"] == groups("--by", "provider")
    assert "2027-01-15 00:00" == groups("--by", "hour")[0]


@pytest.mark.parametrize(
    ("args", "count"),
    [
        (("--since", "2027-01-16"), 3),
        (("--until", "2027-01-16"), 3),
        (("--until", "2027-01-16T00:00"), 2),
        (("--since", "2027-01-15T00:00:01", "--until", "2027-01-19"), 2),
        (("--since", "2027-01-16T00:00+01:00"), 3),
        (("--since", "1w"), 0),
        (("--until", "24h"), 0),
        (("--since", "999999d"), 5),
    ],
)
def test_a_time_can_be_asked_for(
    invoke: Invoke, ledger: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], count: int
) -> None:
    """A day as the end means the whole of it; what is ago counts from now."""
    now = BEGIN + 30 * DAY if args[0] == "--since" else BEGIN
    monkeypatch.setattr("time.time", lambda: now)
    assert count == json.loads(invoke("usage", "--json", *args).stdout)["total"]["requests"]


def test_the_ledger_is_a_file_or_a_url(
    invoke: Invoke, ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By option, else by the variable of the library, else `usage.db` here."""
    other = tmp_path / "other.db"
    write(other, [record()] * 9)

    def count(*args: str) -> int:
        found: int = json.loads(invoke("usage", "--json", *args).stdout)["total"]["requests"]
        return found

    assert [9, 9, 9] == [count("--ledger", name) for name in ("other.db", "sqlite:///other.db", f"sqlite:///{other}")]
    monkeypatch.setenv("MULTI_LLM_LEDGER", "sqlite:///other.db")
    assert [9, 5] == [count(), count("--ledger", "usage.db")]


def test_a_ledger_without_calls_is_no_error(invoke: Invoke, tmp_path: Path) -> None:
    """Nor is a time without calls."""
    write(tmp_path / "usage.db", [])
    result = invoke("usage", "--plot")
    assert (0, "No calls in this ledger yet, or none in this time.\n") == (result.exit_code, result.output)
    assert [] == json.loads(invoke("usage", "--json").stdout)["groups"]
    assert 1 == len(invoke("usage", "--csv").stdout.splitlines())


@pytest.mark.parametrize(
    ("args", "status", "error"),
    [
        (
            ["--ledger", "none.db"],
            2,
            "--ledger: there is no ledger at none.db; name another file, or have calls write one",
        ),
        (["--ledger", "text"], 2, "--ledger: text is no ledger"),
        (["--ledger", "newer"], 2, "newer version of multi-llm-wrapper .*; upgrade"),
        (["--ledger", "damaged"], 1, "the ledger damaged cannot be read"),
        (["--ledger", "redis://h"], 2, "--ledger: no such kind of ledger; give a file"),
        (["--ledger", "."], 2, r"--ledger: \. is no regular file; name the one that calls are written to$"),
        (["--ledger", "sqlite:////dev/null"], 2, "--ledger: /dev/null is no regular file; name the one"),
        (["--csv", "--json"], 2, "--csv and --json are two forms; give one of them"),
        (["--ledger", "sqlite://"], 2, "--ledger: .* names no file"),
        (["--since", "soon"], 2, "--since: 'soon' is no time; give one as 24h, 7d"),
        (["--until", "9999-12-31"], 2, "--until: '9999-12-31' is no time"),
        (["--by", "year"], 2, "'year' is not one of"),
        (["--by", "day", "--tag", "team"], 2, "--tag is for --by tag"),
    ],
)
def test_an_error_is_one_line(invoke: Invoke, tmp_path: Path, args: list[str], status: int, error: str) -> None:
    """It says what to do; nothing on standard output."""
    (tmp_path / "text").write_text("Dear diary, " * 100)
    for name in ("usage.db", "newer", "damaged"):
        write(tmp_path / name, [record(number) for number in range(200)])
    select(tmp_path / "newer", "PRAGMA user_version = 99")
    with (tmp_path / "damaged").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 20_000)

    result = invoke("usage", *args)
    assert (status, "", 1) == (result.exit_code, result.stdout, len(result.stderr.splitlines()))
    assert re.search(rf"^Error: .*{error}", result.stderr)


def test_names_from_outside_are_harmless(invoke: Invoke, tmp_path: Path) -> None:
    """A tag may say anything; it moves no cursor and ends no line."""
    write(tmp_path / "usage.db", [record(tags={"a": "x\x1b[2J\ny[red]"})])
    result = invoke("usage", "--by", "tag", "--plot")
    assert ("\x1b" in result.output, "a=x[2J y[red] " in result.output) == (False, True)


# --- the parts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"), (9999, "9,999"), (9999.6, "10.0k"), (12_345, "12.3k"), (99_960, "100k"), (999_499, "999k"),
        (999_500, "1.00M"), (1_234_567, "1.23M"), (9_996_000, "10.0M"), (5e9, "5.00B"), (5e13, "50,000B"),
    ],
)  # fmt: skip
def test_large_numbers_have_three_digits(count: float, text: str) -> None:
    """Exact up to 9,999, then three digits and a letter; beyond B there is none, so digits are added again."""
    assert text == tally._compact(count)


@pytest.mark.parametrize(
    ("cost", "total", "text"),
    [
        ("0", "0", "$0.00"), ("1234.567", "1234.567", "$1,234.57"), ("1.23456", "5", "$1.2346"),
        ("0.0000123", "0.5", "$0.000012"), ("0.0000001", "0.5", "<$0.000001"), ("0.001", "200", "<$0.01"),
    ],
)  # fmt: skip
def test_little_money_is_not_none(cost: str, total: str, text: str) -> None:
    """All amounts of a table have the same decimals."""
    assert text == tally._dollars(Decimal(cost), tally._decimals(Decimal(total)))


VALUES = st.lists(st.none() | st.floats(0.0, 1e6), min_size=1, max_size=200).filter(any)


@given(VALUES, st.integers(30, 150), st.booleans())
def test_every_line_of_a_plot_has_the_same_width(values: list[float | None], width: int, ascii_only: bool) -> None:
    """Of cells, whatever the values are; in ASCII where the terminal knows no more."""
    labels = [f"名{i}" * (i % 9) for i in range(len(values))]
    series = charts.Series("title", labels, values, lambda value: f"{value:,.2f}", "cyan")
    for draw in (charts.columns, charts.bars):
        (lines,) = draw([series], width, ascii_only=ascii_only)
        assert {width} == {cell_len(line.plain) for line in lines}
        assert not ascii_only or all(line.plain.replace("名", "").isascii() for line in lines)


def test_bars_are_as_long_as_their_values() -> None:
    """To an eighth of a cell, and never nothing for something."""
    series = charts.Series("t", ["a", "b", "c", "d"], [80.0, 45.0, 0.0, 0.01], str, "cyan")
    (lines,) = charts.bars([series], 17)
    assert ["t", "a ██████████ 80.0", "b █████▋     45.0", "c             0.0", "d ▏          0.01"] == [
        line.plain.rstrip() for line in lines
    ]


def test_a_long_name_is_cut_to_a_third() -> None:
    """By cells, with a mark that says so."""
    series = charts.Series("t", ["名" * 8, "short"], [1.0, 1.0], str, "cyan")
    assert ["名名名名 … ████████████████ 1.0", "short      ████████████████ 1.0"] == [
        line.plain for line in charts.bars([series], 31)[0][1:]
    ]
    assert charts.bars([series], 31, ascii_only=True)[0][1].plain.startswith("名名名名 ~ #")


def test_plots_of_one_time_have_one_scale() -> None:
    """Days that have no room are added up, the same number in each of them."""
    days = [str(day) for day in range(50)]
    both = [
        charts.Series(name, days, values, show, "cyan")
        for name, values, show in (("a", [1.0] * 50, str), ("b", [1e6] * 50, lambda value: f"${value:,.4f}"))
    ]
    first, second = charts.columns(both, 40)
    assert ("a, 3 together", "b, 3 together") == (first[0].plain.strip(), second[0].plain.strip())
    assert first[-2].plain.count("─") == second[-2].plain.count("─") == 17


def test_usage_tokens_of_a_host_without_input_count_what_is_known(invoke: Invoke, tmp_path: Path) -> None:
    """A host may report half of it; the other half is not made up."""
    write(tmp_path / "usage.db", [record(usage=Usage(output_tokens=7), cost=None)])
    total = json.loads(invoke("usage", "--json").stdout)["total"]
    assert (0, 7, 1, 0) == tuple(
        total[name] for name in ("input_tokens", "output_tokens", "unpriced_requests", "unreported_requests")
    )


def test_what_is_added_up_is_unknown_when_nothing_of_it_is_known() -> None:
    """Days without a place of their own: a known one beside an unknown one counts, one without calls does not."""
    values = [None, 0.0, 4.0, None, 0.0, 0.0, 8.0, 0.0]
    series = charts.Series("t", [str(day) for day in range(8)], values, lambda value: f"{value:.0f}", "cyan")
    (lines,) = charts.columns([series], 8, ascii_only=True)
    assert ["t, 2 tog", "8 |   #", "  |   #", "  |   #", "  | # #", "  | # #", "  |?# #", "0 +----"] == [
        line.plain.rstrip() for line in lines[:8]
    ]
