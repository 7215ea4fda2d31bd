"""Server side: a canonical reply as a message in Anthropic's words."""

from __future__ import annotations

from typing import Any

from ...errors import UnsupportedFeatureError
from ...types import NativeMessage, Reply, ToolCall
from .. import shape
from ..base import WireReply
from .blocks import parse_object
from .words import NAME, write_stop, write_usage

JSON_HEADERS = {"content-type": "application/json"}
_EXTRAS = ("container", "context_management", "stop_details")


def encode_reply(reply: Reply, *, created: int) -> WireReply:
    """`created` has no place on this wire. Raises `UnsupportedFeatureError` for tool arguments that are no object."""
    message = head(reply.response_id or "msg_0", reply.response_model or "")
    message["content"] = native_blocks(reply.native) or _blocks(reply)
    message["stop_reason"] = write_stop(reply.finish_reason, reply.provider_finish_reason)
    message["stop_sequence"] = reply.extras.get("stop_sequence")
    message.update({name: reply.extras[name] for name in _EXTRAS if name in reply.extras})
    message["usage"] = {**write_usage(reply.usage), "service_tier": "standard"}
    return WireReply(200, dict(JSON_HEADERS), shape.encode(message))


def head(response_id: str, model: str) -> dict[str, Any]:
    """A message in which nothing has been said yet."""
    return {
        "id": response_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def native_blocks(native: NativeMessage | None) -> list[dict[str, Any]]:
    """The blocks of a native message of this dialect; of none or another, none."""
    blocks = native.fields.get("content") if native is not None and native.dialect == NAME else None
    if type(blocks) is not list or not all(type(block) is dict for block in blocks):
        return []
    return blocks


def _blocks(reply: Reply) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if reply.reasoning:
        blocks.append({"type": "thinking", "thinking": reply.reasoning, "signature": ""})
    if reply.content:
        blocks.append({"type": "text", "text": reply.content})
    blocks += [_call(call) for call in reply.tool_calls]
    if not blocks and write_stop(reply.finish_reason, reply.provider_finish_reason) in (None, "end_turn"):
        blocks.append({"type": "text", "text": ""})  # an answer without words, which is more than none
    return blocks


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = parse_object(call.arguments)
    if arguments is None:
        raise UnsupportedFeatureError(
            f"The arguments of tool call {call.id!r} are no JSON object; a reply of Anthropic's that is not streamed "
            "can say nothing else."
        )
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}
