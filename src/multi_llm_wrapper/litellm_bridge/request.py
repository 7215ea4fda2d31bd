"""An attempt as the keyword arguments of `litellm.acompletion`."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .. import dialects
from ..dialects.base import Profile, Quirks
from ..dialects.shape import loads
from ..routing import Target, join_url
from .attempt import Attempt

_PREFIXES = {"anthropic": "anthropic", "gemini": "gemini", "groq": "groq"}
"""What litellm calls a provider. Every other host of the OpenAI dialect is `openai` at an address of its own, and Azure
is itself where its URL names the deployment."""
_DEPLOYMENTS = "/openai/deployments/"
_OURS = frozenset(("content-type", "user-agent", "anthropic-version"))
_PROFILE = Profile(max_tokens_field="max_tokens")  # litellm knows which models want another name
_THINKING = ("reasoning_content", "reasoning_details")
NO_KEY = "none"
"""In place of a key where the host wants none: without one litellm takes OPENAI_API_KEY, which is not for this host."""


def arguments(attempt: Attempt, deadline: float) -> dict[str, Any]:
    """The request, where it goes, and that litellm may not retry it. `deadline` is in loop time."""
    target, key = attempt.target, attempt.target.key
    body = _body(attempt)
    passed = {
        **_address(target),
        "api_key": key.reveal() if key is not None else NO_KEY,
        "timeout": max(deadline - asyncio.get_running_loop().time(), 0.001),
        "num_retries": 0,
        "max_retries": 0,
    }
    if headers := {n: v for n, v in target.headers.items() if n not in _OURS and not (key and key.reveal() in v)}:
        passed["extra_headers"] = headers
    extra = {**target.quirks.always, **(attempt.options.get("extra_body") or {})}
    if target.dialect.name == "anthropic_messages":
        body = {**body, **extra}  # here litellm sends `extra_body` as a field of that name
    elif extra:
        passed["extra_body"] = extra
    if target.dialect.name == "openai_chat":
        # what the model refuses was refused or dropped before; litellm's list of parameters may be older than the model
        passed["allowed_openai_params"] = [name for name in body if name not in ("model", "messages")]
    if "tools" in body:
        # else it imports the package `mcp`, which is not there, to look for tools of a kind that cannot be among these
        passed["_skip_mcp_handler"] = True
    return body | passed


def _body(attempt: Attempt) -> dict[str, Any]:
    """The request in OpenAI's words. Signed thinking goes back under litellm's name for it (see `reply`)."""
    target = attempt.target
    translated = target.dialect.name != "openai_chat"
    quirks = Quirks(
        echo=_THINKING if translated else target.quirks.echo,
        developer_role=target.quirks.developer_role,
        stream_usage=target.quirks.stream_usage,
    )
    body: dict[str, Any] = loads(dialects.get("openai_chat").encode_request(attempt.request, _PROFILE, quirks).body)
    if translated:
        for message in body["messages"]:
            if "reasoning_details" in message:
                message["thinking_blocks"] = message.pop("reasoning_details")
    if target.provider == "groq" and "response_format" in body:
        body.pop("stream_options", None)  # litellm asks for a whole answer then, where this has no place
    if target.dialect.name == "anthropic_messages" and "max_tokens" not in body:
        body["max_tokens"] = loads(attempt.wire.body)["max_tokens"]  # the default is ours, not litellm's
    return body


def _address(target: Target) -> dict[str, Any]:
    """Model and base URL as litellm writes them."""
    base, found, deployment = target.base_url.partition(_DEPLOYMENTS)
    if target.provider == "azure" and found:
        parts = urlsplit(deployment)
        version = parse_qs(parts.query).get("api-version", [None])[0]
        return {"model": f"azure/{unquote(parts.path)}", "api_base": base, "api_version": version}
    base = target.base_url.rstrip("/")
    if target.dialect.name == "anthropic_messages":
        base = join_url(base, "/v1/messages")
    elif target.dialect.name == "gemini":
        base = join_url(base, "/v1beta/").rstrip("/")
    return {"model": f"{_PREFIXES.get(target.provider, 'openai')}/{target.model}", "api_base": base}
