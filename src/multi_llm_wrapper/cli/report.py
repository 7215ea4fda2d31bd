"""Responses in words: the comparison table, one line for an error, and all the rest of it for `--verbose`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import terminal
from .wrap import one_line

if TYPE_CHECKING:
    from ..response import Response

UNKNOWN = "-"

_NOTES = {
    "length": "the answer was cut off at the token limit; raise --max-tokens",
    "content_filter": "the provider's filter stopped the answer",
}


def table(
    out: Console,
    headings: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    numbers: int = 0,
    fixed: int = 0,
) -> Table:
    """A table for a terminal, or plain columns for a pipe. The last `numbers` columns are aligned to the right; they
    and the first `fixed` are not folded when room is scarce. A line end in a heading counts in a terminal alone."""
    plain = not out.is_terminal
    made = Table(
        box=None if plain else box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2 if plain else 1, 0, 0)
    )
    for i, heading in enumerate(headings):
        right = i >= len(headings) - numbers
        title = heading.replace("\n", " ") if plain else heading
        made.add_column(title, justify="right" if right else "left", overflow="fold", no_wrap=right or i < fixed)
    for row in rows:
        made.add_row(*row)
    return made


def comparison(out: Console, responses: Iterable[Response], labels: Sequence[str]) -> Table:
    """Who answered, how it went, what it took."""
    rows = [_row(response, label) for response, label in zip(responses, labels, strict=True)]
    headings = ("provider", "model", "status", "tokens\nin", "tokens\nout", "first\ntoken", "response\ntime")
    return table(out, headings, rows, numbers=4, fixed=1)


def _row(response: Response, label: str) -> tuple[str | Text, ...]:
    facts, usage = response.metadata, response.usage or {}
    status = Text("success", "green") if response.ok else Text(str(response.error_type), "red")
    return (
        response.provider or UNKNOWN,
        one_line(response.model or label),
        Text("interrupted", "yellow") if facts.get("code") == "closed" else status,
        _count(usage.get("input_tokens")),
        _count(usage.get("output_tokens")),
        _time(facts["time_to_first_token"]),
        _time(facts["response_time"]),
    )


def _count(tokens: int | None) -> str:
    return UNKNOWN if tokens is None else f"{tokens:,}"


def _time(value: float | None) -> str:
    return UNKNOWN if value is None else seconds(value)


def seconds(value: float, *, running: bool = False) -> str:
    """A time for people; of one that still runs, no more digits than an eye can follow."""
    if running:
        return f"{value:.1f} s"
    return f"{value * 1000:.0f} ms" if value < 0.9995 else f"{value:.2f} s"


# --- errors -----------------------------------------------------------------------------------------------------


def error_line(response: Response, label: str | None = None) -> str:
    """What happened and what to do; `label` where more than one could be meant."""
    return f"Error: {f'{label}: ' if label else ''}{explain(response)}"


def explain(response: Response) -> str:
    """The error's message. It speaks to a programmer; what a user of the command does about it may be less."""
    if response.metadata.get("code") == "missing_key":
        from ..providers import ROWS

        row = ROWS.get(response.provider or "")
        if row is not None and row.key_env:
            return f"there is no API key for {row.name}; set {' or '.join(row.key_env)} (see: multi-llm models)"
    return one_line(str(response.error)).replace("the log has the traceback", "--verbose shows the traceback")


def note(response: Response) -> str | None:
    """What is worth a word about an answer that is a success."""
    return _NOTES.get(response.finish_reason or "") if response.ok else None


def details(response: Response) -> Iterator[str]:
    """Everything else that is known about a call, a fact a line, for `--verbose`."""
    facts = response.metadata
    known = {
        "provider": response.provider,
        "model": response.model,
        "error_type": response.error_type,
        "code": facts.get("code"),
        "HTTP status": facts.get("status_code"),
        "retry after": facts.get("retry_after"),
        "finish reason": facts["finish_reason"],
        "request id": facts["request_id"],
        "dropped settings": ", ".join(facts["dropped_params"]),
        "cost": _cost(facts.get("cost_usd")),
        "attempts": facts["attempts"],
    }
    for name, value in known.items():
        if value is not None and value != "":
            yield f"  {name:17}{one_line(str(value))}"
    for i, attempt in enumerate(facts.get("attempts_detail") or (), 1):
        yield f"  {f'attempt {i}':17}{_attempt(attempt)}"


def _cost(usd: float | None) -> str | None:
    """A single call often costs a fraction of a cent: two digits that count, whole cents at least."""
    if usd is None:
        return None
    return f"${usd:.{max(2, 1 - math.floor(math.log10(usd))) if usd else 2}f}"


def _attempt(facts: dict[str, Any]) -> str:
    words = [facts.get("error_type") or "success"]
    if facts.get("hedge"):
        words.append("beside a late one")
    if facts.get("status_code") is not None:
        words.append(f"HTTP {facts['status_code']}")
    words.append(f"after {seconds(facts['duration'])}")
    if facts.get("wait") is not None:
        words.append(f"then {seconds(facts['wait'])} of waiting")
    return ", ".join(words)


def say(responses: Sequence[Response], labels: Sequence[str], *, errors: bool, verbose: bool) -> None:
    """On standard error: the errors, unless a view has shown them, and with `verbose` everything."""
    many = len(responses) > 1
    for response, label in zip(responses, labels, strict=True):
        name = one_line(label) if many else None
        if not response.ok and errors:
            terminal.tell(error_line(response, name))
        elif (word := note(response)) is not None:
            terminal.tell(f"Note: {f'{name}: ' if name else ''}{word}.")
        if verbose:
            terminal.tell(f"{one_line(label)}:")
            for line in details(response):
                terminal.tell(line)
