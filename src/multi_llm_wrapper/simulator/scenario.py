"""What a scenario says: scripted answers, when each is given, and the provider's settings; from a file or from Python.

    [[replies]]
    match = { model = "gpt-*", last = "weather", turn = 1 }
    tool_calls = [{ name = "get_weather", arguments = { city = "Paris" } }]

    [[replies]]
    match = { turn = 2 }
    text = "It is sunny in Paris."

The first reply that fits a request and is not used up answers it; what none fits gets `default`, else the answer that
the simulator makes up itself.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ..errors import CLASSES
from ..types import AssistantMessage, ChatRequest, FinishReason, ToolMessage, UserMessage
from . import faults, tokens
from .timing import Timing

Mode = Literal["prose", "echo", "lorem"]
"""What is said when nothing is scripted: an answer about the question, the question again, or lorem ipsum."""

Always = Literal["always"]


class When(Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Which requests a reply is for: those that fit every field that is set."""

    model: str | None = None
    """The model's name, with `*` and `?`."""
    last: str | None = None
    """Text in the last message, whatever its case."""
    last_regex: str | None = None
    """A regular expression found in the last message."""
    system: str | None = None
    """Text in the system or developer messages, whatever its case."""
    turn: int | None = None
    """Which user message of the conversation is being answered, from 1. Results of tools belong to its turn."""
    after_tool: bool | None = None
    """Whether the last message is a tool's result."""
    tools: list[str] | None = None
    """Names of tools that must all be offered; `[]` is for requests that offer none."""
    dialect: str | None = None
    """`openai_chat`, `anthropic_messages`, `gemini`."""
    stream: bool | None = None

    def __post_init__(self) -> None:
        if self.dialect is not None and self.dialect not in DIALECTS:
            raise ValueError(f"no dialect {self.dialect!r}; there are {', '.join(DIALECTS)}")
        if self.last_regex is not None:
            try:
                re.compile(self.last_regex)
            except re.error as error:
                raise ValueError(
                    f"last_regex is no regular expression: {error}; escape what is meant literally"
                ) from None
        if self.turn is not None and self.turn < 1:
            raise ValueError(f"turn is {self.turn}; turns count from 1")

    def fits(self, asked: ChatRequest, dialect: str) -> bool:
        last = tokens.text_of(asked.messages[-1]) if asked.messages else ""
        return (
            (self.dialect is None or self.dialect == dialect)
            and (self.model is None or fnmatchcase(asked.model, self.model))
            and (self.stream is None or self.stream == asked.stream)
            and (self.turn is None or self.turn == _turn(asked))
            and (self.after_tool is None or self.after_tool == _after_tool(asked))
            and (self.last is None or self.last.casefold() in last.casefold())
            and (self.last_regex is None or re.search(self.last_regex, last) is not None)
            and (self.system is None or self.system.casefold() in _system(asked).casefold())
            and (self.tools is None or _offers(asked, self.tools))
        )


DIALECTS = ("openai_chat", "anthropic_messages", "gemini")


class Call(Struct, forbid_unknown_fields=True):
    """A tool call; `arguments` as an object, or as the very text that the model writes."""

    name: str
    arguments: dict[str, Any] | str = {}
    id: str | None = None


