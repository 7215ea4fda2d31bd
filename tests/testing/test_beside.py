"""The pytest plugin beside others that run async tests or spread them, and what it costs unused: one module."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
import asyncio
import pytest
from multi_llm_wrapper import LLMWrapper, OpenAIConfig


async def ask(base_url=None):
    async with LLMWrapper(OpenAIConfig(api_key="any", base_url=base_url)) as llm:
        return await llm.query("Hello", "gpt-4o")
"""

BESIDE_ASYNCIO = (
    ASK
    + """
@pytest.mark.asyncio
async def test_the_simulator(simulator):
    response = await ask(simulator.base_url("openai"))
    assert response.status == "success"
    assert await asyncio.to_thread(simulator.wait_for, lambda journal: journal[0].done)


@pytest.mark.asyncio
async def test_the_double(mock_completion):
    mock_completion.return_value = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
    assert (await ask()).content == "Hi"
"""
)

BESIDE_ANYIO = (
    ASK
    + """
@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio
async def test_the_simulator(simulator):
    assert (await ask(simulator.base_url("openai"))).status == "success"
    assert 1 == len(simulator.journal)


@pytest.mark.anyio
async def test_the_double(mock_completion):
    assert (await ask()).status == "success"
    assert 1 == mock_completion.call_count
"""
)

BESIDE_XDIST = (
    ASK
    + """
@pytest.mark.parametrize("number", range(12))
def test_each_worker_has_a_simulator_of_its_own(simulator, number):
    assert [] == simulator.journal
    simulator.script(f"Answer {number}.", times=2)
    for _ in range(2):
        assert asyncio.run(ask(simulator.base_url("openai"))).content == f"Answer {number}."
    assert 2 == len(simulator.journal)
"""
)

NOTHING = """
import sys


def test_nothing_is_loaded_but_the_plugin():
    ours = sorted(name for name in sys.modules if name.split(".")[0] == "multi_llm_wrapper")
    needed = ["multi_llm_wrapper", "multi_llm_wrapper.testing", "multi_llm_wrapper.testing.plugin"]
    assert ours == [*needed, "multi_llm_wrapper.version"]
    assert [] == [name for name in ("aiohttp", "msgspec") if name in sys.modules]
"""


STRICT = ("-o", "asyncio_mode=strict", "-o", "asyncio_default_fixture_loop_scope=function")


def session(folder: Path, text: str, *args: str, without: tuple[str, ...] = ()) -> str:
    """What pytest says of a file in a session of its own."""
    (folder / "test_it.py").write_text(text)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    off = [f"-pno:{name}" for name in ("cacheprovider", "cov", "benchmark", "timeout", *without)]
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", *off, *args, "test_it.py"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_beside_pytest_asyncio(tmp_path: Path) -> None:
    """In async tests of its loops."""
    said = session(tmp_path, BESIDE_ASYNCIO, *STRICT, without=("xdist", "anyio"))

    assert "2 passed" in said, said


def test_beside_the_plugin_of_anyio(tmp_path: Path) -> None:
    """In async tests of its runner."""
    said = session(tmp_path, BESIDE_ANYIO, without=("xdist", "asyncio"))

    assert "2 passed" in said, said


def test_beside_pytest_xdist(tmp_path: Path) -> None:
    """A server for each worker, so that no test sees another's requests."""
    said = session(tmp_path, BESIDE_XDIST, "-n", "2", without=("asyncio", "anyio"))

    assert "12 passed" in said, said


def test_beside_all_of_them(tmp_path: Path) -> None:
    """Async tests spread over workers."""
    said = session(
        tmp_path,
        BESIDE_ASYNCIO + BESIDE_ANYIO.removeprefix(ASK).replace("def test_", "def test_anyio_"),
        *STRICT,
        "-n",
        "2",
    )

    assert "4 passed" in said, said


def test_unused_it_loads_nothing_but_itself(tmp_path: Path) -> None:
    """No other module of the package is imported in a session that uses no fixture of it."""
    said = session(tmp_path, NOTHING, without=("xdist", "asyncio", "anyio"))

    assert "1 passed" in said, said


@pytest.mark.parametrize("fixture", ["simulator", "mock_completion"])
def test_the_fixtures_tell_what_they_are(pytestconfig: pytest.Config, fixture: str, tmp_path: Path) -> None:
    """In the list of `pytest --fixtures`."""
    said = session(tmp_path, "", "--fixtures", without=("xdist", "asyncio", "anyio"))

    assert f"\n{fixture} -- " in said
