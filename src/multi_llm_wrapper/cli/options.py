"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_SETTINGS = (
    click.option("--system", metavar="TEXT", help="The system prompt."),
    click.option("--max-tokens", type=int, metavar="N", help="The most tokens an answer may have."),
    click.option("--temperature", type=float, metavar="X", help="0 (always the likeliest word) to 2."),
    click.option("--timeout", type=float, metavar="SECONDS", help="For one answer, all attempts together."),
)
_HOST = (
    click.option(
        "--base-url",
        metavar="URL",
        help="Ask this host, which speaks OpenAI's Chat Completions, as in http://localhost:11434/v1.",
    ),
    click.option("--api-key-env", metavar="NAME", help="The environment variable with the key of --base-url."),
)

verbose = click.option("-v", "--verbose", is_flag=True, help="Say more: error type, code, request id, attempts.")


def answer_settings(function: F) -> F:
    """`--system`, `--max-tokens`, `--temperature`, `--timeout`, as keywords that `given` takes."""
    return _all(_SETTINGS, function)


def host(function: F) -> F:
    return _all(_HOST, function)


def _all(decorators: tuple[Callable[[F], F], ...], function: F) -> F:
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


def given(**values: Any) -> dict[str, Any]:
    """The options of the library: what was given on the command line, and nothing else."""
    return {name: value for name, value in values.items() if value is not None}
