"""`multi-llm faults`: what the simulator can do wrong, and what a caller sees of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from .exits import BAD_INPUT, FAILED, Problem

if TYPE_CHECKING:
    from ..simulator.faults import Fault
    from ..validation.cells import Cell, Outcome

_DIALECTS = {"openai": "openai_chat", "anthropic": "anthropic_messages", "gemini": "gemini"}


@click.group("faults", short_help="List the simulator's faults, or run one.", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the faults that the simulator can put into its replies, with their parameters.

    A request asks for one in the header x-sim-fault, as in "cut?k=3&times=2", or in the name of its model, as in
    gpt-4o@cut,k=3.
    """
    if ctx.invoked_subcommand is not None:
        return
    from ..simulator.faults import FAULTS
    from . import report, terminal

    if as_json:
        terminal.write(terminal.as_json([describe(fault) for fault in FAULTS.values()]))
        return
    out = terminal.console()
    rows = [(fault.name, "/".join(fault.on), _params(fault), fault.about) for fault in FAULTS.values()]
    terminal.show(out, report.table(out, ("fault", "asked by", "parameters", "what happens"), rows, fixed=2))


def describe(fault: Fault) -> dict[str, Any]:
    return {
        "name": fault.name,
        "about": fault.about,
        "effect": fault.effect,
        "parameters": {name: str(value) if value == float("inf") else value for name, value in fault.params.items()},
        "asked_by": list(fault.on),
        "dialects": list(fault.dialects),
    }


def _params(fault: Fault) -> str:
    return " ".join(f"{name}={value:g}" for name, value in fault.params.items()) or "-"


@command.command("run", short_help="Run one and show what a caller sees.")
@click.argument("name", metavar="NAME[?PARAMETERS]")
@click.option("--dialect", type=click.Choice(list(_DIALECTS)), default="openai", show_default=True)
@click.option("--stream", is_flag=True, help="Ask for a stream.")
@click.option("--once", is_flag=True, help="Only the first request fails, not all.")
@click.option("--restart", is_flag=True, help='With on_interrupt="restart", for a stream.')
@click.option(
    "--base-url",
    metavar="URL",
    help="Ask a simulator at this URL, or what has one behind it, in real time; else one in memory, with a clock that "
    "jumps over the waits.",
)
@click.option("--api-key-env", metavar="NAME", help="The environment variable with the key of --base-url.")
def run(
    name: str, dialect: str, stream: bool, once: bool, restart: bool, base_url: str | None, api_key_env: str | None
) -> None:
    """Run one fault, as in `multi-llm faults run cut?k=3 --stream`, and show what a caller sees of it.

    Ends with status 1 when the client does not do what it promises.
    """
    from ..validation import cells
    from . import terminal

    cell = _cell(name, _DIALECTS[dialect], stream, once, restart)
    found = cells.run(cell) if base_url is None else asyncio.run(cells.run_at(base_url, _key(api_key_env), cell))
    broken = cells.violations(cell, found)
    terminal.write("".join(f"{line}\n" for line in _lines(cell, found, broken)))
    if broken:
        raise Problem(f"{cell.spec}: {'; '.join(broken)}", FAILED)


def _cell(spec: str, dialect: str, stream: bool, once: bool, restart: bool) -> Cell:
    from ..simulator.faults import parse
    from ..validation.cells import Cell

    try:
        specs = parse(spec)
    except ValueError as error:
        raise Problem(str(error), BAD_INPUT) from None
    if len(specs) != 1:
        raise Problem("run one fault at a time", BAD_INPUT)
    fault = specs[0].fault
    if not fault.applies(dialect, stream):
        mode = "stream" if stream else "query"
        raise Problem(
            f"the fault {fault.name} is for {', '.join(fault.dialects)} and for {' and '.join(fault.on)}; it does "
            f"nothing in a {mode} of {dialect}",
            BAD_INPUT,
        )
    return Cell(spec, dialect, stream, once, restart and stream)


def _key(variable: str | None) -> str:
    if variable is None:
        return "any-key"
    key = os.environ.get(variable, "").strip()
    if not key:
        raise Problem(f"--api-key-env: {variable} is not set", BAD_INPUT)
    return key


def _lines(cell: Cell, found: Outcome, broken: list[str]) -> Iterator[str]:
    from ..simulator.faults import FAULTS
    from . import report

    asked = f"{'stream' if cell.stream else 'query'}, {cell.dialect}, "
    yield _line("fault", f"{cell.spec}: {FAULTS[cell.name].about}")
    yield _line("asked", asked + ("the first request fails" if cell.once else "every request fails"))
    yield _line("status", found.status)
    if found.response is not None and not found.response.ok:
        yield _line("error", f"{found.error_type}: {report.explain(found.response)}")
    if found.delivered or found.restarts:
        yield _line(
            "chunks", f"{found.delivered} with content" + (f", {found.restarts} restarts" * bool(found.restarts))
        )
    yield _line("answer", "whole" if found.whole else "not the healthy one" if found.content else "none")
    yield _line("time", report.seconds(found.seconds))
    if found.response is not None:
        yield from report.details(found.response)
    yield _line("promises", "; ".join(broken) or "kept")


def _line(name: str, words: str) -> str:
    return f"  {name:17}{words}"
