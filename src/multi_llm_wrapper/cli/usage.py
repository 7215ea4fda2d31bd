"""`multi-llm usage`: what the ledger says of spend, requests, tokens, errors and response times."""

from __future__ import annotations

import io
import os
import re
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

import click

from .exits import BAD_INPUT, FAILED, Problem

if TYPE_CHECKING:
    from ..metering.ledger.summary import Summary

_AGO = re.compile(r"(\d{1,6})\s*(min|h|d|w)")
_UNITS = {"min": 60, "h": 3600, "d": 86_400, "w": 604_800}


@click.command("usage", short_help="Show spend, tokens, errors and times from the ledger.")
@click.option(
    "--ledger",
    metavar="FILE|URL",
    envvar="MULTI_LLM_LEDGER",
    default="usage.db",
    help="The ledger: a file, or a URL as WrapperConfig.ledger takes it.  [default: $MULTI_LLM_LEDGER, or usage.db]",
)
@click.option("--by", type=click.Choice(("day", "hour", "model", "provider", "tag")), help="What makes a line.")
@click.option("--tag", metavar="NAME", help="By the values of this tag.")
@click.option(
    "--since", metavar="WHEN", help="Only calls since then: 90min, 24h, 7d, 4w, 2026-11-01, 2026-11-01T09:30."
)
@click.option("--until", metavar="WHEN", help="Only calls before then, or until the end of a day.")
@click.option("--plot/--no-plot", default=None, help="Bars below the table.  [default: in a terminal]")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one line for each group.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the groups and the total.")
def command(
    ledger: str,
    by: str | None,
    tag: str | None,
    since: str | None,
    until: str | None,
    plot: bool | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show what the ledger says of spend, requests, tokens, errors and response times.

    Days and hours are those of local time. By provider and by model, a call counts once for each that it asked.
    """
    if tag is not None and by not in (None, "tag"):
        raise click.UsageError(f"--tag is for --by tag, not for --by {by}")
    if as_csv and as_json:
        raise click.UsageError("--csv and --json are two forms; give one of them")
    by = by or ("day" if tag is None else "tag")
    period = _moment("--since", since), _moment("--until", until, end=True)
    summary = _summary(_file(ledger), by, tag, *period)
    if as_csv:
        _csv(summary)
    elif as_json:
        _json(summary)
    else:
        _table(summary, tag or by, plot)


def _summary(path: str, by: str, tag: str | None, since: float | None, until: float | None) -> Summary:
    import sqlite3

    from ..metering.ledger.sink import RefusedError
    from ..metering.ledger.summary import summarise

    try:
        return summarise(path, by, tag=tag, since=since, until=until)
    except RefusedError as error:
        raise Problem(f"--ledger: {error}", BAD_INPUT) from None
    except sqlite3.Error as error:
        raise Problem(f"the ledger {path} cannot be read ({error})", FAILED) from None


def _file(ledger: str) -> str:
    path = _file_of_url(ledger) if "://" in ledger else ledger
    if os.path.exists(path) and not os.path.isfile(path):
        raise Problem(f"--ledger: {path} is no regular file; name the one that calls are written to", BAD_INPUT)
    return path


def _file_of_url(ledger: str) -> str:
    from urllib.parse import urlsplit

    from ..metering.ledger.base import file_of

    try:
        parts = urlsplit(ledger)
        if parts.scheme == "sqlite":
            return file_of(parts)
    except ValueError as error:
        raise Problem(f"--ledger: {error}", BAD_INPUT) from None
    raise Problem('--ledger: no such kind of ledger; give a file, or a URL as "sqlite:///usage.db"', BAD_INPUT)


def _moment(option: str, text: str | None, *, end: bool = False) -> float | None:
    """Unix seconds; `end` makes a day mean its end."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        return time.time() - int(ago[1]) * _UNITS[ago[2]]
    try:
        found = datetime.fromisoformat(text.strip())
        whole_day = len(text.strip()) <= len("2026-11-01")
        return (found + timedelta(days=1) if end and whole_day else found).timestamp()
    except (ValueError, OverflowError, OSError):
        _bad_moment(option, text)


def _bad_moment(option: str, text: str) -> NoReturn:
    raise Problem(f"{option}: {text[:40]!r} is no time; give one as 24h, 7d, 2026-11-01 or 2026-11-01T09:30", BAD_INPUT)


# --- the forms --------------------------------------------------------------------------------------------------


def _json(summary: Summary) -> None:
    from . import terminal
    from .tally import facts

    groups = [{"group": name, **facts(sums)} for name, sums in summary.groups.items()]
    told = {"by": summary.by, "groups": groups, "total": facts(summary.total), "unreadable_rows": summary.unreadable}
    terminal.write(terminal.as_json(told))


class _Lines(io.StringIO):
    """Lines that end as they do here. The `csv` module quotes a carriage return only where its own lines end in one."""

    def write(self, line: str) -> int:
        return super().write(line.removesuffix("\r\n") + "\n")


def _csv(summary: Summary) -> None:
    import csv

    from . import terminal
    from .tally import COLUMNS, facts, left_out

    text = _Lines()
    writer = csv.DictWriter(text, ["group", *COLUMNS], extrasaction="ignore")
    writer.writeheader()
    writer.writerows({"group": name, **facts(sums)} for name, sums in summary.groups.items())
    terminal.write(text.getvalue())
    for note in left_out(summary):
        terminal.tell(note)


def _table(summary: Summary, title: str, plot: bool | None) -> None:
    from . import tally, terminal

    if not summary.total.calls:
        terminal.write("No calls in this ledger yet, or none in this time.\n")
        for note in tally.left_out(summary):
            terminal.tell(note)
        return
    out = terminal.console()
    table, missing = tally.table(out, summary, title)
    terminal.show(out, table)
    for note in tally.notes(summary, missing, shown=out.is_terminal):
        terminal.tell(note)
    if plot or (plot is None and out.is_terminal):
        terminal.show(out, tally.plots(out, summary), apart=True)


__all__ = ["command"]
