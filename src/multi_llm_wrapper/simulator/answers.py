"""Healthy answers: a pure function of the request and a seed.

The same question gets the same answer in every dialect, streamed or not; `max_tokens` and `stop` only cut it.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from ..errors import ValidationError
from ..types import (
    AssistantMessage,
    ChatRequest,
    Event,
    Extra,
    FinishReason,
    Message,
    NamedTool,
    Native,
    ReasoningDelta,
    Reply,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolMessage,
    Usage,
    UserMessage,
)
from . import prose, tokens
from .check import Schema
from .dice import Dice
from .merge import UnsatisfiableError
from .schema import generate

EFFORTS = {"none": 0, "minimal": 1, "low": 2, "medium": 4, "high": 6, "xhigh": 7, "max": 7}
"""Sentences of reasoning by effort; another word counts as medium."""

_ANY_OBJECT: tuple[dict[str, str], ...] = ({}, {"type": "object"})
"""The schemas of what OpenAI calls JSON mode: the answer is put into an object."""


class Draft(Struct):
    """An answer before it has a place on any wire: the pieces that a stream sends one by one."""

    id: str
    """The same for the same question and seed."""
    reasoning: list[str] = []
    text: list[str] = []
    calls: list[ToolCall] = []
    call_tokens: int = 0
    finish: FinishReason = "stop"
    stopped_by: str | None = None
    """The stop sequence that ended it."""

    @property
    def output_tokens(self) -> int:
        return len(self.reasoning) + len(self.text) + self.call_tokens


def draft(request: ChatRequest, seed: int, call_prefix: str = "call_", mode: str = "prose") -> Draft:
    """What the model answers; without a prefix its calls have no ids. Raises `ValidationError` for what no model
    could do: a tool that was not offered, a schema that nothing satisfies."""
    dice = Dice(seed, request.seed or 0, request.model, *map(_key, request.messages))
    made = Draft(dice.digest, reasoning=_reasoning(request, dice))
    chosen = _chosen_tools(request)
    if chosen:
        arguments = [_arguments(tool, dice) for tool in chosen]  # all before the ids, which differ by dialect
        made.calls = [
            ToolCall(call_prefix and call_prefix + dice.token(24), tool.function.name, text)
            for tool, text in zip(chosen, arguments, strict=True)
        ]
        made.call_tokens = sum(tokens.count(call.name) + tokens.count(call.arguments) for call in made.calls)
        made.finish = "tool_calls"
    else:
        made.text = _text(request, dice, mode)
    return _cut(made, request)


def usage(request: ChatRequest, made: Draft) -> Usage:
    """Inclusive counts, the same however the answer is sent."""
    inside, outside = tokens.prompt_tokens(request), made.output_tokens
    return Usage(
        input_tokens=inside,
        output_tokens=outside,
        total_tokens=inside + outside,
        cache_read_tokens=0,
        cache_write_tokens=0,
        reasoning_tokens=len(made.reasoning),
    )


def events(reply: Reply, made: Draft) -> Iterator[tuple[Event, int]]:
    """The answer as a stream tells it, a token at a time: events, and how many tokens each of them took to make.
    Reasoning that is not shown takes its time before the first."""
    hidden = 0 if reply.reasoning is not None else len(made.reasoning)
    if reply.reasoning is not None:
        for piece in made.reasoning:
            yield ReasoningDelta(piece), 1
    if reply.native is not None:
        yield Native(reply.native), 0
    for piece in made.text:
        yield TextDelta(piece), 1 + hidden
        hidden = 0
    for index, call in enumerate(made.calls):
        yield ToolCallDelta(index, call.id, call.name), tokens.count(call.name) + hidden
        hidden = 0
        for piece in tokens.split(call.arguments):
            yield ToolCallDelta(index, arguments=piece), 1
    for name, value in reply.extras.items():
        yield Extra(name, value), 0


# --- text -------------------------------------------------------------------------------------------------------


def _key(message: Message) -> str:
    """All of a message that the answer may depend on (not the ids of calls, which differ by dialect)."""
    if isinstance(message, AssistantMessage):
        calls = "".join(f"{call.function.name}{call.function.arguments}" for call in message.tool_calls or ())
        return tokens.text_of(message) + calls
    return tokens.text_of(message)


def _text(request: ChatRequest, dice: Dice, mode: str) -> list[str]:
    results = _tool_results(request)
    wanted = request.response_format
    if wanted is not None and wanted.schema not in _ANY_OBJECT:
        return tokens.split(_json(wanted.schema, dice, "response_format"))
    question, model = _question(request), request.model
    if mode == "echo":
        sentences = [question]
    elif mode == "lorem":
        sentences = prose.lorem(dice)
    else:
        sentences = prose.about_results(results, dice) if results else prose.answer(question, model, dice)
    if wanted is not None:
        return tokens.split(msgspec.json.encode({"answer": "".join(sentences)}).decode())
    return tokens.split_sentences(sentences)


def _question(request: ChatRequest) -> str:
    """The text of the user's last message; of whatever comes last where there is none."""
    asked = [message for message in request.messages if isinstance(message, UserMessage)] or request.messages
    return tokens.text_of(asked[-1]) if asked else ""


