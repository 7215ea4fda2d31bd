"""Server side: `contents` as canonical messages."""

from __future__ import annotations

from typing import Any, TypeVar

from ...errors import UnsupportedFeatureError
from ...types import (
    AssistantMessage,
    FunctionCall,
    ImagePart,
    ImageURL,
    Message,
    MessageToolCall,
    Part,
    TextPart,
    ToolMessage,
    UserMessage,
)
from .. import shape
from . import wire
from .parts import arguments_of, call_in, made_up_id, native, text_in

_DATA = wire.FIELDS["part"] - {"thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata"}
_CALLS_FIRST = "Please ensure that function response turn comes immediately after a function call turn."
_AS_MANY = (
    "Please ensure that the number of function response parts is equal to the number of function call parts of the "
    "function call turn."
)


class Conversation:
    """Builds `messages`. Calls without an id are numbered through the whole conversation."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._made_up = 0
        self._waiting: list[MessageToolCall] = []

    def add(self, contents: list[Any]) -> None:
        if not contents:
            wire.invalid("* GenerateContentRequest.contents: contents is not specified")
        for i, item in enumerate(contents):
            where = f"contents[{i}]"
            content = wire.message(item, "content", where)
            role = wire.string(content.get("role"), f"{where}.role") or "user"
            if role not in ("user", "model"):
                wire.invalid("Please use a valid role: user, model.")
            parts = _read_parts(content, where)
            if not parts:
                wire.invalid(f"* GenerateContentRequest.{where}.parts: contents.parts must not be empty.")
            if role == "model":
                self._add_model(parts)
            else:
                self._add_user(parts, where)

    def _add_model(self, parts: list[dict[str, Any]]) -> None:
        """Parts that say more than text and calls are kept as the native message."""
        calls = [self._call(call) for part in parts if (call := call_in(part)) is not None]
        said: str | list[TextPart] | None
        message = native(parts)
        if message is not None:
            said = text_in(parts)
        else:
            said = _plain([TextPart(part["text"]) for part in parts if "text" in part])
        self.messages.append(AssistantMessage(said or None, calls or None, provider_data=message))
        self._waiting = list(calls)

    def _call(self, call: dict[str, Any]) -> MessageToolCall:
        call_id = call.get("id")
        if not call_id:
            call_id = made_up_id(self._made_up, None)
            self._made_up += 1
        return MessageToolCall(call_id, FunctionCall(call["name"], arguments_of(call)))

    def _add_user(self, parts: list[dict[str, Any]], where: str) -> None:
        responses = sum("functionResponse" in part for part in parts)
        if responses and not self._waiting:
            wire.invalid(_CALLS_FIRST)
        if responses != len(self._waiting):
            wire.invalid(_AS_MANY)
        said: list[Part] = []
        for j, part in enumerate(parts):
            if "functionResponse" in part:
                self._add_said(said)
                self.messages.append(self._result(part["functionResponse"], f"{where}.parts[{j}].function_response"))
                said = []
            else:
                said.append(_user_part(part, f"{where}.parts[{j}]"))
        self._add_said(said)

    def _add_said(self, said: list[Part]) -> None:
        if said:
            self.messages.append(UserMessage(_plain(said)))

    def _result(self, value: Any, where: str) -> ToolMessage:
        """Answers the call with its id, else the first open one of its name, else the first open one."""
        fields = wire.message(value, "functionResponse", where)
        call_id = wire.string(fields.get("id"), f"{where}.id")
        name = wire.string(fields.get("name"), f"{where}.name")
        waiting = self._waiting
        call = next((call for call in waiting if call.id == call_id), None)
        call = call or next((call for call in waiting if call.function.name == name), waiting[0])
        waiting.remove(call)
        return ToolMessage(_result_text(wire.struct(fields.get("response"), f"{where}.response")), call.id)


def text_parts(value: Any, where: str) -> str | list[TextPart] | None:
    """The text of `systemInstruction`."""
    parts = _read_parts(wire.message(value, "content", where), where)
    return _plain([TextPart(part["text"]) for part in parts if "text" in part]) or None


def _read_parts(content: dict[str, Any], where: str) -> list[dict[str, Any]]:
    parts = wire.items(content.get("parts"), f"{where}.parts")
    return [_read_part(part, f"{where}.parts[{j}]") for j, part in enumerate(parts)]


def _read_part(value: Any, where: str) -> dict[str, Any]:
    part = wire.message(value, "part", where)
    if not part.keys() & _DATA:
        wire.invalid(
            f"* GenerateContentRequest.{where}.data: required oneof field 'data' must have one initialized field"
        )
    if "text" in part:
        wire.scalar(part["text"], "TYPE_STRING", f"{where}.text")
    if "functionCall" in part:
        part["functionCall"] = _read_call(part["functionCall"], f"{where}.function_call")
    return part


def _read_call(value: Any, where: str) -> dict[str, Any]:
    call = wire.message(value, "functionCall", where)
    wire.string(call.get("id"), f"{where}.id")
    wire.struct(call.get("args"), f"{where}.args")
    if not wire.string(call.get("name"), f"{where}.name"):
        wire.invalid(f"* GenerateContentRequest.{where}.name: Name cannot be empty.")
    return call


def _user_part(part: dict[str, Any], where: str) -> Part:
    if "text" in part:
        return TextPart(part["text"])
    if "inlineData" in part:
        blob = wire.message(part["inlineData"], "inlineData", f"{where}.inline_data")
        mime = wire.string(blob.get("mimeType"), f"{where}.inline_data.mime_type")
        data = wire.string(blob.get("data"), f"{where}.inline_data.data")
        return ImagePart(ImageURL(f"data:{mime};base64,{data}"))
    if "fileData" in part:
        file = wire.message(part["fileData"], "fileData", f"{where}.file_data")
        return ImagePart(ImageURL(wire.string(file.get("fileUri"), f"{where}.file_data.file_uri")))
    wire.invalid(f"{where}: a part of this kind is not supported in a user turn.", UnsupportedFeatureError)


def _result_text(response: dict[str, Any]) -> str:
    """The way back from `turns.result_object`."""
    text = response.get("result")
    return text if response.keys() == {"result"} and isinstance(text, str) else shape.encode(response).decode()


_P = TypeVar("_P", bound=Part)


def _plain(parts: list[_P]) -> str | list[_P]:
    """One text is a string."""
    only = parts[0] if len(parts) == 1 else None
    return only.text if isinstance(only, TextPart) else parts
