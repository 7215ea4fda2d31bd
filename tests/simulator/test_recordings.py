"""Recorded replies through both shells: what was recorded is what a client gets, byte for byte."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multi_llm_wrapper.simulator import Brain
from tests.simulator.support import Shell, ask, read, run

FILES = ("openai_chat", "anthropic_messages", "gemini", "azure_openai_chat", "compat_groq", "compat_mistral")
PER_FILE = 40


def exchanges(folder: Path, name: str) -> Iterator[tuple[int, dict[str, str], bytes, bool]]:
    """Status, headers, body and whether it streamed, of the first recorded replies in a file."""
    path = folder / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"no recordings in {path}")
    with path.open(encoding="utf-8") as lines:
        for _, line in zip(range(PER_FILE), lines, strict=False):
            recorded: dict[str, Any] = json.loads(line)
            reply = recorded["response"]
            body = reply["text"].encode() if "text" in reply else json.dumps(reply["body"]).encode()
            yield reply["status"], reply["headers"], body, recorded["stream"]


def pieces(body: bytes, chance: random.Random) -> list[bytes]:
    """The body cut at random places, also inside of characters and line ends."""
    cuts = sorted(chance.randrange(len(body) + 1) for _ in range(12))
    return [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]


@pytest.mark.parametrize("kind", ["http", "memory"])
@pytest.mark.parametrize("name", FILES)
def test_recorded_replies_are_served_byte_for_byte(recordings: Path, kind: str, name: str) -> None:
    """Status, kept headers and body arrive unchanged; streams in whatever pieces they are sent."""
    chance = random.Random(name)

    async def main() -> int:
        count = 0
        async with Shell(kind, Brain()) as shell:
            for status, headers, body, streamed in exchanges(recordings, name):
                chunks = pieces(body, chance) if streamed else None
                shell.brain.replay(status, headers, b"" if streamed else body, chunks=chunks)
                reply = await shell.send(ask("openai_chat"))

                assert status == reply.status
                assert headers["content-type"] == reply.headers["content-type"]
                assert body == await read(reply)
                count += 1
        return count

    assert run(main()) > 0
