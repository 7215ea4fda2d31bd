"""Answers that a scenario wrote, as drafts: the pieces that a stream sends, whatever the dialect."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, structs

from ..errors import CLASSES, LLMError, ValidationError
from ..types import ChatRequest, Reply, ToolCall, Usage
from . import tokens
from .answers import Draft
from .dice import Dice
from .scenario import Answer, Call, Failure


def draft(answer: Answer, asked: ChatRequest, seed: int, dialect: str, call_prefix: str) -> Draft:
    """The scripted answer, with an id that hangs on seed and request as every other's does."""
    _check(answer, dialect, asked.stream)
    dice = Dice(seed, asked.model, *map(tokens.text_of, asked.messages), "scripted")
    calls = [_call(call, call_prefix and call_prefix + dice.token(24)) for call in answer.tool_calls]
    return Draft(
        dice.digest,
        reasoning=tokens.split(answer.reasoning or ""),
        text=tokens.split(_text(answer, dialect)),
        calls=calls,
        call_tokens=sum(tokens.count(call.name) + tokens.count(call.arguments) for call in calls),
        finish=answer.finish_reason or _finish(answer),
    )


def _text(answer: Answer, dialect: str) -> str:
    """Anthropic's refusals have no field of their own; the text before the stop reason says it."""
    if answer.refusal is not None:
        return answer.refusal if dialect == "anthropic_messages" else ""
    return answer.text or "" if answer.json is UNSET else msgspec.json.encode(answer.json).decode()


def _finish(answer: Answer) -> Any:
    if answer.refusal is not None:
        return "content_filter"
    return "tool_calls" if answer.tool_calls else "stop"


def _check(answer: Answer, dialect: str, stream: bool) -> None:
    """Malformed arguments can be said where they travel as text: in OpenAI's protocol, and in Anthropic's streams."""
    if dialect == "openai_chat" or (dialect == "anthropic_messages" and stream and not answer.reasoning):
        return
    for call in answer.tool_calls:
        if isinstance(call.arguments, str) and not _is_object(call.arguments):
            raise ValidationError(
                f"The scripted arguments of {call.name!r} are no JSON object, and {dialect} cannot say that"
                f"{'' if stream else ' in one piece'}; script an object, or match another dialect.",
                status_code=400,
                rejected_by="provider",
            )


def _is_object(text: str) -> bool:
    try:
        return type(msgspec.json.decode(text)) is dict
    except (msgspec.DecodeError, RecursionError):
        return False


def _call(call: Call, made_id: str) -> ToolCall:
    arguments = call.arguments if isinstance(call.arguments, str) else msgspec.json.encode(call.arguments).decode()
    return ToolCall(call.id if call.id is not None else made_id, call.name, arguments)


def finish(reply: Reply, answer: Answer, dialect: str) -> Reply:
    """What the answer says of the reply around the text: usage, refusal."""
    if answer.usage is not None and reply.usage is not None:
        reply.usage = _usage(reply.usage, answer)
    if answer.refusal is not None and dialect == "openai_chat":
        reply.extras["refusal"] = answer.refusal  # its wire has a field for it, and a normal finish reason
    return reply


def _usage(counted: Usage, answer: Answer) -> Usage:
    given = {name: n for name, n in structs.asdict(answer.usage).items() if n is not None} if answer.usage else {}
    usage = structs.replace(counted, **given)
    return structs.replace(usage, total_tokens=(usage.input_tokens or 0) + (usage.output_tokens or 0))


def failure(failed: Failure, status: int | None) -> LLMError:
    """The error to be told in the provider's shape; without a status, the provider's own one for it."""
    error = CLASSES[failed.type](failed.message, code=failed.code, retry_after=failed.retry_after)
    error.status_code = status
    return error
