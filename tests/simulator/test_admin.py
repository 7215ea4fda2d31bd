"""The simulator's own endpoints: journal, timing, scenario, reset, and the page that shows them."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest

from multi_llm_wrapper.simulator import Brain, SimRequest, Simulator
from multi_llm_wrapper.simulator.admin import page
from tests.simulator.support import Shell as SimulatorShell
from tests.simulator.support import ask, read, run


def call(brain: Brain, path: str, body: bytes | None = None, query: str = "", **headers: str) -> tuple[int, Any]:
    """Status and JSON of the reply."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    plan = brain.handle(SimRequest("GET" if body is None else "POST", path, query, named, body or b""))
    return plan.status, json.loads(b"".join(step.data for step in plan.steps))


def test_the_journal_has_every_request_with_its_key_hashed() -> None:
    """Body as JSON, times of the pieces, what became of it; asking for the journal is in it nowhere."""
    brain = Brain(clock=lambda: 7.0)
    brain.handle(ask("openai_chat", stream=True).sim())
    brain.handle(SimRequest("POST", "/nowhere", "key=abc", {}, b"\xff{"))
    status, found = call(brain, "/_sim/journal")
    first, second = found["entries"]

    assert (200, 2, 7.0) == (status, found["total"], found["now"])
    assert ("POST", "gpt-4o", True, 200) == (first["method"], first["model"], first["stream"], first["status"])
    assert first["headers"]["authorization"].startswith("sha256:")
    assert "secret-key" not in json.dumps(found)
    assert "abc" not in second["query"]
    assert json.loads(ask("openai_chat", stream=True).body) == first["body"]
    assert ("\ufffd{", 404) == (second["body"], second["status"])


def test_the_journal_can_be_asked_for_a_part() -> None:
    """The newest of those after a number, without bodies and headers when it is to be brief."""
    brain = Brain()
    for _ in range(5):
        brain.handle(ask("openai_chat").sim())

    def numbers(query: str) -> list[int]:
        return [entry["number"] for entry in call(brain, "/_sim/journal", query=query)[1]["entries"]]

    assert [4, 5] == numbers("since=3")
    assert [2, 3] == numbers("since=1&until=3")
    assert [5] == numbers("limit=1")
    assert [] == numbers("limit=0")
    assert [1, 2, 3, 4, 5] == numbers("since=x&limit=-1&until=%00")
    assert {"body", "headers"} & call(brain, "/_sim/journal", query="brief=1")[1]["entries"][0].keys() == set()


@pytest.mark.parametrize("kind", ["http", "memory"])
def test_the_journal_tells_what_was_sent_when_and_who_hung_up(kind: str) -> None:
    """A stream that was left ends then, after the one piece it had sent; an answer that was read is no hang-up."""

    async def main() -> Any:
        async with SimulatorShell(kind, Brain(pace=5.0)) as shell:
            reply = await shell.send(ask("openai_chat", stream=True))
            await reply.next_chunk()
            reply.abort()
            shell.brain.pace = 0.0
            await read(await shell.send(ask("openai_chat")))
            return json.loads(await read(await shell.get("/_sim/journal", {})))["entries"]

    first, second = run(main())

    assert (True, False) == (first["hung_up"], second["hung_up"])
    assert 0 <= first["ended"] < 5
    assert (1, 1) == (len(first["sends"]), len(second["sends"]))


def test_a_scenario_can_be_put_in_and_is_gone_after_a_reset() -> None:
    """As JSON or TOML; a mistake is a 400 that says where, and changes nothing."""
    brain = Brain()
    answered = call(brain, "/_sim/scenario", b'{"replies": [{"text": "one"}]}')
    mistaken = call(brain, "/_sim/scenario", b"[[replies]]\ntxt = 1", content_type="application/toml")
    one = b"".join(step.data for step in brain.handle(ask("openai_chat").sim()).steps)
    call(brain, "/_sim/scenario", b'[[replies]]\ntext = "two"')
    two = b"".join(step.data for step in brain.handle(ask("openai_chat").sim()).steps)
    reset = call(brain, "/_sim/reset", b"")

    assert (200, {"replies": 1}) == answered
    assert (400, {"error": "scenario: replies[0]: unknown field 'txt'; did you mean 'text'?"}) == mistaken
    assert (True, True) == (b'"content":"one"' in one, b'"content":"two"' in two)
    assert (200, {"reset": True}) == reset
    assert 0 == call(brain, "/_sim/journal")[1]["total"]
    assert b'"two"' not in b"".join(step.data for step in brain.handle(ask("openai_chat").sim()).steps)


