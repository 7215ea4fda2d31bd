"""The pytest plugin: found by its entry point, loads nothing of the package before a fixture is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..simulator import Simulator
    from .double import CompletionDouble


@pytest.fixture
def mock_completion(monkeypatch: pytest.MonkeyPatch) -> CompletionDouble:
    """Stands in for every attempt of every `LLMWrapper` in this test; see `CompletionDouble`."""
    from ..wrapper import LLMWrapper
    from .double import CompletionDouble

    double = CompletionDouble()
    monkeypatch.setattr(LLMWrapper, "completion", double)
    return double


@pytest.fixture(scope="session")
def _simulator_server() -> Iterator[Simulator]:
    from ..simulator import Simulator

    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(_simulator_server: Simulator) -> Iterator[Simulator]:
    """A provider over real HTTP on loopback, one server a session, reset for each test.

    `simulator.base_url("openai")` goes into a provider's configuration; `simulator.journal` is what it was asked.
    """
    _simulator_server.reset()
    yield _simulator_server
    _simulator_server.reset()
