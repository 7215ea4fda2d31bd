"""The fault matrix as a page: `python -m multi_llm_wrapper.validation.matrix docs/faults.md` writes it anew.

What stands outside the marks is left as it is; without a path the tables go to standard output.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import structs

from ..simulator.faults import DIALECTS, FAULTS, Fault
from .cells import Cell, Outcome, cells, run, violations

START, END = "<!-- written by multi_llm_wrapper.validation.matrix -->", "<!-- end of what is written -->"
NAMES = {"openai_chat": "OpenAI", "anthropic_messages": "Anthropic", "gemini": "Gemini"}

Results = dict[Cell, Outcome]


def every() -> Iterator[Cell]:
    """All that the page shows."""
    yield from cells()
    yield from cells(restart=True)
    yield from cells(fallback=True)


def measure(wanted: Iterable[Cell]) -> Results:
    """Runs the cells one after the other. Raises `AssertionError` when a promise is broken: such a page is not
    written."""
    found: Results = {}
    for cell in wanted:
        found[cell] = run(cell)
        broken = violations(cell, found[cell])
        if broken:
            raise AssertionError(f"{cell}: {'; '.join(broken)}")
    return found


def page(text: str, results: Results) -> str:
    """The page with its tables as `results` have it."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{tables(results)}\n{END}{after}"


def tables(results: Results) -> str:
    lines = ["### The faults", "", "| name | parameters | what happens |", "| --- | --- | --- |"]
    lines += [f"| `{fault.name}` | {parameters(fault)} | {fault.about} |" for fault in FAULTS.values()]
    lines += ["", "### What the caller sees", ""]
    lines += ["| fault | asked by | every request fails | only the first fails | the same, restarting | every request"]
    lines[-1] += " fails, with a fallback |"
    lines += ["| --- | --- | --- | --- | --- | --- |", *rows(results)]
    return "\n".join(lines) + "\n"


def parameters(fault: Fault) -> str:
    return " ".join(f"`{name}={value:g}`" for name, value in fault.params.items()) or "-"


def rows(results: Results) -> Iterator[str]:
    """A row for each fault, or several where it ends in several ways."""
    specs = dict.fromkeys(cell.spec for cell in results)
    for spec in specs:
        ends: dict[tuple[str, ...], list[tuple[str, bool]]] = {}
        always = [cell for cell in results if cell.spec == spec and not (cell.once or cell.fallback)]
        asked = [(cell.dialect, cell.stream) for cell in always]
        for cell in always:
            once = structs.replace(cell, once=True)
            falling = structs.replace(cell, restart=cell.stream, fallback=True)
            ways = map(results.get, (cell, once, structs.replace(once, restart=True), falling))
            words = tuple(outcome_words(found) if found is not None else "" for found in ways)
            ends.setdefault(words, []).append((cell.dialect, cell.stream))
        for words, who in ends.items():
            yield f"| `{spec}` | {_who(who, asked)} | {' | '.join(words)} |"


def outcome_words(found: Outcome) -> str:
    """As in `timeout x3, 180 s`: how it ended, after how many requests, and when."""
    ok = "fallback" if found.fallen else "ok"
    end = ok if found.status == "success" else f"`{found.error_type}`"
    if found.status != "success" and found.delivered:
        end += " and the part that came"
    if found.status == "success" and not found.whole:
        end = f"{ok}, altered"
    if found.attempts > 1:
        end += f" x{found.attempts}"
    seconds = f"{found.seconds:.0f}" if found.seconds >= 9.95 else f"{found.seconds:.1f}"
    return end if seconds == "0.0" else f"{end}, {seconds} s"


def _who(some: list[tuple[str, bool]], everybody: list[tuple[str, bool]]) -> str:
    """Which dialects and modes, in as few words as they take."""
    if len(some) == len(everybody):
        modes = {stream for _, stream in everybody}
        names = [NAMES[name] for name in DIALECTS if any(name == dialect for dialect, _ in everybody)]
        who = "all" if len(names) == len(DIALECTS) else ", ".join(names)
        return who if len(modes) == 2 else f"{who}, {'stream' if modes == {True} else 'query'}"
    words = []
    for stream, mode in ((False, "query"), (True, "stream")):
        here = [dialect for dialect, streamed in some if streamed == stream]
        possible = [dialect for dialect, streamed in everybody if streamed == stream]
        if here:
            words.append(mode if here == possible else f"{mode} ({', '.join(NAMES[name] for name in here)})")
    return ", ".join(words)


def main(arguments: list[str]) -> None:
    results = measure(every())
    if not arguments:
        sys.stdout.write(tables(results))
        return
    path = Path(arguments[0])
    path.write_text(page(path.read_text(encoding="utf-8"), results), encoding="utf-8")
    sys.stdout.write(f"{path} is up to date\n")


if __name__ == "__main__":
    main(sys.argv[1:])
