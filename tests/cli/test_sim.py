"""`multi-llm sim`."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
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


def test_its_settings_reach_the_simulator(start: Start, tmp_path: Path) -> None:
    """Scenario, mode, timing and limits."""
    scenario = tmp_path / "s.toml"
    scenario.write_text('[[replies]]\nmatch = { last = "scripted" }\ntext = "From the file."\n')
    _, said = start("--port", "0", "--scenario", str(scenario), "--mode", "echo", "--timing", "first=100", "--rpm", "2")
    url = re.search(r"OPENAI_BASE_URL=(\S+)", said)
    assert url is not None
    began = time.monotonic()
    answers = [chat(url[1])]
    took = time.monotonic() - began
    answers.append(chat(url[1], messages=[{"role": "user", "content": "something scripted"}]))

    assert took >= 0.1
    assert ["Hi", "From the file."] == [answer["choices"][0]["message"]["content"] for answer in answers]
    with pytest.raises(urllib.error.HTTPError, match="429"):
        chat(url[1])


def test_it_replays_a_file(start: Start, tmp_path: Path) -> None:
    """By the body of the request."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    request = {"method": "POST", "url": "https://api.openai.com/v1/chat/completions", "body": body}
    recorded = tmp_path / "r.jsonl"
    recorded.write_text(json.dumps({"request": request, "response": {"status": 200, "headers": {}, "body": {"a": 1}}}))
    _, said = start("--port", "0", "--replay", str(recorded))
    url = re.search(r"OPENAI_BASE_URL=(\S+)", said)
    assert url is not None

    assert {"a": 1} == chat(url[1])


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--timing", "fast"], "Error: 'fast' is no timing; Write first=300/900"),
        (
            ["--scenario", "nowhere.toml"],
            "Error: nowhere.toml: cannot be read (No such file or directory); check the path",
        ),
        (
            ["--replay", "nowhere.jsonl"],
            "Error: nowhere.jsonl: cannot be read (No such file or directory); check the path",
        ),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line(invoke: Invoke, args: list[str], told: str) -> None:
    """And nothing is served."""
    result = invoke("sim", "--port", "0", *args)

    assert (2, "", 1) == (result.exit_code, result.stdout, result.stderr.count("\n"))
    assert result.stderr.startswith(told)


def sharing(port: int) -> int:
    """How many sockets listen at a port of this machine."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="no /proc/net/tcp to count listeners in")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_share_a_port_and_end_together(start: Start, number: int) -> None:
    """All of them answer; none is left behind, even by a first one that is killed."""
    process, said = start("--port", "0", "--workers", "3")
    url = re.search(r"OPENAI_BASE_URL=(http://127\.0\.0\.1:(\d+)\S+)", said)
    assert url is not None
    port = int(url[2])
    end = time.monotonic() + 10
    while sharing(port) < 3 and time.monotonic() < end:
        time.sleep(0.02)
    listening = sharing(port)
    answers = {json.dumps(chat(url[1])) for _ in range(12)}
    process.send_signal(number)
    process.wait(10)
    while sharing(port) and time.monotonic() < end + 10:
        time.sleep(0.02)

    assert (3, 1, 0) == (listening, len(answers), sharing(port))


def test_workers_do_not_take_a_port_that_is_taken(invoke: Invoke) -> None:
    """Also when the other one shares it."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = invoke("sim", "--port", str(taken.getsockname()[1]), "--workers", "2")

    assert 2 == result.exit_code
    assert "choose another --port" in result.stderr