def test_timing_is_the_report() -> None:
    """As JSON, in which a figure that is not known yet is null."""
    status, report = call(Brain(), "/_sim/timing")

    assert (200, 0, None) == (status, report["sends"], report["error_p99"])


def test_what_is_not_there_is_told() -> None:
    """Names and methods; and a page of another origin gets nothing."""
    brain = Brain()

    assert (404, True) == (call(brain, "/_sim/x")[0], "/_sim/journal" in call(brain, "/_sim/x")[1]["error"])
    assert (405, {"error": "/_sim/reset takes POST, not GET"}) == call(brain, "/_sim/reset")
    assert 403 == call(brain, "/_sim/reset", b"", origin="https://evil.example", host="127.0.0.1:1")[0]
    assert 200 == call(brain, "/_sim/reset", b"", origin="http://127.0.0.1:1", host="127.0.0.1:1")[0]


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_is_one_file_without_anything_from_elsewhere() -> None:
    """No address but its own, and no way to put in HTML."""
    text = page().decode()

    assert [] == re.findall(r"""(?:src|href)=["'](?!data:,)""", text)
    assert [] == re.findall(r"https?://[^\s`\"']+", text)
    assert "innerHTML" not in text
    plan = Brain().handle(SimRequest("GET", "/_sim/"))
    assert "default-src 'none'" in plan.headers["content-security-policy"]


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,760",
    "--virtual-time-budget=3000",
)  # fmt: skip


def chromium(folder: Path, *args: str) -> str:
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *args]
    done = subprocess.run(command, capture_output=True, timeout=50, check=True)
    return done.stdout.decode("utf-8", "replace")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium; on Debian: apt-get install chromium")
def test_the_page_shows_requests_as_they_came(tmp_path: Path) -> None:
    """A row for each with status, model and times, newest first, and what came in as text."""
    with Simulator() as simulator:
        simulator.script({"error": {"type": "overloaded"}}, match={"model": "<b>bold</b>"})
        asks = [ask("openai_chat"), ask("gemini", stream=True), ask("openai_chat", model="<b>bold</b>")]
        for one in asks:
            simulator.brain.handle(one.sim())
        for entry in simulator.journal:
            entry.done, entry.ended = True, 0.25
        found = chromium(tmp_path, "--dump-dom", f"{simulator.url}/_sim/")
    rows = re.findall(r'<tr class="row">(.*?)</tr>', found)

    assert 3 == len(rows)
    assert "503" in rows[0]
    assert "&lt;b&gt;bold&lt;/b&gt;" in rows[0]
    assert ("gemini-2.5-pro" in rows[1], "200" in rows[1], "250 ms" in rows[1]) == (True, True, True)
    assert "gpt-4o" in rows[2]
    assert '<b id="total">3</b>' in found
    assert '<b id="failed">1</b>' in found


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium; on Debian: apt-get install chromium")
def test_a_request_can_be_opened_by_its_address(tmp_path: Path) -> None:
    """`/_sim/#1` shows all of request 1, as text."""
    with Simulator() as simulator:
        for one in (ask("openai_chat", "<i>Hello</i>"), ask("gemini")):
            simulator.brain.handle(one.sim())
        found = chromium(tmp_path, "--dump-dom", f"{simulator.url}/_sim/#1")
    details = re.findall(r'<tr class="detail">.*?<pre>(.*?)</pre>', found, re.DOTALL)

    assert 1 == len(details)
    assert '"content": "&lt;i&gt;Hello&lt;/i&gt;"' in details[0]
    assert '"authorization": "sha256:' in details[0]


def pixels(png: bytes) -> tuple[int, int, bytes]:
    """Width, height and the raw rows of a PNG."""
    width, height = struct.unpack(">II", png[16:24])
    data, at = b"", 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + size]
        at += 12 + size
    return width, height, zlib.decompress(data)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium; on Debian: apt-get install chromium")
def test_the_page_is_drawn_in_light_and_dark(tmp_path: Path) -> None:
    """Both of the size asked for, and not the same picture."""
    pictures = []
    with Simulator() as simulator:
        simulator.brain.handle(ask("openai_chat", stream=True).sim())
        for scheme in ("1", "0"):
            path = tmp_path / f"{scheme}.png"
            chromium(
                tmp_path,
                f"--screenshot={path}",
                f"--blink-settings=preferredColorScheme={scheme}",
                f"{simulator.url}/_sim/",
            )
            pictures.append(pixels(path.read_bytes()))

    assert [(1280, 760)] * 2 == [picture[:2] for picture in pictures]
    assert pictures[0][2] != pictures[1][2]
