"""`multi-llm faults`."""

from __future__ import annotations

import json

import pytest

from multi_llm_wrapper.simulator import Simulator
from multi_llm_wrapper.simulator.faults import FAULTS
from multi_llm_wrapper.validation import cells
from tests.cli.support import Invoke


def test_every_fault_is_a_line_in_a_pipe(invoke: Invoke) -> None:
    """Name, who can ask for it, parameters, what happens."""
    result = invoke("faults")

    heading, *lines = result.stdout.splitlines()
    assert (0, "") == (result.exit_code, result.stderr)
    assert ["fault", "asked", "by", "parameters", "what", "happens"] == heading.split()
    assert list(FAULTS) == [line.split()[0] for line in lines]


def test_the_list_as_json_has_all_that_is_known(invoke: Invoke) -> None:
    """For programs; a parameter without end is a word, which JSON has no number for."""
    found = {fault["name"]: fault for fault in json.loads(invoke("faults", "--json").stdout)}

    assert list(FAULTS) == list(found)
    assert {"down": 5.0, "up": "inf"} == found["flapping"]["parameters"]
    assert (["stream"], "altered") == (found["duplicate_event"]["asked_by"], found["duplicate_event"]["effect"])


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ("stall?k=2", "--stream"),
            ["status           error", "chunks           2 with content", "time             60."],
        ),
        (("rate_limit_float", "--once"), ["status           success", "answer           whole", "attempts         2"]),
        (("bad_key", "--dialect", "gemini"), ["error            auth_error: API key not valid"]),
        (
            ("cut", "--stream", "--once", "--restart"),
            ["status           success", "1 restarts", "answer           whole"],
        ),
    ],
)
def test_a_fault_is_run_in_memory_without_waiting(invoke: Invoke, arguments: tuple[str, ...], lines: list[str]) -> None:
    """What the caller sees, how long it would have taken, and that the promises are kept."""
    result = invoke("faults", "run", *arguments)

    assert (0, "") == (result.exit_code, result.stderr)
    assert [] == [line for line in (*lines, "promises         kept") if line not in result.stdout]


@pytest.mark.parametrize(
    ("dialect", "arguments"), [("openai", ("cut?k=3", "--stream")), ("anthropic", ("server_error", "--once"))]
)
def test_a_fault_is_run_at_a_simulator_elsewhere(
    invoke: Invoke, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, dialect: str, arguments: tuple[str, ...]
) -> None:
    """By its header, with the key that was named."""
    monkeypatch.setenv("SOME_KEY", "the-key")
    where = ("--dialect", dialect, "--base-url", simulator.base_url(dialect), "--api-key-env", "SOME_KEY")
    for _ in range(2):  # the count of --once does not stay behind
        result = invoke("faults", "run", *arguments, *where)
        assert (0, "") == (result.exit_code, result.stderr)
        assert "promises         kept" in result.stdout
    faults = [entry.fault for entry in simulator.journal]
    name = arguments[0].partition("?")[0]
    assert [None, name] == faults[:2]
    assert 2 == faults.count(name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cutt",), "did you mean 'cut'"),
        (("cut?j=1",), "has no parameter 'j'"),
        (("cut;reset",), "one fault at a time"),
        (("crlf",), "for stream; it does nothing in a query"),
        (("cut", "--base-url", "http://127.0.0.1:1/v1", "--api-key-env", "NO_SUCH_KEY"), "NO_SUCH_KEY is not set"),
    ],
)
def test_wrong_usage_is_one_line(invoke: Invoke, arguments: tuple[str, ...], words: str) -> None:
    """Status 2, nothing on standard output."""
    result = invoke("faults", "run", *arguments)

    assert (2, "", 1) == (result.exit_code, result.stdout, result.stderr.count("\n"))
    assert words in result.stderr


def test_a_broken_promise_is_an_error(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 1 and the words, so that a script can use it."""
    monkeypatch.setattr(cells, "violations", lambda *_: ["a part of the answer is called a success"])

    result = invoke("faults", "run", "cut")
    assert (1, "Error: cut: a part of the answer is called a success\n") == (result.exit_code, result.stderr)


def test_a_target_that_is_not_there_is_told(invoke: Invoke) -> None:
    """Not even the healthy answer came: that is no promise broken, but an error."""
    result = invoke("faults", "run", "cut", "--base-url", "http://127.0.0.1:1/v1")

    assert 1 == result.exit_code
    assert "connection_error" in result.stdout
