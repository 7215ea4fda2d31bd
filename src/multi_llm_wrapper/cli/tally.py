"""The sums of a ledger for people (a table, notes, plots) and for programs (`facts`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from . import charts, report
from .wrap import one_line

if TYPE_CHECKING:
    from ..metering.ledger.summary import Summary, Sums

MOST_LINES, MOST_BARS = 60, 12
"""Of a table in a terminal, and of a plot of what is no time."""
BESIDE = 100
"""Columns of a terminal with room for two plots beside each other."""
PIPE = 80
"""Columns of a plot that goes into a file."""
_STEPS = {"day": ("%Y-%m-%d", timedelta(days=1)), "hour": ("%Y-%m-%d %H:00", timedelta(hours=1))}
_MOST_STEPS = 20_000

# --- for programs -----------------------------------------------------------------------------------------------

COLUMNS = (
    "requests",
    "errors",
    "error_rate",
    "abandoned",
    "cache_hits",
    "unsent",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "unreported_requests",
    "cost_usd",
    "unpriced_requests",
    "response_time_p50",
    "response_time_p95",
)
"""Of the CSV output, after `group`; new ones are appended."""


def facts(sums: Sums) -> dict[str, Any]:
    """JSON: the names of `COLUMNS`, and `errors_by_class`. `cost_usd` is a text, because it is exact; times are in
    seconds, None when there was no request."""
    return {
        "requests": sums.requests,
        "errors": sums.errors,
        "error_rate": round(sums.error_rate, 6),
        "abandoned": sums.abandoned,
        "cache_hits": sums.cache_hits,
        "unsent": sums.unsent,
        "input_tokens": sums.input_tokens,
        "output_tokens": sums.output_tokens,
        "cache_read_tokens": sums.cache_read_tokens,
        "unreported_requests": sums.unreported,
        "cost_usd": f"{sums.cost:f}",
        "unpriced_requests": sums.unpriced,
        "response_time_p50": _quantile(sums, 0.5),
        "response_time_p95": _quantile(sums, 0.95),
        "errors_by_class": dict(sorted(sums.errors_by_class.items())),
    }


def _quantile(sums: Sums, q: float) -> float | None:
    return round(sums.times.quantile(q), 6) if sums.requests else None


# --- the table --------------------------------------------------------------------------------------------------


class Column(NamedTuple):
    heading: str
    cell: Callable[[Sums, int], str | Text]
    """Of a group; the number is that of decimals of the spend."""
    rank: int = 0
    """Where there is no room for all, the columns of the highest rank go first; those of 0 stay."""


def _unknown(sums: Sums) -> bool:
    return sums.unpriced > 0 and not sums.cost


def _spend(sums: Sums, decimals: int) -> str | Text:
    if _unknown(sums):
        return Text(charts.UNKNOWN, "yellow")
    text = _dollars(sums.cost, decimals)
    return Text(f"{text}*", "yellow") if sums.unpriced else f"{text} "


def _errors(sums: Sums, _: int) -> str | Text:
    return Text(_compact(sums.errors), "red") if sums.errors else "0"


def _rate(sums: Sums, _: int) -> str:
    if not sums.requests:
        return report.UNKNOWN
    return f"{sums.error_rate:.1%}" if sums.errors else "0%"


def _time(q: float) -> Callable[[Sums, int], str]:
    def cell(sums: Sums, _: int) -> str:
        return report.seconds(sums.times.quantile(q)) if sums.requests else report.UNKNOWN

    return cell


_TABLE = (
    Column("spend ", _spend),
    Column("requests", lambda sums, _: f"{sums.requests:,}"),
    Column("errors", _errors),
    Column("error\nrate", _rate, rank=5),
    Column("cache\nhits", lambda sums, _: _compact(sums.cache_hits), rank=3),
    Column("tokens\nin", lambda sums, _: _compact(sums.input_tokens), rank=1),
    Column("tokens\ncached", lambda sums, _: _compact(sums.cache_read_tokens), rank=4),
    Column("tokens\nout", lambda sums, _: _compact(sums.output_tokens), rank=1),
    Column("time\np50", _time(0.5), rank=2),
    Column("time\np95", _time(0.95)),
)


def table(out: Console, summary: Summary, title: str) -> tuple[Table, list[str]]:
    """With as many columns as there is room for; the names of those that there is none for."""
    free = out.options.update(max_width=10_000)
    for rank in range(max(column.rank for column in _TABLE), -1, -1):
        columns = [column for column in _TABLE if column.rank <= rank]
        made = _table(out, summary, title, columns)
        if Measurement.get(out, free, made).maximum <= out.width:
            break
    return made, [column.heading.replace("\n", " ") for column in _TABLE if column not in columns]


def _table(out: Console, summary: Summary, title: str, columns: Sequence[Column]) -> Table:
    decimals = _decimals(summary.total.cost)
    headings = [one_line(title), *(column.heading for column in columns)]
    made = report.table(out, headings, [], numbers=len(columns))
    for name, sums in _shown(out, summary):
        made.add_row(one_line(name), *(column.cell(sums, decimals) for column in columns))
    if len(summary.groups) > 1:
        made.add_section()
        made.add_row("total", *(column.cell(summary.total, decimals) for column in columns))
    return made


def _shown(out: Console, summary: Summary) -> Iterator[tuple[str, Sums]]:
    """The newest or the largest, where a person has to look at them."""
    skip = len(summary.groups) - MOST_LINES if out.is_terminal and summary.by in _STEPS else 0
    most = MOST_LINES if out.is_terminal else None
    return islice(summary.groups.items(), max(0, skip), None if most is None else max(0, skip) + most)


def notes(summary: Summary, missing: Sequence[str], *, shown: bool) -> Iterator[str]:
    """What the numbers do not say; `missing` are columns, `shown` is to a person."""
    total = summary.total
    if missing:
        yield f"No room for: {', '.join(missing)}."
    if shown and len(summary.groups) > MOST_LINES:
        which = "newest" if summary.by in _STEPS else "largest"
        yield f"These are the {MOST_LINES} {which} of {len(summary.groups):,}; --csv and --json have all."
    if total.unpriced:
        yield f"* {_many(total.unpriced, 'request', 'requests')} used what has no known price; the spend is without it."
    if total.unreported:
        yield f"{_many(total.unreported, 'request', 'requests')} reported no tokens."
    if total.unsent:
        yield f"{_many(total.unsent, 'call', 'calls')} sent nothing: refused, given up, or waiting for one that failed."
    if total.errors_by_class:
        ordered = sorted(total.errors_by_class.items(), key=lambda item: (-item[1], item[0]))
        yield f"Errors: {', '.join(f'{name} {count:,}' for name, count in ordered)}."
    yield from left_out(summary)


def left_out(summary: Summary) -> Iterator[str]:
    """The note that the numbers are not those of all rows, if so."""
    if summary.unreadable:
        yield f"{_many(summary.unreadable, 'row cannot be read and is', 'rows cannot be read and are')} left out."


def _many(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"


def _decimals(cost: Decimal) -> int:
    """So many that the total has three digits that count, and a cent at the most is lost."""
    return 2 if cost >= 100 or not cost else 4 if cost >= 1 else 6


def _dollars(cost: Decimal | float, decimals: int) -> str:
    text = f"${cost:,.{decimals}f}"
    return f"<${10**-decimals:.{decimals}f}" if cost and not float(text[1:].replace(",", "")) else text


def _compact(count: float) -> str:
    """Exact up to 9,999, then three digits."""
    if count < 9999.5:
        return f"{count:,.0f}"
    thousands = 0
    while count >= 999.5 and thousands < 3:
        count, thousands = count / 1000, thousands + 1
    decimals = 2 if count < 9.995 else 1 if count < 99.95 else 0
    return f"{count:,.{decimals}f}{'kMB'[thousands - 1]}"


# --- plots ------------------------------------------------------------------------------------------------------


def plots(out: Console, summary: Summary) -> RenderableType:
    """Spend and requests: over time, or by name; beside each other where there is room."""
    width = out.width if out.is_terminal else PIPE
    wide = width >= BESIDE
    room = (width - 4) // 2 if wide else width - 1
    draw = charts.columns if summary.by in _STEPS else charts.bars
    drawn = draw(list(_series(summary)), room, ascii_only=out.options.ascii_only)
    grid = Table.grid(padding=(0, 4 if wide else 0, 0, 0))
    if wide:
        grid.add_row(*(Text("\n").join(lines) for lines in drawn))
        return grid
    for i, lines in enumerate(drawn):
        grid.add_row(Text("\n").join([*([Text()] if i else []), *lines]))
    return grid


def _series(summary: Summary) -> Iterator[charts.Series]:
    labels = _labels(summary)
    groups = [summary.groups.get(label) for label in labels]
    costs = [0.0 if sums is None else None if _unknown(sums) else float(sums.cost) for sums in groups]
    counts = [float(sums.requests) if sums is not None else 0.0 for sums in groups]
    per = f" per {summary.by}" if summary.by in _STEPS else f" by {summary.by}"
    decimals = _decimals(summary.total.cost)
    if any(costs):
        yield charts.Series(f"spend{per}", labels, costs, lambda cost: _dollars(cost, decimals), "green")
    if any(counts):
        yield charts.Series(f"requests{per}", labels, counts, _compact, "cyan")


def _labels(summary: Summary) -> list[str]:
    """All days or hours, those without a call too; or the largest of what is no time."""
    names = list(summary.groups)
    if summary.by not in _STEPS:
        return names[:MOST_BARS]
    form, step = _STEPS[summary.by]
    at, last = (datetime.strptime(name, form) for name in (names[0], names[-1]))  # only counted with
    if (last - at) / step > _MOST_STEPS:
        return names
    return [(at + i * step).strftime(form) for i in range(round((last - at) / step) + 1)]


__all__ = ["COLUMNS", "facts", "left_out", "notes", "plots", "table"]
