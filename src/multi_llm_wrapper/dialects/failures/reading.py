"""What an error says, in any host's shape, as `Facts`.

    OpenAI, Azure, Groq   {"error": {"message", "type", "param", "code", "innererror"?}}
    OpenRouter            {"error": {"code": 402, "message", "metadata": {"error_type", "limit_source", "raw"}}}
    Anthropic             {"type": "error", "error": {"type", "message", "details"?}, "request_id"}
    Gemini                {"error": {"code": 429, "message", "status", "details": [...]}}, or a list of it
    Mistral, Cerebras     {"object": "error", "message", "type", "param", "code"}
    xAI                   {"code": "...", "error": "..."}
    Ollama, Hugging Face  {"error": "..."}, {"error": ["..."]}
    Cohere, Bedrock       {"message"}; Bedrock's name for it is in a header
    FastAPI, vLLM         {"detail": "..."}, {"detail": [{"loc", "msg"}]}
    OpenAI Responses      {"type": "response.failed", "response": {"error": {...}}}

Nothing here raises, whatever it is given.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from ...sse import SSEParser
from .codes import QUOTA_PER_DAY

_LAYERS = 5
"""How deep errors are looked for in errors."""
_TEXT_BYTES = 64 * 1024
"""How much of a body that is no JSON is looked at."""
_NAME = 100

_INNER = ("error", "errors", "response", "message", "detail")
_WORDS = ("message", "error_description", "error", "msg", "detail", "errors", "Message", "error_message")
_NAMES = ("code", "type", "status", "__type", "error_code")
_DETAIL_NAMES = ("error_code", "reason", "code")
_METADATA_NAMES = ("limit_source", "provider_code")
_STATUSES = ("status_code", "code", "status", "raw_status_code", "statusCode", "http_status")
_REQUEST_IDS = (
    "x-request-id",
    "request-id",
    "apim-request-id",
    "x-amzn-requestid",
    "x-generation-id",
    "x-ms-request-id",
)
_EMPTY = {"", "error", "none", "null", "failed"}

_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{0,300})", re.IGNORECASE)
_LONG_QUOTA = re.compile(r"Per(?:Day|Week|Month)")


class Facts(NamedTuple):
    """`names` are the structured codes, the most telling first; `status` is an HTTP status said inside the error."""

    words: str = ""
    names: tuple[str, ...] = ()
    status: int | None = None
    request_id: str | None = None
    page: str = ""
    """What came instead of words: an HTML page, an unknown shape, nothing."""


def parse(body: bytes) -> Any:
    """The JSON value in a body, also as the first event of a stream; else its text."""
    body = body.removeprefix(b"\xef\xbb\xbf").strip()
    if body[:5] in (b"data:", b"event"):
        body = next((event.data for event in _events(body)), body)
    value = _json(body)
    if value is None:
        text = body[:_TEXT_BYTES].decode("utf-8", "replace")
        value = _json(text.encode()) if "\ufffd" in text else None
        return "" if text == "null" else text if value is None else value
    return value


def read(value: Any, headers: Mapping[str, str] | None = None) -> Facts:
    """The facts in a parsed body or an error object; `headers` (lower case) may name the error and the request."""
    headers = headers or {}
    if type(value) is str and _is_html(value):
        return Facts(page=_page(value), request_id=_request_id([], headers))
    layers = list(_layers(value))
    inside_out = layers[::-1]
    words = next(filter(None, map(_words, inside_out)), "") or _flat(value)
    names = [name for layer in inside_out for name in _telling(layer)]
    names += [name for layer in inside_out for name in _names(layer)]
    names.append(_aws(headers.get("x-amzn-errortype") or ""))
    return Facts(
        words=words,
        names=tuple(name[:_NAME] for name in names if name.lower() not in _EMPTY),
        status=next(filter(None, map(_status, inside_out)), None),
        request_id=_request_id(layers, headers),
        page="" if words else _strange(value),
    )


def _events(body: bytes) -> Iterator[Any]:
    parser = SSEParser(len(body) + 1)
    yield from parser.feed(body)
    yield from parser.close()


def _json(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _is_html(text: str) -> bool:
    return text[:200].lstrip().lower().startswith(("<!doctype", "<html", "<head", "<body"))


def _page(text: str) -> str:
    title = _TITLE.search(text)
    return f"an HTML page titled {html.unescape(title[1]).strip()!r}" if title else "an HTML page"


def _strange(value: Any) -> str:
    """What can be said of a body in which no words are found."""
    if not isinstance(value, dict | list) or not value:
        return "no reason given"
    try:
        return "a body of no known shape, " + msgspec.json.encode(value)[:_TEXT_BYTES].decode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError):
        return "a body of no known shape"


def _layers(value: Any) -> Iterator[dict[Any, Any]]:
    """The objects in which the error is wrapped, from the outside in."""
    for _ in range(_LAYERS):
        value = _object(value)
        if value is None:
            return
        yield value
        candidates = [value.get(key) for key in _INNER]
        candidates.append(_dict(value.get("metadata")).get("raw"))  # OpenRouter: what the host behind it said
        value = next((inner for inner in candidates if _object(inner) is not None), None)


def _object(value: Any) -> dict[Any, Any] | None:
    """The value as an object: itself, the first of a list (Gemini), or what a text of JSON holds (gateways)."""
    if type(value) is str and value[:1] in ("{", "[") and len(value) <= _TEXT_BYTES:
        value = _json(value.encode("utf-8", "replace"))
    if type(value) is list and value and "loc" not in _dict(value[0]):  # FastAPI's are read as words, all of them
        value = value[0]
    return value if type(value) is dict else None


def _dict(value: Any) -> dict[Any, Any]:
    return value if type(value) is dict else {}


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []


def _words(layer: dict[Any, Any]) -> str:
    said = next(filter(None, (_flat(layer.get(key)) for key in _WORDS)), "")
    raw = _dict(layer.get("metadata")).get("raw")
    return f"{said}: {raw}" if type(raw) is str else said


def _flat(value: Any) -> str:
    """A text, or the texts of a list: strings, or FastAPI's `{"loc": ["body", "model"], "msg"}`."""
    if type(value) is str:
        return value.strip()
    return "; ".join(filter(None, (_item(item) for item in _list(value)[:5])))


