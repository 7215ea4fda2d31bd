"""Hypothesis strategies for canonical requests and replies, shared by the tests of all dialects.

Each switch is a feature that some dialect has no words for; the default is everything. What is generated is always
something a provider could be asked or could answer: every tool call has its result, tool choice comes with tools,
usage adds up.

    requests = chat_requests(names=False, developer=False, system_anywhere=False)

    @given(replies(cache_write=False))
    def test_it(reply): ...
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Literal

import msgspec
from hypothesis import strategies as st

from multi_llm_wrapper.types import (
    AssistantMessage,
    ChatRequest,
    DeveloperMessage,
    Event,
    Finished,
    FinishReason,
    Function,
    FunctionCall,
    ImagePart,
    ImageURL,
    JSONSchema,
    Message,
    MessageToolCall,
    NamedFunction,
    NamedTool,
    ReasoningDelta,
    Reply,
    Started,
    SystemMessage,
    TextDelta,
    TextPart,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolMessage,
    Usage,
    UserMessage,
)

# --- values -----------------------------------------------------------------------------------------------------

texts = st.text(max_size=30)
"""Any text, also empty, blank or beyond the BMP."""
visible_texts = st.text(min_size=1, max_size=30).filter(lambda text: bool(text.strip()))
"""Text that is not blank: what every provider accepts as a message."""
names_of_functions = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_-]{0,20}", fullmatch=True)
ids = st.from_regex(r"[a-z]{2,5}_[A-Za-z0-9]{4,20}", fullmatch=True)
counts = st.integers(0, 200_000)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(texts, json_values, max_size=4)
json_schemas = st.dictionaries(names_of_functions, st.sampled_from(["string", "integer", "boolean"]), max_size=3).map(
    lambda fields: {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in fields.items()},
        "required": sorted(fields),
        "additionalProperties": False,
    }
)
arguments = json_objects.map(lambda value: msgspec.json.encode(value).decode())
"""Compact JSON text of an object: survives dialects that carry arguments as objects."""


# --- requests ---------------------------------------------------------------------------------------------------


def chat_requests(
    *,
    names: bool = True,
    developer: bool = True,
    system: bool = True,
    system_anywhere: bool = True,
    system_messages: int = 2,
    part_lists: bool = True,
    alternate: bool = False,
    images: Literal["all", "data", "none"] = "all",
    image_detail: bool = True,
    raw_arguments: bool = True,
    shuffled_results: bool = True,
    tools: bool = True,
    function_strict: bool = True,
    optional_parameters: bool = True,
    tool_choice: bool = True,
    parallel_tool_calls: bool = True,
    response_format: bool = True,
    schema_details: bool = True,
    schema_name: bool = True,
    efforts: Sequence[str] = ("minimal", "low", "medium", "high"),
    max_tokens: Literal["optional", "always"] = "optional",
    max_temperature: float = 2.0,
    seed: bool = True,
    stop: bool = True,
    stream: bool = True,
) -> st.SearchStrategy[ChatRequest]:
    """Canonical requests. Switches set to False leave a feature out:

    `names` (of participants), `developer` (role), `system` (and developer messages at all), `system_anywhere` (else at
    the beginning only, at most `system_messages`), `part_lists` (else text content is a string; lists remain only
    where there is an image, and have two parts or more), `image_detail`, `raw_arguments` (else compact JSON objects),
    `shuffled_results` (else in the order of the calls), `function_strict`, `optional_parameters` (else every function
    has some), `schema_details` (`strict` and `description`), `schema_name` (else the default one).
    `alternate=True`: user (or tool results) and assistant take turns, the user first. `efforts=()`: none.
    """

    @st.composite
    def build(draw: st.DrawFn) -> ChatRequest:
        talk = _Talk(draw, names, part_lists, images, image_detail, raw_arguments, shuffled_results)
        messages = talk.messages(
            heads=system_messages if system else 0,
            developer=developer,
            anywhere=system and system_anywhere,
            alternate=alternate,
        )
        offered = draw(_optional(_tools(function_strict, optional_parameters))) if tools else None
        choice = draw(_optional(_choices(offered))) if offered and tool_choice else None
        parallel = draw(st.none() | st.booleans()) if offered and parallel_tool_calls else None
        return ChatRequest(
            model=draw(st.sampled_from(["gpt-5-mini", "claude-x", "org/model:free"])),
            messages=messages,
            tools=offered,
            tool_choice=choice,
            parallel_tool_calls=parallel,
            response_format=draw(_optional(_formats(schema_details, schema_name))) if response_format else None,
            reasoning_effort=draw(_optional(st.sampled_from(list(efforts)))) if efforts else None,
            max_tokens=draw(st.integers(1, 10_000) if max_tokens == "always" else _optional(st.integers(1, 10_000))),
            temperature=draw(_optional(st.floats(0, max_temperature))),
            top_p=draw(_optional(st.floats(0, 1))),
            stop=draw(_optional(st.lists(visible_texts, min_size=1, max_size=4))) if stop else None,
            seed=draw(_optional(st.integers(0, 2**31 - 1))) if seed else None,
            stream=draw(st.booleans()) if stream else False,
        )

    return build()


class _Talk:
    """Draws one conversation in which every tool call is answered, each exactly once."""

    def __init__(
        self,
        draw: st.DrawFn,
        names: bool,
        part_lists: bool,
        images: str,
        image_detail: bool,
        raw_arguments: bool,
        shuffled_results: bool,
    ) -> None:
        self.draw = draw
        self.part_lists = part_lists
        self.images = images
        self.shuffled_results = shuffled_results
        self.names = _optional(names_of_functions) if names else st.none()
        self.urls = _image_urls(images, image_detail)
        self.arguments = arguments | texts if raw_arguments else arguments
        self.used = 0

    def messages(self, *, heads: int, developer: bool, anywhere: bool, alternate: bool) -> list[Message]:
        draw = self.draw
        kinds = [SystemMessage, DeveloperMessage] if developer else [SystemMessage]
        found: list[Message] = [self.head(kinds) for _ in range(draw(st.integers(0, heads)))]
        found.append(self.user())
        for _ in range(draw(st.integers(0, 3))):
            turn = self.assistant()
            found.append(turn)
            if turn.tool_calls:
                found.extend(self.results(turn.tool_calls))
            if not (turn.tool_calls and (alternate or draw(st.booleans()))):
                found.append(self.user())
            if not alternate and draw(st.booleans()):
                found.append(self.user())
            if anywhere and draw(st.booleans()):
                found.append(self.head(kinds))
        return found

    def head(self, kinds: list[Any]) -> Message:
        message: Message = self.draw(st.sampled_from(kinds))(self.text(), self.draw(self.names))
        return message

    def text(self) -> str | list[TextPart]:
        if not self.part_lists:
            return self.draw(visible_texts)
        return self.draw(visible_texts | st.lists(st.builds(TextPart, visible_texts), min_size=1, max_size=3))

    def user(self) -> UserMessage:
        draw = self.draw
        if self.images == "none" or draw(st.integers(0, 3)):
            return UserMessage(self.text(), draw(self.names))  # type: ignore[arg-type]  # list is invariant
        parts = draw(st.lists(st.builds(TextPart, visible_texts) | st.builds(ImagePart, self.urls), max_size=2))
        parts.insert(draw(st.integers(0, len(parts))), ImagePart(draw(self.urls)))
        if len(parts) == 1:
            parts.append(TextPart(draw(visible_texts)))
        return UserMessage(parts, draw(self.names))

    def assistant(self) -> AssistantMessage:
        draw = self.draw
        calls = [self.call() for _ in range(draw(st.integers(0, 3)))] or None
        content = None if calls and draw(st.booleans()) else self.text()
        return AssistantMessage(content, calls, draw(self.names))

    def call(self) -> MessageToolCall:
        self.used += 1
        function = FunctionCall(self.draw(names_of_functions), self.draw(self.arguments))
        return MessageToolCall(f"{self.draw(ids)}{self.used}", function)

    def results(self, calls: list[MessageToolCall]) -> list[Message]:
        order = self.draw(st.permutations(calls)) if self.shuffled_results else calls
        return [ToolMessage(self.text(), call.id, self.draw(self.names)) for call in order]


def _optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def _image_urls(kind: str, detail: bool) -> st.SearchStrategy[ImageURL]:
    data = st.builds(
        lambda subtype, content: f"data:image/{subtype};base64,{base64.b64encode(content).decode()}",
        st.sampled_from(["png", "jpeg", "webp", "gif"]),
        st.binary(min_size=1, max_size=12),
    )
    remote = st.sampled_from(["https://example.com/a.png", "https://example.com/b?size=1&x=%20"])
    details = _optional(st.sampled_from(["auto", "low", "high"])) if detail else st.none()
    return st.builds(ImageURL, data if kind == "data" else data | remote, details)


def _tools(strict: bool, optional_parameters: bool) -> st.SearchStrategy[list[Tool]]:
    function = st.builds(
        Function,
        name=names_of_functions,
        description=_optional(visible_texts),
        parameters=_optional(json_schemas) if optional_parameters else json_schemas,
        strict=_optional(st.booleans()) if strict else st.none(),
    )
    return st.lists(st.builds(Tool, function), min_size=1, max_size=3, unique_by=attrgetter("function.name"))


def _choices(offered: list[Tool]) -> st.SearchStrategy[Any]:
    named = st.sampled_from(offered).map(lambda tool: NamedTool(NamedFunction(tool.function.name)))
    return st.sampled_from(["auto", "none", "required"]) | named


def _formats(details: bool, name: bool) -> st.SearchStrategy[JSONSchema]:
    return st.builds(
        JSONSchema,
        schema=json_schemas,
        name=names_of_functions if name else st.just("response"),
        strict=_optional(st.booleans()) if details else st.none(),
        description=_optional(visible_texts) if details else st.none(),
    )


# --- replies ----------------------------------------------------------------------------------------------------


def replies(
    *,
    reasoning: bool = True,
    tool_calls: bool = True,
    raw_arguments: bool = True,
    finish_reasons: Sequence[FinishReason] = ("stop", "length", "tool_calls", "content_filter", "other"),
    finish_from_calls: bool = False,
    usage: Literal["optional", "always", "never"] = "optional",
    cache_read: Literal["optional", "always", "never"] = "optional",
    cache_write: Literal["optional", "always", "never"] = "optional",
    reasoning_tokens: Literal["optional", "always", "never"] = "optional",
    empty: bool = True,
) -> st.SearchStrategy[Reply]:
    """Canonical replies, complete ones, without what only a provider can put there (native, raw usage, extras).

    `finish_from_calls=True`: the reason is `tool_calls` exactly when there are calls (Gemini, which says STOP for
    both). `empty=False`: there is text or a call. `cache_read` and its like: whether that count is reported.
    """

    @st.composite
    def build(draw: st.DrawFn) -> Reply:
        calls = draw(_reply_calls(raw_arguments)) if tool_calls else []
        reason: FinishReason = draw(st.sampled_from(list(finish_reasons)))
        if finish_from_calls and (calls or reason == "tool_calls"):
            reason = "tool_calls" if calls else "stop"
        return Reply(
            content=draw(texts if empty or calls else visible_texts),
            reasoning=draw(_optional(visible_texts)) if reasoning else None,
            tool_calls=calls,
            finish_reason=reason,
            usage=draw(_sometimes(usage, _usages(cache_read, cache_write, reasoning_tokens))),
            response_id=draw(ids),
            response_model=draw(st.sampled_from(["gpt-5-mini-2026-01-01", "claude-x-1", "gemini-y"])),
        )

    return build()


def canonical(reply: Reply) -> dict[str, Any]:
    """What must survive any dialect: a reply without the provider's own words for it."""
    fields = msgspec.structs.asdict(reply)
    for own in ("provider_finish_reason", "raw_usage", "native", "extras"):
        del fields[own]
    return fields


