"""How each client is asked: one module a client, all with the same classes.

`Client` is for speed: the client as its users make it, with its own defaults. `Reader` is for correctness: it asks for
a recorded exchange and says what the client made of the reply. `Caller` is for faults: the client as its documentation
makes it resilient. All import their library only when they are used.
"""

from __future__ import annotations

from typing import Any, Protocol

KEY = "sk-bench-0123456789"
PROMPT = "What is the capital of France?"
PLENTY = 10_000
"""Connections; for clients whose own limit would stand in for their speed."""


class Client(Protocol):
    async def call(self) -> str:
        """One question, model `plain`; the text of the answer."""

    async def consume(self, model: str) -> tuple[int, float]:
        """A whole stream: how many pieces of text came, and when the first one did (`time.perf_counter`)."""


class Reader(Protocol):
    async def read(self, dialect: str, model: str, prompt: str, stream: bool) -> Reading:
        """Raises what the client raises; a client that answers with errors gives `{"error": class}`."""


class Caller(Protocol):
    """Made anew for every fault: `Caller(base_url, seconds)`, where the client may wait so long for each answer."""

    async def ask(self, model: str, prompt: str, stream: bool) -> Reading:
        """Raises what the client raises, and what its documented way of reading an answer raises."""

    async def aclose(self) -> None: ...


Reading = dict[str, Any]
"""As the client gives them: `text`, `calls` as [name, arguments], `usage` by the names of `USAGE`, None = not there;
`finish`, the reason why the answer ended, where it is looked at."""

USAGE = ("input", "output", "total", "cache_read", "cache_write", "reasoning")


def usage(*counts: Any) -> dict[str, Any]:
    """In the order of `USAGE`."""
    return dict(zip(USAGE, counts, strict=True))
