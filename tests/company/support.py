"""What the tests with other people's clients share: one body for a sync and an async client, and failures to send."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from multi_llm_wrapper import dialects
from multi_llm_wrapper.errors import LLMError
from multi_llm_wrapper.simulator import Plan, SimRequest, Simulator, Step
from multi_llm_wrapper.types import Event, Reply

QUESTION = "What is the capital of France?"
CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
ZONE: dict[str, Any] = {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="  # one of PNG


async def settled(value: Any) -> Any:
    """What a call gives, whether the client is async or not."""
    return await value if inspect.isawaitable(value) else value


async def listed(items: Any, into: list[Any] | None = None) -> list[Any]:
    """All of a stream or of pages, whether the client is async or not; `into` has what came before an exception."""
    found = [] if into is None else into
    if hasattr(items, "__aiter__"):
        async for item in items:
            found.append(item)
    else:
        for item in items:
            found.append(item)
    return found


@asynccontextmanager
async def entered(manager: Any) -> AsyncIterator[Any]:
    """A context manager, whether it is async or not."""
    if hasattr(manager, "__aenter__"):
        async with manager as inside:
            yield inside
    else:
        with manager as inside:
            yield inside


# --- replies laid ready ---------------------------------------------------------------------------------------------


def refuse(simulator: Simulator, dialect: str, error: LLMError) -> None:
    """The next request is answered with this failure in the dialect's words."""
    wire = dialects.get(dialect).encode_error(error)
    simulator.replay(wire.status, wire.headers, wire.body)


def answer(simulator: Simulator, dialect: str, reply: Reply) -> None:
    """The next request is answered with this reply in the dialect's words."""
    wire = dialects.get(dialect).encode_reply(reply, created=0)
    simulator.replay(wire.status, wire.headers, wire.body)


def broken_stream(simulator: Simulator, dialect: str, events: list[Event], error: LLMError) -> None:
    """The next request is answered with a stream that ends in an error inside HTTP 200."""
    encoder = dialects.get(dialect).encoder(response_id="id-1", model="m", created=0)
    chunks = [encoder.start(), *(encoder.event(event) for event in events), encoder.error(error)]
    simulator.replay(200, {"content-type": "text/event-stream"}, chunks=[chunk for chunk in chunks if chunk])


def reset(simulator: Simulator) -> None:
    """The connection of the next request breaks before its answer."""

    def make(request: SimRequest) -> Plan:
        return Plan(200, {"content-type": "application/json"}, iter((Step(0.0, b"", "reset"),)), length=10)

    simulator.script(make)
