"""Writes the table of docs/providers.md anew from the rows: `python docs/providers_table.py`, in the repository."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from multi_llm_wrapper.dialects.base import Quirks
from multi_llm_wrapper.providers import ROWS, ProviderRow

PAGE = Path(__file__).with_name("providers.md")
START, END = "<!-- written by docs/providers_table.py -->", "<!-- end of what is written -->"
HEAD = ("provider", "protocol", "base URL (variable)", "key", "models without `provider/`", "differs in", "source")


def table() -> str:
    """All rows as a table in Markdown."""
    lines = [HEAD, ("---",) * len(HEAD), *map(_cells, ROWS.values())]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def page(text: str) -> str:
    """The page with its table as the rows have it now."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{table()}\n{END}{after}"


def _cells(row: ProviderRow) -> tuple[str, ...]:
    return (
        f"`{row.name}`",
        row.dialect,
        f"`{row.base_url}` ({_code(row.base_url_env)})",
        _code(row.key_env) + ("" if row.key_required else ", if any"),
        " ".join(f"`{family}*`" for family in row.families) or "-",
        "; ".join(_differences(row)) or "-",
        f"[page]({row.source})",
    )


def _differences(row: ProviderRow) -> Iterator[str]:
    """What is not as OpenAI has it, in words."""
    if row.own_address:
        yield "the address is your own"
    if row.auth != ("authorization", "Bearer "):
        yield f"key in `{row.auth[0]}`"
    if row.version_header:
        yield f"`api_version` is the header `{row.version_header}`"
    if row.version_in_url:
        yield "`api_version` is a part of the URL"
    if row.deployments:
        yield f"URL has `{row.deployments.replace('{version}', row.version or '')}` unless it ends with `/v1`"
    if row.version_env:
        yield f"version from {_code(row.version_env)}"
    yield from _quirks(row.quirks)


def _quirks(quirks: Quirks) -> Iterator[str]:
    if quirks.max_tokens_field:
        yield f"limit is `{quirks.max_tokens_field}`"
    if not quirks.stream_usage:
        yield "no `stream_options`"
    if quirks.echo:
        yield f"{_code(quirks.echo)} goes back with the next turn"
    if quirks.refuses:
        yield f"refuses {_code(sorted(quirks.refuses))}"
    if not quirks.developer_role:
        yield "`developer` is sent as `system`"
    if quirks.always:
        yield f"always has {_code(quirks.always)}"


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE} is up to date\n")
