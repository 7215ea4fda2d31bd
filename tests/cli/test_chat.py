"""`multi-llm chat`, with lines piped in."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from multi_llm_wrapper.simulator import Simulator
from tests.cli.support import COMMAND, Invoke


def messages(simulator: Simulator, index: int = -1) -> Any:
    return simulator.journal[index].json["messages"]


def test_what_was_said_goes_with_every_question(invoke: Invoke, at_simulator: Simulator) -> None:
    """Standard output is the answers alone."""
    result = invoke("chat", "-m", "gpt-4o-mini", "--system", "Be brief.", input="One?\n\n  Two?  \n")

    assert (0, "") == (result.exit_code, result.stderr)
    first, second = result.stdout.splitlines()
    assert [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": first},
        {"role": "user", "content": "Two?"},
    ] == messages(at_simulator)
    assert '"Two?"' in second


def test_another_model_takes_over_the_conversation(invoke: Invoke, at_simulator: Simulator) -> None:
    """In its own protocol."""
    result = invoke("chat", "-m", "gpt-4o-mini", input="One?\n/model claude-sonnet-4-5\nTwo?\n/model\n")

    assert ["gpt-4o-mini", "claude-sonnet-4-5"] == [entry.model for entry in at_simulator.journal]
    assert ["user", "assistant", "user"] == [message["role"] for message in messages(at_simulator)]
    assert "The model is claude-sonnet-4-5.\n" * 2 == result.stderr


def test_a_model_that_nobody_has_is_refused_at_once(invoke: Invoke, at_simulator: Simulator) -> None:
    """The conversation goes on with the old one."""
    result = invoke("chat", "-m", "gpt-4o-mini", input="/model nobody\nHi\n")

    assert result.stderr.startswith("Error: model 'nobody' belongs to no known provider")
    assert ["gpt-4o-mini"] == [entry.model for entry in at_simulator.journal]


def test_the_system_prompt_can_be_set_and_removed(invoke: Invoke, at_simulator: Simulator) -> None:
    """From the next question on."""
    result = invoke("chat", "-m", "gpt-4o-mini", input="/system Be brief.\nOne?\n/system\nTwo?\n")

    assert {"role": "system", "content": "Be brief."} == messages(at_simulator, 0)[0]
    assert "user" == messages(at_simulator, 1)[0]["role"]
    assert "The system prompt is set.\nThere is no system prompt now.\n" == result.stderr


def test_retry_asks_the_last_question_again(invoke: Invoke, at_simulator: Simulator) -> None:
    """Without the answer that it had."""
    invoke("chat", "-m", "gpt-4o-mini", input="One?\nTwo?\n/retry\n")

    assert messages(at_simulator, 1) == messages(at_simulator, 2)
    assert "Two?" == messages(at_simulator)[-1]["content"]


def test_retry_that_fails_leaves_the_answer_that_was_there(invoke: Invoke, at_simulator: Simulator) -> None:
    """It is still part of the next question."""
    at_simulator.replay(
        400,
        {"content-type": "application/json"},
        b'{"error": {"message": "No.", "type": "invalid_request_error"}}',
        match=lambda request: len(at_simulator.journal) == 2,
    )
    result = invoke("chat", "-m", "gpt-4o-mini", input="One?\n/retry\nTwo?\n")

    assert "Error: " in result.stderr
    assert ["One?", "Two?"] == [m["content"] for m in messages(at_simulator) if m["role"] == "user"]
    assert "assistant" == messages(at_simulator)[1]["role"]


def test_retry_before_any_question_says_so(invoke: Invoke) -> None:
    """Nothing is sent."""
    assert "Nothing was asked yet.\n" == invoke("chat", "-m", "gpt-4o-mini", input="/retry\n").stderr


def test_save_writes_messages_that_the_library_takes(invoke: Invoke, at_simulator: Simulator, tmp_path: Path) -> None:
    """Again and again to a file of its own, and never over another."""
    mine, other = tmp_path / "talk.json", tmp_path / "other.json"
    other.write_text("precious")
    lines = f"Oné?\n/save {mine}\nTwo?\n/save {mine}\n/save {other}\n/save {tmp_path / 'no' / 'where'}\n/save\n"

    result = invoke("chat", "-m", "gpt-4o-mini", input=lines)

    saved = json.loads(mine.read_text("utf-8"))
    assert ["user", "assistant", "user", "assistant"] == [message["role"] for message in saved]
    assert saved[:3] == messages(at_simulator)
    assert "Oné?" in mine.read_text("utf-8")
    assert "precious" == other.read_text()
    assert [
        f"Saved 2 messages to {mine}.",
        f"Saved 4 messages to {mine}.",
        f"Error: {other}: there is such a file already; choose another name",
        f"Error: {tmp_path / 'no' / 'where'}: No such file or directory",
        "Name a file, as in /save talk.json",
    ] == result.stderr.splitlines()


def test_help_lists_the_commands(invoke: Invoke) -> None:
    """All of them."""
    told = invoke("chat", "-m", "gpt-4o-mini", input="/help\n").stderr

    assert ["/model", "/system", "/retry", "/save", "/help", "/quit", "Ctrl-C"] == [
        line.split()[0] for line in told.splitlines()
    ]


@pytest.mark.parametrize("word", ["/quit", "/exit"])
def test_quit_ends_it(invoke: Invoke, at_simulator: Simulator, word: str) -> None:
    """What follows is not asked."""
    assert 0 == invoke("chat", "-m", "gpt-4o-mini", input=f"{word}\nHi\n").exit_code
    assert [] == at_simulator.journal


def test_an_unknown_command_is_no_question(invoke: Invoke, at_simulator: Simulator) -> None:
    """Unless there is a blank before it."""
    result = invoke("chat", "-m", "gpt-4o-mini", input="/etc/passwd\n /etc/passwd?\n")

    assert "There is no command /etc/passwd; /help lists them.\n" == result.stderr
    assert ["/etc/passwd?"] == [entry.json["messages"][0]["content"] for entry in at_simulator.journal]


def test_the_status_is_that_of_the_last_answer(invoke: Invoke, at_simulator: Simulator) -> None:
    """A failed question is told and forgotten."""
    failed = invoke("chat", "-m", "groq/llama-3", input="Hi\n")
    mended = invoke("chat", "-m", "groq/llama-3", "-v", input="Hi\n/model gpt-4o-mini\nHo\n")

    assert (3, "") == (failed.exit_code, failed.stdout)
    assert failed.stderr.startswith("Error: there is no API key for groq; set GROQ_API_KEY")
    assert 0 == mended.exit_code
    assert "error_type       auth_error" in mended.stderr
    assert [{"role": "user", "content": "Ho"}] == messages(at_simulator)


def test_lines_that_are_no_text_end_it(invoke: Invoke) -> None:
    """With one line and status 2."""
    result = invoke("chat", "-m", "gpt-4o-mini", input=b"\xff\xfe\n")

    assert (2, "Error: standard input is not text in UTF-8\n") == (result.exit_code, result.stderr)


@pytest.mark.parametrize("pace", [0.0, 0.05])
def test_an_interrupt_ends_a_chat_that_nobody_types(at_simulator: Simulator, pace: float) -> None:
    """While it waits for the next line, or in the middle of an answer."""
    at_simulator.pace = pace
    process = subprocess.Popen(
        [*COMMAND, "chat", "-m", "gpt-4o-mini"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"Hi\n")
    process.stdin.flush()
    begun = process.stdout.read(1) if pace else process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)

    assert (130, b"Interrupted.\n") == (process.returncode, err)
    assert b"\n" == (begun + out)[-1:]
