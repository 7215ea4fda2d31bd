"""`multi-llm demo`."""

from __future__ import annotations

import pytest

from multi_llm_wrapper.cli.demo import PROMPT
from multi_llm_wrapper.simulator import Simulator
from tests.cli.support import Invoke

ALL = ["openai", "anthropic", "gemini"]


def table_of(output: str) -> list[list[str]]:
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("provider"))
    rows = [line.split() for line in lines[start + 1 :]]
    return rows[: rows.index([])] if [] in rows else rows


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multi_llm_wrapper.cli.demo.FIRST_TOKEN", 0.0)


def test_three_providers_answer_without_key_or_network(invoke: Invoke) -> None:
    """Their answers, and a table of what they took."""
    result = invoke("demo", "--pace", "0")

    assert (0, "") == (result.exit_code, result.stderr)
    assert f"Prompt: {PROMPT}\n" in result.stdout
    assert 3 == result.stdout.count("== ") == result.stdout.count(f'"{PROMPT}"')
    rows = table_of(result.stdout)
    assert ALL == [row[0] for row in rows]
    assert ["gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-flash"] == [row[1] for row in rows]
    assert all(row[2] == "success" and int(row[3]) > 0 and int(row[4]) > 0 for row in rows)


@pytest.mark.parametrize(("given", "asked"), [("What is a lens?", "What is a lens?"), ("", PROMPT), (" ", PROMPT)])
def test_an_empty_prompt_is_the_default_one(invoke: Invoke, given: str, asked: str) -> None:
    """`make demo` passes an empty argument when no PROMPT is set."""
    assert f"Prompt: {asked}\n" in invoke("demo", "--pace", "0", "--", given).stdout


def test_another_seed_gives_other_answers(invoke: Invoke) -> None:
    """And the same seed the same."""

    def answers(seed: int) -> str:
        return (
            invoke("demo", "--pace", "0", "--seed", str(seed)).stdout.partition("Prompt:")[2].partition("provider")[0]
        )

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)


def test_the_environment_does_not_change_the_demo(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither keys nor URLs nor proxies of the user are used."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "bad\nkey")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("MULTI_LLM_RAISE_ON_ERROR", "1")

    assert 0 == invoke("demo", "--pace", "0").exit_code


def test_live_asks_those_with_a_key_and_names_the_rest(
    invoke: Invoke, at_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the URLs of the environment."""
    monkeypatch.delenv("GEMINI_API_KEY")

    result = invoke("demo", "--live")

    assert 0 == result.exit_code
    assert "Skipped gemini: GEMINI_API_KEY or GOOGLE_API_KEY is not set.\n" in result.stdout
    assert ["openai", "anthropic"] == [row[0] for row in table_of(result.stdout)]
    assert {"gpt-4o-mini", "claude-sonnet-4-5"} == {entry.model for entry in at_simulator.journal}


def test_live_without_any_key_is_a_failure_that_names_them(invoke: Invoke) -> None:
    """Nothing could be asked."""
    result = invoke("demo", "--live")

    assert (3, "") == (result.exit_code, result.stdout)
    assert (
        "Error: no key is set, so nobody can be asked; set one of OPENAI_API_KEY, ANTHROPIC_API_KEY, "
        "GEMINI_API_KEY/GOOGLE_API_KEY, or leave --live out\n"
    ) == result.stderr


def test_live_with_a_key_that_is_refused_is_a_failure(invoke: Invoke, at_simulator: Simulator) -> None:
    """The table says so, and the status."""
    for _ in ALL:
        at_simulator.replay(401, {"content-type": "application/json"}, b'{"error": {"message": "Bad key."}}')

    result = invoke("demo", "--live", "-v")

    assert 3 == result.exit_code
    assert ["auth_error"] * 3 == [row[2] for row in table_of(result.stdout)]
    assert "HTTP status      401" in result.stderr
