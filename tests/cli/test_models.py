"""`multi-llm models`."""

from __future__ import annotations

import io
import json
import os
import subprocess

import pytest
from rich.console import Console

from multi_llm_wrapper.cli import models, terminal
from multi_llm_wrapper.providers import ROWS, ProviderRow
from tests.cli.support import COMMAND, Invoke


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-canary")
    monkeypatch.setenv("GOOGLE_API_KEY", "secret-canary")
    monkeypatch.setenv("GROQ_API_KEY", "  ")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://user:secret-canary@proxy.test/anthropic/")


def test_every_provider_is_a_line_in_a_pipe(invoke: Invoke) -> None:
    """Name, dialect, base URL, whether a key is set, models."""
    result = invoke("models")

    heading, *lines = result.stdout.splitlines()
    assert (0, "") == (result.exit_code, result.stderr)
    assert ["provider", "dialect", "base", "URL", "key", "models"] == heading.split()
    assert list(ROWS) == [line.split()[0] for line in lines]
    assert ["openai", "openai_chat", "https://api.openai.com/v1", "set", "(OPENAI_API_KEY)", "gpt-*"] == (
        lines[0].split()[:6]
    )
    assert "set (GOOGLE_API_KEY)" in lines[2]
    assert "not set (GROQ_API_KEY)" in lines[3]
    assert lines[3].endswith("groq/...")


def test_json_tells_the_same_to_programs(invoke: Invoke) -> None:
    """A list of objects."""
    known = {facts["provider"]: facts for facts in json.loads(invoke("models", "--json").stdout)}

    assert list(ROWS) == list(known)
    assert (True, "OPENAI_API_KEY") == (known["openai"]["key_set"], known["openai"]["key_from"])
    assert (True, "GOOGLE_API_KEY") == (known["gemini"]["key_set"], known["gemini"]["key_from"])
    assert (False, None) == (known["groq"]["key_set"], known["groq"]["key_from"])
    assert "claude-*" in known["anthropic"]["model_families"]
    assert "http://***@proxy.test/anthropic" == known["anthropic"]["base_url"]


@pytest.mark.parametrize("args", [["models"], ["models", "--json"]])
def test_no_key_is_ever_shown(invoke: Invoke, args: list[str]) -> None:
    """Nor the password of a URL."""
    assert "canary" not in invoke(*args).output


def test_a_host_without_an_address_of_its_own_is_told_apart() -> None:
    """So is one that needs no key."""
    row = ProviderRow(name="host", base_url="https://NAME.test", own_address=True, base_url_env=("HOST_URL",))
    facts = models.describe(row)
    local = models.describe(ProviderRow(name="local", base_url="http://localhost/v1", key_required=False))

    assert "your own: set HOST_URL" == models._place(facts)
    assert "not set" == str(models._key(facts))
    assert "not needed" == str(models._key(local))


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_too_narrow_for_a_table_gets_a_list(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Two or three short lines for a provider."""
    file = io.StringIO()
    out = Console(file=file, width=columns, force_terminal=True, color_system=None)
    monkeypatch.setattr(terminal, "console", lambda: out)
    invoke("models")

    lines = file.getvalue().splitlines()
    assert "openai       openai_chat, key set (OPENAI_API_KEY)" == lines[0]
    assert "             https://api.openai.com/v1" == lines[1]
    assert lines[2].startswith("             gpt-* chatgpt-* o1*")
    assert max(map(len, lines)) <= columns


def test_a_reader_that_left_ends_it_quietly() -> None:
    """As `multi-llm models | true` does."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run([*COMMAND, "models"], stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)

    assert (141, b"") == (done.returncode, done.stderr)
