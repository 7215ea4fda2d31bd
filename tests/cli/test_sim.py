"""`multi-llm sim`."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from multi_llm_wrapper.cli import sim
from tests.cli.support import COMMAND, Invoke

Start = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs the command until the test ends; the process, and what it said when it was ready."""
    running: list[subprocess.Popen[str]] = []

    def start(*args: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [*COMMAND, "sim", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )
        running.append(process)
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        return process, "".join(lines)

    yield start
    for process in running:
        process.kill()
        process.communicate()


def chat(url: str, **body: Any) -> Any:
    data = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], **body}).encode()
    headers = {"content-type": "application/json", "authorization": "Bearer any"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/chat/completions", data, headers)) as reply:
        return json.loads(reply.read())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_end(start: Start, number: int) -> None:
    """It names the URLs, answers there, and ends with status 0."""
    process, said = start("--port", "0", "--seed", "7")
    url = re.search(r"OPENAI_BASE_URL=(\S+)", said)
    assert url is not None
    answer = chat(url[1])
    process.send_signal(number)
    out, err = process.communicate(timeout=10)

    assert '"Hi"' in answer["choices"][0]["message"]["content"]
    assert (0, "", "") == (process.returncode, out, err)


def test_it_names_the_base_url_of_every_dialect_and_an_example(start: Start) -> None:
    """Ready to be copied into a shell."""
    _, said = start("--port", "0")

    port = re.search(r"http://127\.0\.0\.1:(\d+); any key will do", said)
    assert port is not None
    origin = f"http://127.0.0.1:{port[1]}"
    for line in (
        f"OPENAI_BASE_URL={origin}/v1",
        f"ANTHROPIC_BASE_URL={origin}\n",
        f"GEMINI_BASE_URL={origin}\n",
        f"GROQ_BASE_URL={origin}/openai/v1\n",
        f'export OPENAI_BASE_URL={origin}/v1 OPENAI_API_KEY=any\n  multi-llm ask "Why is the sky blue?"',
    ):
        assert line in said


def test_an_address_that_others_reach_gets_a_warning(start: Start) -> None:
    """On standard error; the URLs are those that work on this machine."""
    process, said = start("--port", "0", "--host", "0.0.0.0")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)

    assert "http://127.0.0.1:" in said
    assert err.startswith("Warning: all who reach 0.0.0.0 can use this simulator")
    assert 1 == err.count("\n")


def test_a_port_that_is_taken_is_one_line(invoke: Invoke) -> None:
    """It says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = invoke("sim", "--port", str(port))

    assert (2, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith(f"Error: cannot listen on 127.0.0.1, port {port} (")
    assert "choose another --port (0 takes a free one)" in result.stderr
    assert 1 == result.stderr.count("\n")


def test_the_pace_is_in_milliseconds(start: Start) -> None:
    """Of the first token, and of each."""
    _, said = start("--port", "0", "--pace", "1", "--first-token", "100")
    url = re.search(r"OPENAI_BASE_URL=(\S+)", said)
    assert url is not None
    began = time.monotonic()
    tokens = chat(url[1], max_tokens=50)["usage"]["completion_tokens"]

    assert time.monotonic() - began >= 0.1 + 0.001 * (tokens - 1)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("::", False),
        ("example.test", False),
    ],
)
def test_loopback_is_known(host: str, loopback: bool) -> None:
    """Everything else gets the warning."""
    assert loopback is sim._is_loopback(host)