def _item(item: Any) -> str:
    if type(item) is str:
        return item.strip()
    said = _dict(item).get("msg") or _dict(item).get("message")
    if type(said) is not str:
        return ""
    place = ".".join(str(part) for part in _list(item.get("loc")) if type(part) in (str, int))
    return f"{place}: {said}" if place else said


def _telling(layer: dict[Any, Any]) -> Iterator[str]:
    """OpenRouter's `error_type`, which is the same in all its dialects, while code and type are approximations."""
    yield from _strings(_dict(layer.get("metadata")), ("error_type",))
    yield from _strings(layer, ("error_type",))


def _names(layer: dict[Any, Any]) -> Iterator[str]:
    yield from _strings(_dict(layer.get("metadata")), _METADATA_NAMES)
    yield from _strings(layer, _NAMES)
    yield from _strings(_dict(layer.get("innererror")), ("code",))
    details = layer.get("details")
    yield from _strings(_dict(details), _DETAIL_NAMES)
    for detail in map(_dict, _list(details)):
        yield from _strings(detail, _DETAIL_NAMES)
        quotas = (_dict(violation).get("quotaId") for violation in _list(detail.get("violations")))
        if any(type(quota) is str and _LONG_QUOTA.search(quota) for quota in quotas):
            yield QUOTA_PER_DAY


def _strings(source: dict[Any, Any], keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        value = source.get(key)
        if type(value) is int:
            yield str(value) if abs(value) < 10**9 else ""
        elif type(value) is str:
            yield _aws(value) if key == "__type" else value.strip()


def _aws(name: str) -> str:
    """`ThrottlingException` of "com.amazon.coral#ThrottlingException:http://internal.amazon.com/"."""
    return name.partition(":")[0].rpartition("#")[2].strip()


def _status(layer: dict[Any, Any]) -> int | None:
    for key in _STATUSES:
        status = http_status(layer.get(key))
        if status is not None:
            return status
    return None


def http_status(value: Any) -> int | None:
    """An HTTP status of failure that a body names, as a number or as text (Azure: "429")."""
    if type(value) is str and len(value) == 3 and value.isascii() and value.isdigit():
        value = int(value)
    return value if type(value) is int and 300 <= value <= 599 else None


def _request_id(layers: list[dict[Any, Any]], headers: Mapping[str, str]) -> str | None:
    found = [headers.get(name) for name in _REQUEST_IDS]
    found += [layer.get("request_id") for layer in layers]
    found += [_dict(layer.get("x_groq")).get("id") for layer in layers]
    return next((name for name in found if type(name) is str and name), None)
