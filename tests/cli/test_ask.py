"""`multi-llm ask`, in this process and in a pipe."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from multi_llm_wrapper.cli import inputs
from multi_llm_wrapper.simulator import Simulator
from tests.cli.support import COMMAND, Invoke

PNG = b"\x89PNG\r\n\x1a\nrest"
SCHEMA = '{"type": "object", "properties": {"sky": {"type": "string"}}, "required": ["sky"]}'
ERROR = {"content-type": "application/json"}


def sent(simulator: Simulator, index: int = -1) -> Any:
    return simulator.journal[index].json


def asked(simulator: Simulator) -> str:
    """The text of the last user message that went over the wire."""
    text: str = sent(simulator)["messages"][-1]["content"]
    return text


def test_the_answer_is_alone_on_standard_output(invoke: Invoke, at_simulator: Simulator) -> None:
    """Nothing about it, so that it can be piped."""
    result = invoke("ask", "Why is the sky blue?", "-m", "gpt-4o-mini")

    assert (0, "") == (result.exit_code, result.stderr)
    assert '"Why is the sky blue?"' in result.stdout
    assert result.stdout.endswith(".\n")
    assert at_simulator.journal[-1].stream


def test_options_reach_the_provider(invoke: Invoke, at_simulator: Simulator) -> None:
    """And what was not given is not sent."""
    invoke("ask", "Hi", "-m", "gpt-4o-mini", "--system", "Be brief.", "--max-tokens", "7", "--temperature", "0.5")

    body = sent(at_simulator)
    assert [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}] == body["messages"]
    assert (7, 0.5) == (body["max_completion_tokens"], body["temperature"])
    assert "top_p" not in body


@pytest.mark.parametrize(
    ("args", "given", "prompt"),
    [
        (["-"], "from a pipe\n", "from a pipe\n"),
        ([], "from a pipe", "from a pipe"),
        (["Summarise:"], "from a pipe", "Summarise:\n\nfrom a pipe"),
        (["Summarise:"], "", "Summarise:"),
        (["Summarise:", "-f", "-"], "from a pipe", "Summarise:\n\nfrom a pipe"),
        (["Summarise:"], "\ufeffwith a mark", "Summarise:\n\nwith a mark"),
    ],
)
def test_the_prompt_comes_from_argument_and_standard_input(
    invoke: Invoke, at_simulator: Simulator, args: list[str], given: str, prompt: str
) -> None:
    """What is piped in is added to the prompt."""
    result = invoke("ask", *args, "-m", "gpt-4o-mini", input=given.encode())

    assert 0 == result.exit_code
    assert prompt == asked(at_simulator)


def test_files_are_added_to_the_prompt(invoke: Invoke, at_simulator: Simulator, tmp_path: Path) -> None:
    """Each under its name."""
    for name, text in (("a.txt", "alpha"), ("b.txt", "béta")):
        (tmp_path / name).write_text(text, "utf-8")

    invoke("ask", "Compare.", "-f", str(tmp_path / "a.txt"), "-f", str(tmp_path / "b.txt"), "-m", "gpt-4o-mini")

    assert "Compare.\n\na.txt:\n\nalpha\n\nb.txt:\n\nbéta" == asked(at_simulator)


def test_images_go_as_they_are_or_as_data(invoke: Invoke, at_simulator: Simulator, tmp_path: Path) -> None:
    """A file's kind is read from its first bytes, not from its name."""
    picture = tmp_path / "picture.txt"
    picture.write_bytes(PNG)

    result = invoke("ask", "What?", "--image", str(picture), "--image", "https://x.test/a.jpg", "-m", "gpt-4o-mini")

    assert 0 == result.exit_code
    text, first, second = sent(at_simulator)["messages"][-1]["content"]
    assert {"type": "text", "text": "What?"} == text
    assert f"data:image/png;base64,{base64.b64encode(PNG).decode()}" == first["image_url"]["url"]
    assert "https://x.test/a.jpg" == second["image_url"]["url"]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
    ],
)
def test_pictures_are_known_by_their_first_bytes(tmp_path: Path, data: bytes, kind: str) -> None:
    """The four kinds that every provider takes."""
    (tmp_path / "picture").write_bytes(data)

    assert f"data:{kind};base64,{base64.b64encode(data).decode()}" == inputs.image(str(tmp_path / "picture"))


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["-f", "{tmp}/none"], "none cannot be read: No such file or directory"),
        (["-f", "{tmp}"], "cannot be read: Is a directory"),
        (["-f", "{tmp}/picture"], "picture is not text in UTF-8; for a picture use --image"),
        (["-f", "{tmp}/latin"], "latin is not text in UTF-8\n"),
        (["--image", "{tmp}/latin"], "latin is no PNG, JPEG, GIF or WebP picture; convert it to one"),
        (["--image", "{tmp}/wave"], "wave is no PNG, JPEG, GIF or WebP picture; convert it to one"),
        (["--schema", "{{"], "--schema is no JSON"),
        (["--schema", "{tmp}/list"], "list is no JSON schema; give an object"),
        (["--base-url", "localhost:1/v1"], "--base-url"),
        (["--api-key-env", "MY_KEY"], "--api-key-env is for --base-url, which is not given"),
        (["--base-url", "http://localhost:1/v1", "--api-key-env", "MY_KEY"], "MY_KEY, which is not set"),
        (["--max-tokens", "0"], "max_tokens is 0"),
        (["--temperature", "9"], "temperature is 9"),
        (["--timeout", "-1"], "timeout is -1"),
    ],
)
def test_input_that_cannot_be_used_is_one_line(
    invoke: Invoke, at_simulator: Simulator, tmp_path: Path, args: list[str], error: str
) -> None:
    """Status 2, and nothing was sent."""
    (tmp_path / "picture").write_bytes(PNG)
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    (tmp_path / "wave").write_bytes(b"RIFF\x00\x00\x00\x00WAVE")
    (tmp_path / "list").write_text("[1]")

    result = invoke("ask", "Hi", "-m", "gpt-4o-mini", *(arg.format(tmp=tmp_path) for arg in args))

    assert (2, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("Error: ")
    assert error in result.stderr
    assert 1 == result.stderr.count("\n")
    assert [] == at_simulator.journal


def test_input_that_is_no_text_is_one_line(invoke: Invoke, at_simulator: Simulator) -> None:
    """The bytes of a picture, piped in."""
    result = invoke("ask", "-", "-m", "gpt-4o-mini", input=PNG)

    assert (2, "Error: standard input is not text in UTF-8; for a picture use --image\n") == (
        result.exit_code,
        result.stderr,
    )


def test_waiting_for_standard_input_is_told() -> None:
    """Who left it open by accident must not wonder."""
    program = "from multi_llm_wrapper.cli import inputs; inputs.PATIENCE = 0.0; print(inputs.prompt('Hi', [], []))"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stderr is not None
    told = process.stderr.readline()
    out, _ = process.communicate(b"there")

    assert b"Reading the prompt from standard input; give </dev/null if there is none.\n" == told
    assert b"Hi\n\nthere\n" == out


def test_a_program_without_standard_input_asks_what_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under pythonw, or with the file closed."""
    monkeypatch.setattr(sys, "stdin", None)

    assert "Hi" == inputs.prompt("Hi", [], [])


@pytest.mark.parametrize("inline", [True, False])
def test_a_schema_comes_from_the_argument_or_a_file(
    invoke: Invoke, at_simulator: Simulator, tmp_path: Path, inline: bool
) -> None:
    """The answer is JSON that matches it."""
    (tmp_path / "schema.json").write_text(SCHEMA)

    given = SCHEMA if inline else str(tmp_path / "schema.json")
    result = invoke("ask", "Describe.", "-m", "gpt-4o", "--schema", given)

    assert (0, "") == (result.exit_code, result.stderr)
    assert ["sky"] == list(json.loads(result.stdout))


def test_an_answer_that_does_not_match_the_schema_is_a_failure(invoke: Invoke, at_simulator: Simulator) -> None:
    """It is printed all the same; the status tells."""
    result = invoke("ask", "Describe.", "-m", "gpt-4o", "--schema", SCHEMA, "--max-tokens", "1")

    assert 1 == result.exit_code
    assert "Error: gpt-4o: the answer does not match --schema" in result.stderr


def test_json_is_the_response_of_the_library(invoke: Invoke, at_simulator: Simulator) -> None:
    """One model: the response; an error is in it, and on standard error."""
    result = invoke("ask", "Hi", "-m", "gpt-4o-mini", "--json")
    refused = invoke("ask", "Hi", "-m", "groq/llama-3", "--json")

    assert (0, "") == (result.exit_code, result.stderr)
    response = json.loads(result.stdout)
    assert ("success", "openai", "gpt-4o-mini") == (response["status"], response["provider"], response["model"])
    assert '"Hi"' in response["content"]
    assert response["metadata"]["usage"]["output_tokens"] > 0
    assert (3, "auth_error") == (refused.exit_code, json.loads(refused.stdout)["error_type"])
    assert refused.stderr.startswith("Error: ")


def test_json_of_several_models_is_a_list(invoke: Invoke, at_simulator: Simulator) -> None:
    """In the order of the options."""
    result = invoke("ask", "Hi", "-m", "claude-sonnet-4-5", "-m", "gpt-4o-mini", "--json")

    assert ["anthropic", "openai"] == [response["provider"] for response in json.loads(result.stdout)]


def test_several_models_come_one_after_the_other(invoke: Invoke, at_simulator: Simulator) -> None:
    """Where there is no terminal; asked at once all the same, and compared on demand."""
    models = ("gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-flash")
    result = invoke("ask", "Hi", *(arg for model in models for arg in ("-m", model)), "--compare")

    assert 0 == result.exit_code
    assert [f"== {model} ==" for model in models] == [line for line in result.stdout.splitlines() if line[:2] == "=="]
    table = [line.split() for line in result.stdout.splitlines()[-4:]]
    assert ["provider", "model", "status", "tokens", "in"] == table[0][:5]
    assert ["openai", "anthropic", "gemini"] == [row[0] for row in table[1:]]
    assert ["success"] * 3 == [row[2] for row in table[1:]]


def test_the_table_of_one_model_goes_to_standard_error(invoke: Invoke, at_simulator: Simulator) -> None:
    """Standard output is the answer's."""
    result = invoke("ask", "Hi", "-m", "gpt-4o-mini", "--compare")

    assert "provider" not in result.stdout
    assert result.stderr.startswith("provider  model")


@pytest.mark.parametrize(
    ("model", "status", "error"),
    [
        ("groq/llama-3", 3, "Error: there is no API key for groq; set GROQ_API_KEY (see: multi-llm models)\n"),
        ("nobody-knows", 2, "Error: model 'nobody-knows' belongs to no known provider"),
        ("openai/claude-3", 1, "Error: "),
    ],
)
def test_errors_say_what_to_do(invoke: Invoke, at_simulator: Simulator, model: str, status: int, error: str) -> None:
    """One line on standard error, and a status that tells the kind."""
    result = invoke("ask", "Hi", "-m", model)

    assert (status, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith(error)
    assert 1 == result.stderr.count("\n")


def test_one_failure_among_several_is_shown_in_its_place(invoke: Invoke, at_simulator: Simulator) -> None:
    """And makes the status."""
    result = invoke("ask", "Hi", "-m", "groq/llama-3", "-m", "gpt-4o-mini")

    assert (3, "") == (result.exit_code, result.stderr)
    assert "== groq/llama-3 ==\nError: there is no API key for groq" in result.stdout


def test_verbose_tells_the_rest(invoke: Invoke, at_simulator: Simulator) -> None:
    """Class, code, request id, attempts; on standard error."""
    at_simulator.replay(400, ERROR, b'{"error": {"message": "No.", "type": "invalid_request_error", "code": "odd"}}')

    result = invoke("ask", "Hi", "-m", "gpt-4o-mini", "-v")

    facts = dict(line.strip().split(maxsplit=1) for line in result.stderr.splitlines()[2:])
    assert ("validation_error", "odd", "status      400") == (facts["error_type"], facts["code"], facts["HTTP"])
    assert "1" == facts["attempts"]


def test_a_host_of_ones_own_is_asked_by_url(
    invoke: Invoke, at_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any model name goes, and the key comes from the variable that is named."""
    monkeypatch.setenv("MY_KEY", "my-key")

    result = invoke(
        "ask", "Hi", "-m", "llama3", "--base-url", at_simulator.base_url("openai"), "--api-key-env", "MY_KEY"
    )

    assert (0, "") == (result.exit_code, result.stderr)
    assert "llama3" == at_simulator.journal[-1].model


def test_the_default_model_needs_no_option(
    invoke: Invoke, at_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MULTI_LLM_DEFAULT_MODEL is one for the command line, too."""
    monkeypatch.setenv("MULTI_LLM_DEFAULT_MODEL", "claude-sonnet-4-5")

    assert 0 == invoke("ask", "Hi").exit_code
    assert "claude-sonnet-4-5" == at_simulator.journal[-1].model


def test_a_reader_that_leaves_ends_it_quietly(at_simulator: Simulator) -> None:
    """As `multi-llm ask ... | head -c 5` does."""
    at_simulator.pace = 0.01
    process = subprocess.Popen(
        [*COMMAND, "ask", "Hi", "-m", "gpt-4o-mini"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(5)
    process.stdout.close()

    assert b"" == process.stderr.read()
    assert 141 == process.wait(10)
    assert at_simulator.wait_for(lambda journal: journal[-1].hung_up)
    process.stderr.close()


@pytest.mark.parametrize(
    ("number", "status", "told"), [(signal.SIGINT, 130, b"Interrupted.\n"), (signal.SIGTERM, 143, b"")]
)
def test_an_interrupt_keeps_what_was_written_and_hangs_up(
    at_simulator: Simulator, number: int, status: int, told: bytes
) -> None:
    """The line is ended, the connection closed, and there is no traceback."""
    at_simulator.pace = 0.05
    process = subprocess.Popen(
        [*COMMAND, "ask", "Hi", "-m", "gpt-4o-mini"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    begun = process.stdout.read(9)
    process.send_signal(number)
    out, err = process.communicate(timeout=10)

    assert (status, told) == (process.returncode, err)
    assert 9 == len(begun)
    assert out.endswith(b"\n")
    assert at_simulator.wait_for(lambda journal: journal[-1].hung_up)