def well_typed(reply: Reply) -> bool:
    """Whether every field, down to the last, has the type that it is declared with."""
    return reply == msgspec.convert(msgspec.to_builtins(reply), Reply)


def reply_events(reply: Reply) -> st.SearchStrategy[list[Event]]:
    """The events between start and end of a stream of this answer, its texts cut at drawn places. (`Started`,
    `Finished` and usage are the arguments of an encoder and of its `end`.)"""

    @st.composite
    def build(draw: st.DrawFn) -> list[Event]:
        events: list[Event] = [ReasoningDelta(piece) for piece in draw(pieces(reply.reasoning or ""))]
        events += [TextDelta(piece) for piece in draw(pieces(reply.content))]
        for index, call in enumerate(reply.tool_calls):
            events.append(ToolCallDelta(index, call.id, call.name))
            events += [ToolCallDelta(index, arguments=piece) for piece in draw(pieces(call.arguments))]
        return events

    return build()


def all_events(reply: Reply) -> list[Event]:
    """The answer as the events a decoder would give, in one piece each; usage left out."""
    events: list[Event] = [Started(reply.response_id, reply.response_model)]
    events += [ReasoningDelta(reply.reasoning)] if reply.reasoning else []
    events += [TextDelta(reply.content)] if reply.content else []
    events += [ToolCallDelta(i, c.id, c.name, c.arguments) for i, c in enumerate(reply.tool_calls)]
    events += [Finished(reply.finish_reason, reply.provider_finish_reason)] if reply.finish_reason else []
    return events


