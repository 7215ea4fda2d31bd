"""What the real APIs refuse before they look at the question, with the status and the words they use."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from ..errors import (
    AuthError,
    LLMError,
    ModelNotFoundError,
    PermissionDeniedError,
    RequestTooLargeError,
    ValidationError,
)
from .plan import SimRequest

KEY_HEADERS: dict[str, tuple[str, ...]] = {
    "openai_chat": ("authorization", "api-key"),  # the second is Azure's
    "anthropic_messages": ("x-api-key", "authorization"),
    "gemini": ("x-goog-api-key", "authorization"),
}


def check_key(request: SimRequest, dialect: str) -> None:
    """Any key will do, no key will not."""
    if not key_of(request, dialect):
        raise missing_key(dialect)


def key_of(request: SimRequest, dialect: str) -> str:
    """The key that a request carries, `""` for none."""
    for name in KEY_HEADERS[dialect]:
        if key := _key(request.headers, name):
            return key
    return dict(parse_qsl(request.query)).get("key", "") if dialect == "gemini" else ""


def _key(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "").strip()
    if value[:7].lower() == "bearer ":
        return value[7:].strip()
    return "" if value.lower() == "bearer" else value


ANTHROPIC_VERSIONS = ("2026-10-21", "2023-06-01", "2023-01-01")
"""https://docs.anthropic.com/en/api/versioning; the newest is the one that the official client asks for (2.12)."""


def check_version(request: SimRequest, dialect: str) -> None:
    """Anthropic knows few versions of its API (that there is none is the dialect's to say); Azure wants one named."""
    version = request.headers.get("anthropic-version")
    if dialect == "anthropic_messages" and version and version not in ANTHROPIC_VERSIONS:
        raise ValidationError(
            f'anthropic-version: "{version}" is not a valid version. See https://docs.anthropic.com/en/api/versioning '
            "for the valid ones.",
            status_code=400,
        )
    if dialect == "openai_chat" and "/openai/deployments/" in request.path and "api-version=" not in request.query:
        raise ValidationError("Resource not found", status_code=404, code="404")


def missing_key(dialect: str) -> LLMError:
    if dialect == "gemini":
        return PermissionDeniedError(
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
            "other form of API consumer identity to call this API.",
            status_code=403,
        )
    if dialect == "anthropic_messages":
        return AuthError("x-api-key header is required", status_code=401)
    return AuthError(
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if you're accessing "
        "the API from your browser and are prompted for a username and password.",
        status_code=401,
    )


def unknown_model(dialect: str, model: str) -> LLMError:
    if dialect == "gemini":
        text = (
            f"models/{model} is not found for API version v1beta, or is not supported for generateContent. Call "
            "ModelService.ListModels to see the list of available models and their supported methods."
        )
    elif dialect == "anthropic_messages":
        text = f"model: {model}"
    else:
        text = f"The model `{model}` does not exist or you do not have access to it."
    return ModelNotFoundError(text, status_code=404)


def unknown_path(request: SimRequest, dialect: str) -> LLMError:
    texts = {
        "openai_chat": f"Invalid URL ({request.method} {request.path})",
        "anthropic_messages": "Not found",
        "gemini": f"The requested URL {request.path} was not found on this server.",
    }
    return ValidationError(texts[dialect], status_code=404)


def wrong_method(request: SimRequest, allowed: str) -> LLMError:
    return ValidationError(
        f"Method {request.method} is not allowed here, only {allowed} is.", status_code=405, code="method_not_supported"
    )


def too_large(max_body: int) -> LLMError:
    return RequestTooLargeError(f"Request exceeds the maximum size of {max_body} bytes.", status_code=413)


def no_recording(request: SimRequest) -> LLMError:
    return ValidationError(
        f"No recorded exchange fits this request, and none of {request.path} is left. Record it, or leave the "
        "recordings out.",
        status_code=404,
        code="no_recording",
    )
