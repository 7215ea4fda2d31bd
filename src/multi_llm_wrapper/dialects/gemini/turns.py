"""The messages of a conversation as Gemini's `contents`: turns of `user` and `model`, each a list of parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...errors import ValidationError
from ...types import (
    AssistantMessage,
    ImagePart,
    Message,
    MessageToolCall,
    TextPart,
    ToolMessage,
    UserMessage,
)
from .parts import call_in, is_made_up, parts_saying, read_arguments

_IMAGE_TYPES = {
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "bmp": "image/bmp",
}
_DEFAULT_IMAGE_TYPE = "image/jpeg"


class _Sent(NamedTuple):
    """How a tool call of the last model turn went over the wire; its result must say the same."""

    name: str
    id: str | None
    position: int


class Turns:
    """Builds `system` (parts) and `contents`.

    Messages of one side in a row become one content. Tool results keep a content of their own, also before more from
    the user: the turn after function calls must hold exactly their responses (400 otherwise).
    """

    def __init__(self) -> None:
        self.system: list[dict[str, Any]] = []
        self.contents: list[dict[str, Any]] = []
        self._kind = ""
        self._calls: dict[str, _Sent] = {}
        self._results: list[tuple[int, dict[str, Any]]] = []

    def add(self, messages: Sequence[Message]) -> None:
        for i, message in enumerate(messages):
            where = f"messages[{i}]"
            if isinstance(message, ToolMessage):
                self._results.append(self._result(message, where))
                continue
            self._end_results()
            if isinstance(message, UserMessage):
                self._add("user", "user", _parts(message.content, where))
            elif isinstance(message, AssistantMessage):
                self._add("assistant", "model", self._model_parts(message, where))
            else:
                self.system += _parts(message.content, where)
        self._end_results()
        if not self.contents:
            raise _invalid("messages", "has nothing but instructions", "add a user message")

    def _add(self, kind: str, role: str, parts: list[dict[str, Any]]) -> None:
        if not parts:
            return  # an answer of which nothing was left, such as one cut off while thinking
        if kind == self._kind:
            self.contents[-1]["parts"] += parts
        else:
            self.contents.append({"role": role, "parts": parts})
        self._kind = kind

    # --- the model's turn

    def _model_parts(self, message: AssistantMessage, where: str) -> list[dict[str, Any]]:
        calls = message.tool_calls or []
        said = [(call.function.name, call.function.arguments) for call in calls]
        parts = parts_saying(message.provider_data, _text(message.content), said)
        if parts is None:
            parts = [part for part in _parts(message.content or [], where) if part["text"]]
            parts += [_call(call, f"{where}.tool_calls[{j}]") for j, call in enumerate(calls)]
        wired = [sent for part in parts if (sent := call_in(part)) is not None]
        for position, (call, sent) in enumerate(zip(calls, wired, strict=True)):
            self._calls[call.id] = _Sent(call.function.name, sent.get("id"), position)
        return list(parts)

    # --- tool results

    def _result(self, message: ToolMessage, where: str) -> tuple[int, dict[str, Any]]:
        sent = self._calls.get(message.tool_call_id)
        if sent is None:
            raise _invalid(
                f"{where}.tool_call_id",
                f"is {message.tool_call_id!r}, which no assistant message before it calls",
                "append response.to_message() before the results of its tools",
            )
        response: dict[str, Any] = {"id": sent.id} if sent.id else {}
        response |= {"name": sent.name, "response": result_object(_text(message.content))}
        return sent.position, {"functionResponse": response}

    def _end_results(self) -> None:
        """Results without ids are told apart by name and order alone, so they are sent in the order of the calls."""
        if any("id" not in part["functionResponse"] for _, part in self._results):
            self._results.sort(key=lambda result: result[0])
        self._add("tool", "user", [part for _, part in self._results])
        self._results = []


def result_object(text: str) -> dict[str, Any]:
    """`functionResponse.response` must be an object. `result_text` is the way back."""
    value = read_arguments(text) if text.lstrip()[:1] == "{" else None
    return {"result": text} if value is None or _is_wrapped(value) else value


def _is_wrapped(value: dict[str, Any]) -> bool:
    return value.keys() == {"result"} and type(value["result"]) is str


def _call(call: MessageToolCall, where: str) -> dict[str, Any]:
    if not call.function.name:
        raise _invalid(f"{where}.function.name", "is empty", "name the function that was called")
    args = read_arguments(call.function.arguments)
    if args is None:
        raise _invalid(
            f"{where}.function.arguments",
            "is not the JSON text of an object, and Gemini takes no other arguments",
            "repair it, or leave this turn out",
        )
    sent: dict[str, Any] = {} if not call.id or is_made_up(call.id) else {"id": call.id}
    return {"functionCall": sent | {"name": call.function.name, "args": args}}


# --- text and images --------------------------------------------------------------------------------------------


def _text(content: str | list[TextPart] | None) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content or [])


def _parts(content: str | Sequence[TextPart | ImagePart], where: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"text": content}]
    return [
        {"text": part.text} if isinstance(part, TextPart) else _image(part.image_url.url, f"{where}.content[{j}]")
        for j, part in enumerate(content)
    ]


def _image(url: str, where: str) -> dict[str, Any]:
    if not url.startswith("data:"):
        ending = url.partition("?")[0].rpartition(".")[2].lower()
        return {"fileData": {"mimeType": _IMAGE_TYPES.get(ending, _DEFAULT_IMAGE_TYPE), "fileUri": url}}
    head, comma, data = url[5:].partition(",")
    mime, *options = head.split(";")
    if not comma or not data or "base64" not in options or "/" not in mime:
        raise _invalid(
            f"{where}.image_url.url", "is not a data URL in base64", 'write it as "data:image/png;base64,..."'
        )
    return {"inlineData": {"mimeType": mime, "data": data}}


def _invalid(field: str, problem: str, remedy: str) -> ValidationError:
    return ValidationError(f"{field} {problem}; {remedy}.", rejected_by="client")