def pieces(whole: Any) -> st.SearchStrategy[list[Any]]:
    """A str or bytes cut at drawn places; the pieces joined are the whole, none of them is empty."""

    def cut(places: set[int]) -> list[Any]:
        edges = [0, *sorted(places), len(whole)]
        return [whole[a:b] for a, b in itertools.pairwise(edges) if a < b]

    return st.sets(st.integers(0, len(whole)), max_size=6).map(cut)


def _sometimes(when: str, strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return {"always": strategy, "never": st.none()}.get(when, _optional(strategy))


def _reply_calls(raw: bool) -> st.SearchStrategy[list[ToolCall]]:
    call = st.builds(ToolCall, ids, names_of_functions, arguments | texts if raw else arguments)
    return st.lists(call, max_size=3, unique_by=lambda one: one.id)


@st.composite
def _usages(draw: st.DrawFn, cache_read: str, cache_write: str, reasoning_tokens: str) -> Usage:
    """Inclusive counts that add up: the parts fit into the whole."""
    read = draw(_sometimes(cache_read, counts))
    write = draw(_sometimes(cache_write, counts))
    thought = draw(_sometimes(reasoning_tokens, counts))
    inside = draw(counts) + (read or 0) + (write or 0)
    outside = draw(counts) + (thought or 0)
    return Usage(inside, outside, inside + outside, read, write, thought)
