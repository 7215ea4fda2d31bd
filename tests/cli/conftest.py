"""The command line in this process, asking the simulator; and the same in a terminal of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from multi_llm_wrapper.cli.app import app
from multi_llm_wrapper.simulator import Simulator
from tests.cli.pseudo import Terminal
from tests.cli.support import Invoke, Open


@pytest.fixture
def invoke() -> Invoke:
    """Runs `multi-llm` with these arguments; standard input is empty unless `input` says otherwise."""

    def invoke(*args: str, **kwargs: Any) -> Result:
        return CliRunner().invoke(app, args, prog_name="multi-llm", **kwargs)

    return invoke


@pytest.fixture
def at_simulator(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """The environment of a user whose providers are the simulator; no key for groq."""
    for name in ("openai", "anthropic", "gemini", "groq"):
        monkeypatch.setenv(f"{name.upper()}_BASE_URL", simulator.base_url(name))
        if name != "groq":
            monkeypatch.setenv(f"{name.upper()}_API_KEY", "any-key")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    return simulator


@pytest.fixture
def open_terminal() -> Iterator[Open]:
    """Runs `multi-llm` in a pseudo-terminal: `open_terminal("demo", columns=80, rows=24)`."""
    opened: list[Terminal] = []

    def open_terminal(*args: str, **kwargs: Any) -> Terminal:
        opened.append(Terminal(*args, **kwargs))
        return opened[-1]

    yield open_terminal
    for terminal in opened:
        terminal.close()