def _reasoning(request: ChatRequest, dice: Dice) -> list[str]:
    effort = request.reasoning_effort
    length = 0 if effort is None else EFFORTS.get(effort, EFFORTS["medium"])
    return tokens.split_sentences(prose.thoughts(_question(request), length, dice)) if length else []


def _json(wanted: Schema, dice: Dice, where: str) -> str:
    try:
        value = generate(wanted, dice)
    except UnsatisfiableError as error:
        raise ValidationError(
            f"Invalid schema for {where}: no value was found for it, {error}.", status_code=400, rejected_by="provider"
        ) from None
    return msgspec.json.encode(value).decode()


# --- tools ------------------------------------------------------------------------------------------------------


def _chosen_tools(request: ChatRequest) -> list[Tool]:
    """Which of the tools offered are called: the one named, else those that the question names, else, when one must
    be called, the first."""
    offered, choice = request.tools or [], request.tool_choice or "auto"
    if isinstance(choice, NamedTool):
        return [_named(offered, choice.function.name)]
    if not offered or choice == "none" or (choice == "auto" and _tool_results(request)):
        return []
    question = _question(request).lower()
    mentioned = [tool for tool in offered if _mentions(question, tool.function.name.lower())]
    if not mentioned and choice == "required":
        mentioned = offered[:1]
    return mentioned[:1] if request.parallel_tool_calls is False else mentioned


def _named(offered: list[Tool], name: str) -> Tool:
    for tool in offered:
        if tool.function.name == name:
            return tool
    raise ValidationError(
        f"Tool choice {name!r} not found among the tools offered.", status_code=400, rejected_by="provider"
    )


def _mentions(question: str, name: str) -> bool:
    return name in question or name.replace("_", " ") in question


def _arguments(tool: Tool, dice: Dice) -> str:
    if not tool.function.parameters:
        return "{}"
    return _json({"type": "object", **tool.function.parameters}, dice, f"function {tool.function.name!r}")


def _tool_results(request: ChatRequest) -> list[tuple[str, str]]:
    """What tools returned since the model spoke last, with the names of the tools."""
    results: list[ToolMessage] = []
    for message in reversed(request.messages):
        if isinstance(message, ToolMessage):
            results.append(message)
        elif isinstance(message, AssistantMessage):
            names = {call.id: call.function.name for call in message.tool_calls or ()}
            return [(names.get(r.tool_call_id, "tool"), tokens.text_of(r)) for r in reversed(results)]
    return []


# --- limits -----------------------------------------------------------------------------------------------------


def _cut(made: Draft, request: ChatRequest) -> Draft:
    """What the limits leave: reasoning comes first, then text; a tool call that does not fit is not made."""
    limit = request.max_tokens
    if limit is not None and made.output_tokens > limit:
        made.reasoning = made.reasoning[:limit]
        made.text = made.text[: limit - len(made.reasoning)]
        made.calls, made.call_tokens = [], 0
        made.finish = "length"
    if request.stop and made.text:
        _stop(made, request.stop)
    return made


def _stop(made: Draft, sequences: list[str]) -> None:
    """Ends the text before the first stop sequence in it."""
    text = "".join(made.text)
    found = [(at, sequence) for sequence in sequences if sequence and (at := text.find(sequence)) >= 0]
    if found:
        at, made.stopped_by = min(found)
        made.text = tokens.split(text[:at])
        made.finish = "stop"
