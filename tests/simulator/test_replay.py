"""Recorded exchanges served again: by the request where it fits, else in order, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from multi_llm_wrapper.simulator import Brain, Plan, ScenarioError, SimRequest
from tests.simulator.support import Shell, ask, read, run

SSE = 'data: {"a": 1}\n\ndata: {"b": "\u2615"}\n\ndata: [DONE]\n\n'


def exchange(question: str, reply: Any, status: int = 200, **fields: Any) -> dict[str, Any]:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": question}], **fields}
    response: dict[str, Any] = {"status": status, "headers": {"X-Request-Id": f"req_{question}", "content-length": "9"}}
    response |= {"text": reply} if isinstance(reply, str) else {"body": reply}
    url = "https://api.openai.com/v1/chat/completions"
    return {"request": {"method": "POST", "url": url, "body": body}, "response": response}


def written(folder: Path, *exchanges: Any) -> Path:
    path = folder / "recorded.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in exchanges) + "\n\n")
    return path


def asked(question: str, **fields: Any) -> SimRequest:
    body = {"messages": [{"role": "user", "content": question}], "model": "gpt-4o", **fields}
    return ask("openai_chat")._replace(body=json.dumps(body).encode()).sim()


def sent(plan: Plan) -> bytes:
    return b"".join(step.data for step in plan.steps)


def test_a_request_gets_what_was_recorded_for_it(tmp_path: Path) -> None:
    """Whatever the order of its fields and requests; fields that change nothing do not count."""
    brain = Brain(recordings=written(tmp_path, exchange("a", {"n": 1.50}, user="u1"), exchange("b", {"n": 2})))
    second, first = (
        brain.handle(asked("b")),
        brain.handle(asked("a", user="u2", stream_options={"include_usage": True})),
    )

    assert (b'{"n": 2}', b'{"n": 1.5}') == (sent(second), sent(first))
    assert ("req_a", "application/json") == (first.headers["x-request-id"], first.headers["content-type"])
    assert "content-length" not in first.headers
    assert 10 == first.length


def test_equal_requests_get_their_replies_in_order(tmp_path: Path) -> None:
    """The last one again and again; a reset starts over."""
    brain = Brain(recordings=written(tmp_path, exchange("a", {"n": 1}, 500), exchange("a", {"n": 2})))
    statuses = [brain.handle(asked("a")).status for _ in range(3)]
    brain.reset()

    assert [500, 200, 200] == statuses
    assert 500 == brain.handle(asked("a")).status


def test_a_request_that_was_not_recorded_gets_the_next_of_its_endpoint(tmp_path: Path) -> None:
    """When none is left, an error that says so, and no made-up answer."""
    brain = Brain(recordings=written(tmp_path, exchange("a", {"n": 1}), exchange("b", {"n": 2})))
    found = [brain.handle(asked(question)) for question in ("x", "y", "z")]

    assert [b'{"n": 1}', b'{"n": 2}'] == [sent(plan) for plan in found[:2]]
    assert 404 == found[2].status
    assert b"No recorded exchange fits this request" in sent(found[2])
    assert 404 == brain.handle(ask("gemini").sim()).status


@pytest.mark.parametrize("kind", ["http", "memory"])
def test_streams_are_served_event_by_event(tmp_path: Path, kind: str) -> None:
    """Byte for byte, at the pace or timing of the simulator."""
    path = written(tmp_path, exchange("a", SSE))

    async def main() -> tuple[bytes, int, float | None]:
        async with Shell(kind, Brain(recordings=path, pace=0.01)) as shell:
            reply = await shell.send(ask("openai_chat")._replace(body=asked("a").body))
            assert "text/event-stream" == reply.headers["content-type"]
            return await read(reply), shell.brain.journal[0].sent_chunks, shell.brain.journal[0].ended

    body, chunks, ended = run(main())

    assert (SSE.encode(), 3) == (body, chunks)
    assert ended is not None
    assert ended >= 0.02 - 1e-4


def test_a_file_that_is_no_recording_is_told_with_its_line(tmp_path: Path) -> None:
    """And what is wrong in it; one that cannot be read or has nothing in it is refused too."""
    path = written(tmp_path, exchange("a", {}))
    path.write_text(path.read_text() + '{"request": 3}\n')

    with pytest.raises(ScenarioError, match=r"recorded\.jsonl: line 3: no recorded exchange: .*request"):
        Brain(recordings=path)
    with pytest.raises(ScenarioError, match="cannot be read"):
        Brain(recordings=tmp_path / "nowhere")
    path.write_text("\n")
    with pytest.raises(ScenarioError, match="no exchange in it"):
        Brain(recordings=path)


@pytest.mark.parametrize("name", ["openai_chat", "anthropic_messages", "gemini", "compat_groq", "openai_responses"])
def test_every_recorded_request_finds_its_own_reply(recordings: Path, name: str) -> None:
    """Each of a whole file, asked as it was; also of endpoints that the simulator itself does not speak."""
    path = recordings / f"{name}.jsonl"
    brain = Brain(recordings=path)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    wanted: dict[str, list[bytes]] = {}
    for line in lines:
        reply = line["response"]
        data = reply["text"].encode() if "text" in reply else json.dumps(reply["body"]).encode()
        wanted.setdefault(json.dumps([line["request"]["url"], line["request"]["body"]]), []).append(data)
    hits = 0
    for line in lines:
        request = line["request"]
        plan = brain.handle(
            SimRequest(
                "POST",
                "/" + request["url"].split("/", 3)[3].split("?")[0],
                "",
                {},
                json.dumps(request["body"]).encode(),
            )
        )
        found = sent(plan)
        if plan.headers["content-type"].startswith("application/json"):
            found = json.dumps(json.loads(found)).encode()
        hits += found in wanted[json.dumps([request["url"], request["body"]])]

    assert len(lines) == hits