class UsageCounts(Struct, forbid_unknown_fields=True, kw_only=True):
    """Inclusive counts; what is left out is counted by the simulator."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class Failure(Struct, forbid_unknown_fields=True, kw_only=True):
    """An error in the provider's own shape. `type` is one of this package's error types (`rate_limit`, `overloaded`,
    ...), `retry_after` in seconds."""

    type: str
    message: str = "Scripted by a scenario."
    code: str | None = None
    retry_after: float | None = None

    def __post_init__(self) -> None:
        if self.type not in CLASSES:
            raise ValueError(f"no error type {self.type!r}; there are {', '.join(CLASSES)}")


class Answer(Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What is sent, in every dialect. It is sent as it stands: `max_tokens` and `stop` do not cut it."""

    text: str | None = None
    json: Any | UnsetType = UNSET
    """A value that is sent as JSON text."""
    reasoning: str | None = None
    tool_calls: list[Call] = []
    refusal: str | None = None
    """The model declines: OpenAI's `refusal`, Anthropic's stop reason, Gemini's SAFETY without any text."""
    finish_reason: FinishReason | None = None
    usage: UsageCounts | None = None
    headers: dict[str, str] = {}
    status: int | None = None
    error: Failure | None = None
    timing: str | None = None
    """As in `Timing.of`."""
    fault: str | None = None
    """What goes wrong with it, as in `cut?k=3`: see `faults`."""

    def __post_init__(self) -> None:
        said = [name for name in ("text", "json", "refusal", "error") if getattr(self, name) not in (None, UNSET)]
        if len(said) > 1:
            raise ValueError(f"{' and '.join(said)} exclude each other; keep one of them")
        if self.error is not None and (self.tool_calls or self.reasoning):
            raise ValueError("an error has neither tool_calls nor reasoning; leave them out, or the error")
        if self.status is not None and not (200 <= self.status <= 599):
            raise ValueError(f"status is {self.status}; it must be from 200 to 599")
        if self.status is not None and self.status >= 400 and self.error is None and self.text is None:
            raise ValueError('a status of 400 or more needs error = { type = "..." }, or text to be sent as it is')
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise ValueError(f"{name!r} = {value!r} is no HTTP header; no line ends, nothing but Latin-1")
        if self.timing is not None:
            Timing.of(self.timing)
        if self.fault is not None and len(faults.parse(self.fault)) != 1:
            raise ValueError("fault names more than one, or none; give the others an answer of their own in sequence")

    @property
    def fails(self) -> bool:
        return self.error is not None or (self.status or 0) >= 400

    @property
    def says_something(self) -> bool:
        return bool(
            self.text is not None
            or self.json is not UNSET
            or self.reasoning
            or self.tool_calls
            or self.refusal is not None
            or self.error
        )


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\u0100-\U0010ffff]*")


class Rule(Answer, kw_only=True):
    """An answer, or a `sequence` of them given one after the other, the last one again and again."""

    match: When = msgspec.field(default_factory=When)
    times: int | Always = "always"
    sequence: list[Answer] = []

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sequence and self.says_something:
            raise ValueError("sequence stands in for text, json, tool_calls, refusal and error; keep one of the two")
        if self.times != "always" and self.times < 1:
            raise ValueError(f'times is {self.times}; write a number from 1 on, or "always"')


class ModelSettings(Struct, forbid_unknown_fields=True, kw_only=True):
    """Of the models whose name fits; None: not limited."""

    context_window: int | None = None
    max_output: int | None = None
    timing: str | None = None

    def __post_init__(self) -> None:
        if self.timing is not None:
            Timing.of(self.timing)


class Limits(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """For each key, a minute; None: not limited."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1, or be left out")


class Scenario(Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A whole scenario file. What is not set stays as the simulator was made."""

    replies: list[Rule] = []
    default: Answer | None = None
    mode: Mode | None = None
    seed: int | None = None
    timing: str | None = None
    limits: Limits | None = None
    context_windows: bool | None = None
    """True: every model refuses what is longer than its known window."""
    models: dict[str, ModelSettings] = {}
    """By name, with `*` and `?`."""

    def __post_init__(self) -> None:
        if self.timing is not None:
            Timing.of(self.timing)


# --- what a request is like ------------------------------------------------------------------------------------------


def _turn(asked: ChatRequest) -> int:
    return sum(isinstance(message, UserMessage) for message in asked.messages)


def _after_tool(asked: ChatRequest) -> bool:
    return bool(asked.messages) and isinstance(asked.messages[-1], ToolMessage)


def _system(asked: ChatRequest) -> str:
    others = (UserMessage, AssistantMessage, ToolMessage)
    return "\n".join(tokens.text_of(message) for message in asked.messages if not isinstance(message, others))


def _offers(asked: ChatRequest, names: list[str]) -> bool:
    offered = {tool.function.name for tool in asked.tools or ()}
    return offered.issuperset(names) if names else not offered
