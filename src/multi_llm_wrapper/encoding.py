"""A request in the words of one target: dialect, URL, headers, body, and what had to be left out."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from .dialects.shape import loads
from .errors import LLMError, UnsupportedFeatureError, ValidationError
from .options import Options
from .routing import Target, join_url
from .transport.base import HTTPRequest
from .types import ChatRequest, ImagePart, UserMessage, WireRequest

MAX_REQUEST_BYTES = 32 * 1024 * 1024
DROPPABLE = ("temperature", "top_p", "stop", "seed", "reasoning_effort", "parallel_tool_calls")
"""Settings that may be left out without changing what is asked; tools, images and schemas are never dropped."""


class Encoded(Struct):
    wire: HTTPRequest
    dropped: list[str]


def encode(request: ChatRequest, target: Target, options: Options, *, drop: bool) -> Encoded:
    """Raises `UnsupportedFeatureError` for what the target has no way to do, `ValidationError` for what cannot be
    sent at all. `request` is left as it is."""
    if target.profile.lacks:
        _check_capabilities(request, target)
    writer = _Writer(request, target, drop)
    wire = writer.write()
    http = HTTPRequest(
        "POST",
        join_url(target.base_url, wire.path),
        {**target.headers, **wire.headers} if wire.headers else target.headers,
        _body(wire.body, options.get("extra_body")),
        target.proxy,
        target.ca_file,
    )
    return Encoded(http, writer.dropped)


class _Writer:
    """Writes a request, leaving out what the model refuses where that is wanted."""

    __slots__ = ("_drop", "_request", "_target", "dropped")

    def __init__(self, request: ChatRequest, target: Target, drop: bool) -> None:
        self.dropped: list[str] = []
        self._request = request
        self._target = target
        self._drop = drop

    def write(self) -> WireRequest:
        target = self._target
        for name in sorted(target.refuses) if target.refuses else ():
            if getattr(self._request, name) is not None:
                self._without(name, _refused(target, name))
        while True:
            try:
                return target.dialect.encode_request(self._request, target.profile, target.quirks)
            except UnsupportedFeatureError as error:
                error.rejected_by = "client"
                self._without(error.code or "", error)
            except (TypeError, ValueError, OverflowError, RecursionError) as error:
                raise _unsendable("messages or options hold", error, " and no lone surrogates") from None

    def _without(self, name: str, error: LLMError) -> None:
        if not self._drop or name not in DROPPABLE or getattr(self._request, name) is None:
            raise error
        self._request = msgspec.structs.replace(self._request, **{name: None})
        self.dropped.append(name)


def _check_capabilities(request: ChatRequest, target: Target) -> None:
    asked = {"tools": bool(request.tools), "schema": request.response_format is not None, "images": _images(request)}
    for name in sorted(target.profile.lacks):
        if asked.get(name):
            raise UnsupportedFeatureError(
                f"{target.provider}'s {target.model} knows no {name}; ask another model.",
                code=name,
                rejected_by="client",
            )


def _images(request: ChatRequest) -> bool:
    return any(
        isinstance(part, ImagePart)
        for message in request.messages
        if isinstance(message, UserMessage) and isinstance(message.content, list)
        for part in message.content
    )


def _body(body: bytes, extra: dict[str, Any] | None) -> bytes:
    if extra:
        try:
            body = msgspec.json.encode(_merged(loads(body), extra))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise _unsendable("extra_body holds", error) from None
    if len(body) > MAX_REQUEST_BYTES:
        raise ValidationError(
            f"prompt makes a request of {len(body):,} bytes, more than our limit of {MAX_REQUEST_BYTES:,}; shorten it, "
            "or give images by URL.",
            code="request_too_large",
            rejected_by="client",
        )
    return body


def _unsendable(what: str, error: Exception, more: str = "") -> ValidationError:
    return ValidationError(
        f"{what} something that cannot be sent as JSON ({error}); use texts, numbers, lists and dicts{more}.",
        code="invalid_input",
        rejected_by="client",
    )


def _refused(target: Target, name: str) -> UnsupportedFeatureError:
    remedy = "leave it out, or pass drop_unsupported=True" if name in DROPPABLE else "ask another model"
    return UnsupportedFeatureError(
        f"{name} is refused by {target.provider}'s {target.model}; {remedy}.", code=name, rejected_by="client"
    )


def _merged(body: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """`extra` over `body`; objects in both are merged, anything else is replaced."""
    merged = dict(body)
    for name, value in extra.items():
        old = merged.get(name)
        merged[name] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
