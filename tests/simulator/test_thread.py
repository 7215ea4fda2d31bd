"""The simulator in a thread: what a test or a demo uses."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.error
import urllib.request
from typing import Any

import pytest

import multi_llm_wrapper.simulator
from multi_llm_wrapper.simulator import Brain, Simulator
from tests.simulator.support import Ask, RawClient, ask, body_of


def post(simulator: Simulator, asked: Ask) -> tuple[int, bytes]:
    """Asks with the standard library's client."""
    request = urllib.request.Request(simulator.url + asked.path, asked.body, asked.headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_it_serves_from_start_to_close() -> None:
    """As a context manager it is up inside and gone outside, and leaves no thread behind."""
    before = set(threading.enumerate())
    with Simulator(seed=3) as simulator:
        assert (200, body_of(Brain(seed=3), ask("gemini"))) == post(simulator, ask("gemini"))
        assert f"http://127.0.0.1:{simulator.port}" == simulator.url
        assert f"{simulator.url}/v1" == simulator.base_url("openai")
        port = simulator.port

    assert set() == set(threading.enumerate()) - before
    with pytest.raises(ConnectionRefusedError):
        RawClient(port)


def test_starting_and_closing_may_be_repeated() -> None:
    """Both do nothing the second time, and a closed one can be started again."""
    simulator = Simulator()
    simulator.close()
    assert simulator.start() is simulator.start()
    assert post(simulator, ask("openai_chat"))[0] == 200
    simulator.close()
    simulator.close()
    with simulator:
        assert post(simulator, ask("openai_chat"))[0] == 200


def test_a_port_that_is_taken_is_an_error_at_once() -> None:
    """`OSError` in the thread that starts it."""
    with Simulator() as first, pytest.raises(OSError, match="in use"):
        Simulator(port=first.port).start()


def test_options_may_be_changed_while_it_runs() -> None:
    """Seed, pace and first token are those of the brain."""
    with Simulator(pace=0.1, first_token=0.2) as simulator:
        simulator.seed, simulator.pace, simulator.first_token = 5, 0.0, 0.0
        assert (simulator.seed, simulator.pace, simulator.first_token) == (5, 0.0, 0.0)
        assert body_of(Brain(seed=5), ask("openai_chat")) == post(simulator, ask("openai_chat"))[1]
        simulator.reset()
        assert (simulator.seed, simulator.pace, simulator.first_token) == (0, 0.1, 0.2)


def test_scripts_and_replays_are_those_of_the_brain() -> None:
    """The two ways to lay a reply ready."""
    with Simulator() as simulator:
        simulator.replay(503, {}, b"later")
        override = simulator.script(lambda request: multi_llm_wrapper.simulator.whole(418, {}, b"tea"), times=2)
        assert [post(simulator, ask("openai_chat")) for _ in range(2)] == [(503, b"later"), (418, b"tea")]
        assert override.used == 1
        assert [entry.status for entry in simulator.journal] == [503, 418]
        simulator.reset()
        assert simulator.journal == []
        assert post(simulator, ask("openai_chat"))[0] == 200


def test_a_reset_breaks_off_what_is_still_going_on() -> None:
    """A stream that an earlier test left behind ends, an idle connection does not."""
    with Simulator(pace=60.0) as simulator, RawClient(simulator.port) as idle, RawClient(simulator.port) as busy:
        idle.send(b"GET /health HTTP/1.1\r\n\r\n")
        idle.reply()
        busy.send(ask("openai_chat", stream=True).raw())
        busy.until(b"\n\n")
        entry = simulator.journal[1]
        simulator.reset()
        assert entry.hung_up
        assert simulator.journal == []
        with pytest.raises(AssertionError, match="the connection ended"):
            busy.until(b"[DONE]")
        idle.send(b"GET /health HTTP/1.1\r\n\r\n")
        assert idle.reply()[0] == 200


def test_a_simulator_that_was_not_started_can_be_reset() -> None:
    """Nothing to wait for."""
    simulator = Simulator(seed=1)
    simulator.seed = 2
    simulator.reset()

    assert simulator.seed == 1


def test_public_names_are_there() -> None:
    """All that is announced can be imported, and nothing else pretends to be there."""
    names = multi_llm_wrapper.simulator.__all__
    found: dict[str, Any] = {name: getattr(multi_llm_wrapper.simulator, name) for name in names}

    assert sorted(names) == names
    assert all(found.values())
    with pytest.raises(AttributeError, match="Simulater"):
        _ = multi_llm_wrapper.simulator.Simulater


def test_importing_it_is_light() -> None:
    """Neither the package nor a running simulator needs aiohttp."""
    code = (
        "import sys, multi_llm_wrapper.simulator as s\n"
        "assert not [m for m in sys.modules if m.startswith(('aiohttp', 'asyncio', 'msgspec'))], sys.modules.keys()\n"
        "with s.Simulator() as simulator: pass\n"
        "assert 'aiohttp' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
