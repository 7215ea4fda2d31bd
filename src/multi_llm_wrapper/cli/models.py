"""`multi-llm models`: which providers are known, where they are asked, and whether there is a key."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from ..providers import ProviderRow

ONE_LINE = 150
"""Cells that are enough to tell a provider in one line."""

_USER = re.compile(r"//[^/@]*@")


@click.command("models", short_help="List the providers, their URLs and whether a key is set.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
def command(as_json: bool) -> None:
    """List the providers: protocol, base URL, whether a key is set, and the models that belong to them.

    A model of another name is asked by provider and name, as in -m groq/openai/gpt-oss-120b.
    """
    from ..providers import ROWS
    from . import terminal

    known = [describe(row) for row in ROWS.values()]
    if as_json:
        terminal.write(terminal.as_json(known))
        return
    out = terminal.console()
    if out.width < ONE_LINE:
        _list(out, known)
    else:
        _table(out, known)


def describe(row: ProviderRow) -> dict[str, Any]:
    """A provider as the environment has it; the key itself is never in it."""
    key = _first(row.key_env)
    url = _first(row.base_url_env)
    return {
        "provider": row.name,
        "dialect": row.dialect,
        "base_url": _address(row, url),
        "base_url_variables": list(row.base_url_env),
        "key_set": key is not None,
        "key_from": key,
        "key_variables": list(row.key_env),
        "key_required": row.key_required,
        "model_families": [f"{family}*" for family in row.families],
    }


def _first(variables: tuple[str, ...]) -> str | None:
    return next((variable for variable in variables if os.environ.get(variable, "").strip()), None)


def _address(row: ProviderRow, variable: str | None) -> str | None:
    """None where everybody has one of their own and none is given."""
    if variable is not None:
        return _USER.sub("//***@", os.environ[variable].strip()).rstrip("/")
    return None if row.own_address else row.base_url.rstrip("/")


# --- for people -------------------------------------------------------------------------------------------------


def _table(out: Console, known: Sequence[dict[str, Any]]) -> None:
    from . import report, terminal

    rows = [(facts["provider"], facts["dialect"], _place(facts), _key(facts), _models(facts)) for facts in known]
    terminal.show(out, report.table(out, ("provider", "dialect", "base URL", "key", "models"), rows, fixed=4))


def _list(out: Console, known: Sequence[dict[str, Any]]) -> None:
    """What is too wide for a table."""
    from rich.table import Table
    from rich.text import Text

    from . import terminal

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for facts in known:
        about = Text.assemble(f"{facts['dialect']}, key ", _key(facts), f"\n{_place(facts)}")
        if facts["model_families"]:
            about.append(f"\n{_models(facts)}")
        grid.add_row(facts["provider"], about)
    terminal.show(out, grid)


def _place(facts: dict[str, Any]) -> str:
    from .wrap import one_line

    if facts["base_url"] is None:
        return f"your own: set {' or '.join(facts['base_url_variables'])}"
    return one_line(facts["base_url"])


def _key(facts: dict[str, Any]) -> Text:
    """Whether there is one, and the variable for it: the first of several."""
    from rich.text import Text

    if facts["key_set"]:
        return Text(f"set ({facts['key_from']})", "green")
    if not facts["key_required"]:
        return Text("not needed")
    return Text(f"not set ({facts['key_variables'][0]})" if facts["key_variables"] else "not set", "yellow")


def _models(facts: dict[str, Any]) -> str:
    return " ".join(facts["model_families"]) or f"{facts['provider']}/..."
