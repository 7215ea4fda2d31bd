"""Lanes and responses for tests of the views, without any provider."""

from __future__ import annotations

from typing import Any

from multi_llm_wrapper import errors
from multi_llm_wrapper.cli.lanes import Lane
from multi_llm_wrapper.response import Chunk, Facts, Response, failure, success
from multi_llm_wrapper.types import Reply, Usage


def answered(text: str, provider: str = "openai", model: str = "gpt-4o-mini", **facts: Any) -> Response:
    reply = Reply(content=text, usage=Usage(input_tokens=10, output_tokens=1234), **facts)
    return success(reply, Facts(provider, model, 0.0, 1.5, time_to_first_token=0.25, attempts=1))


def failed(
    message: str = "Too many.", kind: str = "rate_limit", provider: str | None = "openai", **facts: Any
) -> Response:
    error = errors.CLASSES[kind](message, **facts)
    return failure(error, Facts(provider, "gpt-4o-mini", 0.0, 0.5, attempts=1))


def closed(text: str) -> Response:
    """What a stream that was closed early leaves."""
    error = errors.IncompleteStreamError("The stream was closed.", code="closed")
    return failure(error, Facts("openai", "gpt-4o-mini", 0.0, 0.5, attempts=1), Reply(content=text))


def say(lane: Lane, *texts: str, provider: str = "openai") -> None:
    for text in texts:
        lane.take(Chunk(type="text", content=text, provider=provider))
