"""The pytest plugin: found by itself, costs nothing until it is used, and leaves each test as it found it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from multi_llm_wrapper import LLMWrapper, OpenAIConfig
from multi_llm_wrapper.simulator import Simulator
from multi_llm_wrapper.testing import CompletionDouble

KEY = "sk-test-0123456789"

TESTS = """
import asyncio, sys
import pytest

HEAVY = ("aiohttp", "msgspec", "multi_llm_wrapper.wrapper", "multi_llm_wrapper.simulator")
ports = []


def test_a_session_that_uses_nothing_pays_nothing():
    assert [] == [name for name in HEAVY if name in sys.modules]


def ask(simulator=None):
    from multi_llm_wrapper import LLMWrapper, OpenAIConfig

    base_url = simulator.base_url("openai") if simulator else None

    async def query():
        async with LLMWrapper(OpenAIConfig(api_key="any", base_url=base_url)) as llm:
            return await llm.query("Hello", "gpt-4o")

    return asyncio.run(query())


def test_the_double_answers(mock_completion):
    assert ask()["status"] == "success"
    assert mock_completion.call_count == 1


@pytest.mark.parametrize("number", [1, 2])
def test_the_simulator_answers(simulator, number):
    assert [] == list(simulator.journal)
    assert ask(simulator)["status"] == "success"
    assert 1 == len(simulator.journal)
    simulator.pace = 9.0
    ports.append(simulator.port)
    assert 1 == len(set(ports))


def test_nothing_stands_in_any_more():
    from multi_llm_wrapper import LLMWrapper

    assert LLMWrapper.completion is None


def test_both_fixtures_are_listed(pytestconfig):
    assert pytestconfig.pluginmanager.has_plugin("multi_llm_wrapper")
"""


def test_the_plugin_in_a_session_of_its_own(tmp_path: Path) -> None:
    """No import, no conftest: the fixtures are there because the package is installed. Nothing heavy is loaded before
    one of them is used, the simulator's server is one a session, and each test finds it fresh."""
    (tmp_path / "test_it.py").write_text(TESTS)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    others = ("cacheprovider", "asyncio", "xdist", "cov", "benchmark", "timeout")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", *(f"-pno:{name}" for name in others), "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
    assert "6 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.asyncio
async def test_the_double_stands_in_for_wrappers_made_before_it(request: pytest.FixtureRequest) -> None:
    """Every wrapper asks it, whenever it was made, and no network is touched."""
    llm = LLMWrapper(OpenAIConfig(api_key=KEY, base_url="http://127.0.0.1:1/v1"))
    double: CompletionDouble = request.getfixturevalue("mock_completion")
    assert "success" == (await llm.query("Hello", "gpt-4o")).status
    assert 1 == double.call_count


@pytest.mark.asyncio
@pytest.mark.parametrize("dialect", ["openai", "anthropic", "gemini", "openai_chat", "anthropic_messages"])
async def test_the_simulator_tells_where_it_is(simulator: Simulator, dialect: str) -> None:
    """Loopback and its port, whether it is asked by provider or by dialect."""
    assert simulator.base_url(dialect).startswith(f"http://127.0.0.1:{simulator.port}")
