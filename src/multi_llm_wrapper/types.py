"""The canonical vocabulary: what a request, an answer and its pieces are, whatever the provider.

Everything here is data. Requests travel down (`ChatRequest` -> dialect -> bytes), answers travel up
(bytes -> dialect -> `Event`s -> `Reply`). The message shape is OpenAI's chat shape, so that
`msgspec.convert(messages, list[Message])` is the whole validation of what a caller passes in.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "other"]

# --- requests ---------------------------------------------------------------------------------------------------


class TextPart(Struct, frozen=True, tag_field="type", tag="text"):
    text: str


class ImageURL(Struct, frozen=True, omit_defaults=True):
    """`url` is an https URL or a `data:` URL with base64 content."""

    url: str
    detail: str | None = None


class ImagePart(Struct, frozen=True, tag_field="type", tag="image_url"):
    image_url: ImageURL


Part: TypeAlias = TextPart | ImagePart


class FunctionCall(Struct, frozen=True):
    name: str
    arguments: str
    """JSON text, as the model wrote it."""


class MessageToolCall(Struct, frozen=True):
    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class SystemMessage(Struct, frozen=True, omit_defaults=True, tag_field="role", tag="system"):
    content: str | list[TextPart]
    name: str | None = None


class DeveloperMessage(Struct, frozen=True, omit_defaults=True, tag_field="role", tag="developer"):
    content: str | list[TextPart]
    name: str | None = None


class UserMessage(Struct, frozen=True, omit_defaults=True, tag_field="role", tag="user"):
    content: str | list[Part]
    name: str | None = None


class AssistantMessage(Struct, frozen=True, omit_defaults=True, tag_field="role", tag="assistant"):
    """`provider_data` is what `Response.to_message()` put there: the native message of one dialect, sent back
    verbatim to that dialect (thinking signatures, thought signatures) and left out everywhere else."""

    content: str | list[TextPart] | None = None
    tool_calls: list[MessageToolCall] | None = None
    name: str | None = None
    provider_data: NativeMessage | None = None


class ToolMessage(Struct, frozen=True, omit_defaults=True, tag_field="role", tag="tool"):
    content: str | list[TextPart]
    tool_call_id: str
    name: str | None = None


Message: TypeAlias = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


class NativeMessage(Struct, frozen=True):
    """The provider's own form of an assistant turn: `fields` of its native message, in the words of `dialect`."""

    dialect: str
    fields: dict[str, Any]


class Function(Struct, frozen=True, omit_defaults=True):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Struct, frozen=True):
    function: Function
    type: Literal["function"] = "function"


class NamedFunction(Struct, frozen=True):
    name: str


class NamedTool(Struct, frozen=True):
    """`tool_choice` that names the one function the model must call."""

    function: NamedFunction
    type: Literal["function"] = "function"


ToolChoice: TypeAlias = Literal["auto", "none", "required"] | NamedTool


class JSONSchema(Struct, frozen=True, omit_defaults=True):
    """What `response_format` asks for: an answer that is JSON and matches `schema`."""

    schema: dict[str, Any]
    name: str = "response"
    strict: bool | None = None
    description: str | None = None


class ChatRequest(Struct, kw_only=True, omit_defaults=True):
    """One question, before any dialect. None = the caller said nothing, so nothing is sent."""

    model: str
    messages: list[Message]
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: JSONSchema | None = None
    reasoning_effort: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: list[str] | None = None
    seed: int | None = None
    stream: bool = False


# --- answers ----------------------------------------------------------------------------------------------------


class Usage(Struct, frozen=True):
    """Token counts, inclusive: input has cache reads and writes in it, output has reasoning. None = not reported."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class ToolCall(Struct, frozen=True):
    """A function the model wants called; `arguments` is its JSON text, unparsed."""

    id: str
    name: str
    arguments: str


class Reply(Struct, kw_only=True):
    """One whole answer (or as much as came), after any dialect."""

    content: str = ""
    reasoning: str | None = None
    tool_calls: list[ToolCall] = []
    finish_reason: FinishReason | None = None
    provider_finish_reason: str | None = None
    usage: Usage | None = None
    raw_usage: dict[str, Any] | None = None
    response_id: str | None = None
    response_model: str | None = None
    native: NativeMessage | None = None
    """The assistant turn in the provider's words, when it holds what the canonical fields cannot."""
    extras: dict[str, Any] = {}
    """Everything else that came (citations, logprobs, refusals, unknown fields), under the provider's own names."""


# --- the events of a stream, in the order they may come ---------------------------------------------------------


class Started(Struct, frozen=True, gc=False):
    """Who answers, and under which id; also the proof that there is an answer at all (a choice, a candidate)."""

    response_id: str | None = None
    response_model: str | None = None


class TextDelta(Struct, frozen=True, gc=False):
    text: str


class ReasoningDelta(Struct, frozen=True, gc=False):
    text: str


class ToolCallDelta(Struct, frozen=True, gc=False):
    """A piece of tool call `index`: id and name come once, `arguments` is the next fragment of JSON text."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


class Finished(Struct, frozen=True, gc=False):
    """Why the model stopped. More may follow (usage), but no more content."""

    reason: FinishReason
    provider_reason: str | None = None


class UsageReport(Struct, frozen=True):
    """The provider's own usage object; the last one that comes is the whole truth."""

    raw: dict[str, Any]


class Extra(Struct, frozen=True):
    """What has no canonical place, under the provider's own name for it; the fold gathers the values of one name."""

    name: str
    value: Any


class Native(Struct, frozen=True):
    """The native assistant message to send back in the next turn (see `NativeMessage`)."""

    message: NativeMessage


Event: TypeAlias = Started | TextDelta | ReasoningDelta | ToolCallDelta | Finished | UsageReport | Extra | Native

# --- what travels over HTTP -------------------------------------------------------------------------------------


class WireRequest(Struct, frozen=True):
    """A request in the words of a dialect: `path` is relative to the provider's base URL."""

    path: str
    body: bytes
    headers: dict[str, str] = {}


class RateLimit(Struct, omit_defaults=True):
    """What the rate-limit headers said; `reset_*` in seconds from now."""

    limit_requests: int | None = None
    remaining_requests: int | None = None
    reset_requests: float | None = None
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens: float | None = None


__all__ = [
    "AssistantMessage",
    "ChatRequest",
    "DeveloperMessage",
    "Event",
    "Extra",
    "FinishReason",
    "Finished",
    "Function",
    "FunctionCall",
    "ImagePart",
    "ImageURL",
    "JSONSchema",
    "Message",
    "MessageToolCall",
    "NamedFunction",
    "NamedTool",
    "Native",
    "NativeMessage",
    "Part",
    "RateLimit",
    "ReasoningDelta",
    "Reply",
    "Started",
    "SystemMessage",
    "TextDelta",
    "TextPart",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolChoice",
    "ToolMessage",
    "Usage",
    "UsageReport",
    "UserMessage",
    "WireRequest",
]
