"""Failures that come as an HTTP status, each in the words of its provider.

https://platform.openai.com/docs/guides/error-codes, https://docs.anthropic.com/en/api/errors,
https://ai.google.dev/gemini-api/docs/troubleshooting, https://openrouter.ai/docs/api/reference/errors-and-debugging.
"""
# ruff: noqa: E501  # the providers' own sentences, one a line

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import formatdate
from math import floor
from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from ..plan import Plan, whole
from .fault import DIALECTS, Effect, Fault, Scene

_JSON = {"content-type": "application/json"}
_RPC = "type.googleapis.com/google.rpc."
_STATUS_NAMES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "FAILED_PRECONDITION", 403: "PERMISSION_DENIED",
    404: "NOT_FOUND", 408: "DEADLINE_EXCEEDED", 413: "INVALID_ARGUMENT", 422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}  # fmt: skip


class Said(NamedTuple):
    """One provider's words for it: the status and the body, JSON or as it is."""

    status: int
    body: Any
    headers: Mapping[str, str] = _JSON


def openai(
    status: int, message: str, kind: str = "invalid_request_error", code: str | None = None, param: str | None = None
) -> Said:
    return Said(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


def anthropic(status: int, kind: str, message: str, **more: Any) -> Said:
    return Said(status, {"type": "error", "error": {"type": kind, "message": message, **more}})


def gemini(status: int, message: str, *details: dict[str, Any], name: str | None = None) -> Said:
    error: dict[str, Any] = {"code": status, "message": message, "status": name or _STATUS_NAMES[status]}
    return Said(status, {"error": error | ({"details": list(details)} if details else {})})


def openrouter(status: int, message: str, **metadata: Any) -> Said:
    return Said(status, {"error": {"code": status, "message": message, "metadata": metadata}})


def page(status: int, title: str) -> Said:
    """What a proxy in between says."""
    body = f"<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n<center><h1>{status} {title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    return Said(status, body, {"content-type": "text/html"})


def _detail(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": _RPC + kind, **fields}


def _quota(per: str, metric: str) -> dict[str, Any]:
    return _detail(
        "QuotaFailure",
        violations=[
            {
                "quotaMetric": f"generativelanguage.googleapis.com/{metric}",
                "quotaId": f"GenerateRequestsPer{per}PerProjectPerModel-FreeTier",
            }
        ],
    )


_BAD_KEY = _detail(
    "ErrorInfo",
    reason="API_KEY_INVALID",
    domain="googleapis.com",
    metadata={"service": "generativelanguage.googleapis.com"},
)
_EXCEEDED = "You exceeded your current quota, please check your plan and billing details."
_FREE = "generate_content_free_tier_requests"

Row = tuple[str, str, Effect, tuple[Said, ...]]
"""Name, what it is, its effect, and who says it how: OpenAI, Anthropic, Gemini; of one, all three."""

ROWS: tuple[Row, ...] = (
    ("bad_request", "400: a value is not valid", "refused", (
        openai(400, "Invalid value: 'x'. Supported values are: 'system', 'user', and 'assistant'.", code="invalid_value", param="messages[0].role"),
        anthropic(400, "invalid_request_error", "messages: at least one message is required"),
        gemini(400, "Please ensure that function response turn comes immediately after a function call turn."))),
    ("bad_json", "400: the body was not understood", "refused", (
        openai(400, "We could not parse the JSON body of your request."),
        anthropic(400, "invalid_request_error", "The request body is not valid JSON: unexpected end of data"),
        gemini(400, "Invalid JSON payload received. Unexpected end of string."))),
    ("bad_parameter", "400: a parameter that the model does not take", "refused", (
        openai(400, "Unsupported parameter: 'temperature' is not supported with this model.", code="unsupported_parameter", param="temperature"),
        anthropic(400, "invalid_request_error", "temperature: Extra inputs are not permitted"),
        gemini(400, "Invalid JSON payload received. Unknown name \"topQ\" at 'generation_config': Cannot find field."))),
    ("bad_schema", "400: a schema for tools or answers that is not accepted", "refused", (
        openai(400, "Invalid schema for response_format 'response': 'additionalProperties' is required to be supplied and to be false.", param="response_format"),
        anthropic(400, "invalid_request_error", "tools.0.custom.input_schema: JSON schema is invalid."),
        gemini(400, "* GenerateContentRequest.generation_config.response_schema.properties: should be non-empty for OBJECT type"))),
    ("context_length", "400: prompt and answer do not fit the model's window", "refused", (
        openai(400, "This model's maximum context length is 128000 tokens. However, your messages resulted in 130012 tokens. Please reduce the length of the messages.", code="context_length_exceeded", param="messages"),
        anthropic(400, "invalid_request_error", "prompt is too long: 201234 tokens > 200000 maximum"),
        gemini(400, "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576)."))),
    ("content_filter", "400 (Gemini: 200 without candidate): a filter refuses the prompt", "refused", (
        Said(400, {"error": {"message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", "type": None, "param": "prompt", "code": "content_filter", "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
        anthropic(400, "invalid_request_error", "Output blocked by content filtering policy"),
        Said(200, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 8, "totalTokenCount": 8}}))),
    ("spend_limit", "400 (OpenAI 429): the limit that the account has set itself is spent", "refused", (
        openai(429, "Your project has reached its spend limit.", "insufficient_quota", "project_spend_limit_exceeded"),
        anthropic(400, "invalid_request_error", "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."),
        gemini(429, "Your project has exceeded its monthly spending cap."))),
    ("region", "403 (Gemini 400): not served in this country", "refused", (
        openai(403, "Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"),
        anthropic(403, "forbidden", "Request not allowed"),
        gemini(400, "User location is not supported for the API use.", name="FAILED_PRECONDITION"))),
    ("bad_key", "401 (Gemini 400): the key is wrong", "refused", (
        openai(401, "Incorrect API key provided: sk-***. You can find your API key at https://platform.openai.com/account/api-keys.", code="invalid_api_key"),
        anthropic(401, "authentication_error", "invalid x-api-key"),
        gemini(400, "API key not valid. Please pass a valid API key.", _BAD_KEY))),
    ("expired_key", "401: the credentials are no longer valid", "refused", (
        openai(401, "Your authentication token has expired.", code="token_expired"),
        anthropic(401, "authentication_error", "OAuth token has expired. Please obtain a new token or refresh your existing token."),
        gemini(401, "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential."))),
    ("no_credit", "402: the account has no money left", "refused", (
        openrouter(402, "Insufficient credits. Add more using https://openrouter.ai/settings/credits"),
        anthropic(402, "billing_error", "There is a problem with your billing. Please check your payment details."),
        gemini(402, "Your prepayment credits are depleted."))),
    ("no_permission", "403: the key may not use this", "refused", (
        openai(403, "You are not allowed to sample from this model.", code="insufficient_permissions"),
        anthropic(403, "permission_error", "Your API key does not have permission to use the specified resource."),
        gemini(403, "Permission denied on resource project p."))),
    ("no_model", "404: there is no such model", "refused", (
        openai(404, "The model `gpt-0` does not exist or you do not have access to it.", code="model_not_found"),
        anthropic(404, "not_found_error", "model: claude-0"),
        gemini(404, "models/gemini-0 is not found for API version v1beta, or is not supported for generateContent."))),
    ("no_path", "404: there is no such address", "refused", (
        openai(404, "Invalid URL (POST /v1/chat/completion)"),
        anthropic(404, "not_found_error", "Not found"),
        Said(404, "<!DOCTYPE html>\n<html lang=en>\n<title>Error 404 (Not Found)!!1</title>\n<p>The requested URL was not found on this server.", {"content-type": "text/html; charset=UTF-8"}))),
    ("request_timeout", "408: the server waited too long for the request", "passing", (
        openai(408, "Request timed out.", "timeout"),
        anthropic(408, "timeout_error", "Request timed out"),
        page(408, "Request Time-out"))),
    ("too_large", "413: the request has too many bytes", "refused", (
        page(413, "Request Entity Too Large"),
        anthropic(413, "request_too_large", "Request exceeds the maximum size"),
        gemini(413, "Request payload size exceeds the limit: 20971520 bytes."))),
    ("unprocessable", "422: read, and found not to be valid", "refused", (
        Said(422, {"object": "error", "message": {"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required"}]}, "type": "invalid_request_error", "param": None, "code": None}),
        Said(422, {"detail": [{"loc": ["body", "messages"], "msg": "Field required", "type": "missing"}]}),
        Said(422, {"detail": "Input should be a valid list"}))),
    ("quota", "429 that no waiting mends: the quota is spent", "refused", (
        openai(429, _EXCEEDED, "insufficient_quota", "insufficient_quota"),
        anthropic(429, "rate_limit_error", "You have reached your spend limit.", details={"error_code": "enforced_spend_limit_reached"}),
        gemini(429, _EXCEEDED, _quota("Day", _FREE)))),
    ("credit_hold", "402 that passes: OpenRouter's budget for requests in flight, with Retry-After: 2", "passing", (
        openrouter(402, "This request would exceed your available credits given your current in-flight requests.", limit_source="openrouter_in_flight_budget"),)),
    ("capacity", "498: Groq's flex tier has no room", "passing", (
        openai(498, "Flex tier capacity exceeded. Please try again later.", "capacity_exceeded", "capacity_exceeded"),)),
    ("server_error", "500: the provider failed", "passing", (
        openai(500, "The server had an error while processing your request. Sorry about that!", "server_error"),
        anthropic(500, "api_error", "Internal server error"),
        gemini(500, "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting"))),
    ("bad_gateway", "502 as an HTML page: a proxy did not reach the provider", "passing", (page(502, "Bad Gateway"),) * 3),
    ("unavailable", "503: no capacity", "passing", (
        openai(503, "The engine is currently overloaded, please try again later", "service_unavailable_error", "server_is_overloaded"),
        anthropic(503, "api_error", "Service Unavailable"),
        gemini(503, "The model is overloaded. Please try again later."))),
    ("gateway_timeout", "504: the provider took too long", "passing", (
        page(504, "Gateway Time-out"),
        anthropic(504, "timeout_error", "The request timed out while processing. Please use streaming for long requests."),
        gemini(504, "The request timed out. Please try again."))),
    ("overloaded", "529: Anthropic's overload, which proxies pass on", "passing", (
        openai(529, "Overloaded", "overloaded_error"),
        anthropic(529, "overloaded_error", "Overloaded"),
        gemini(529, "Overloaded"))),
)  # fmt: skip

_SLOW_DOWN = (
    openai(429, "Rate limit reached for gpt-4o in organization org-x on requests per min (RPM): Limit 500, Used 500, Requested 1.", "requests", "rate_limit_exceeded"),
    anthropic(429, "rate_limit_error", "This request would exceed your organization's rate limit of 50 requests per minute."),
    gemini(429, _EXCEEDED, _quota("Minute", _FREE)),
)  # fmt: skip


_LONGEST = 1e9  # seconds; beyond it dates end


def _number(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def _dated(wait: float, now: float) -> dict[str, str]:
    """An HTTP date has whole seconds, so the provider's own clock is said beside it."""
    start = floor(now)
    return {"date": formatdate(start, usegmt=True), "retry-after": formatdate(start + wait, usegmt=True)}


_FORMS: tuple[tuple[str, str, float, Callable[[float, float], dict[str, str]]], ...] = (
    ("rate_limit", "429 that does not say how long to wait", 0.0, lambda wait, now: {}),
    ("rate_limit_seconds", "429 with Retry-After in whole seconds", 2.0, lambda wait, now: {"retry-after": f"{wait:.0f}"}),
    ("rate_limit_float", "429 with Retry-After as a fraction", 1.5, lambda wait, now: {"retry-after": _number(wait)}),
    ("rate_limit_date", "429 with Retry-After as an HTTP date", 3.0, _dated),
    ("rate_limit_ms", "429 with retry-after-ms", 0.75, lambda wait, now: {"retry-after-ms": f"{wait * 1000:.0f}"}),
    ("rate_limit_long", "429 with a wait that nobody would sit out", 3600.0, lambda wait, now: {"retry-after": f"{wait:.0f}"}),
    ("unavailable_wait", "503 with Retry-After", 4.0, lambda wait, now: {"retry-after": f"{wait:.0f}"}),
)  # fmt: skip
"""Name, what it is, seconds to wait, and the headers that say so."""


def _pick(said: tuple[Said, ...], dialect: str) -> Said:
    return said[DIALECTS.index(dialect)] if len(said) > 1 else said[0]


def reply(plan: Plan, scene: Scene, said: Said, more: Mapping[str, str] = {}) -> Plan:
    """The refusal in place of the answer. The id stays where it was."""
    body = said.body
    if isinstance(body, dict) and body.get("type") == "error":
        body = body | {"request_id": scene.request_id}
    data = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
    kept = {name: value for name, value in plan.headers.items() if name in ("x-request-id", "request-id")}
    made = whole(said.status, {**said.headers, **kept, **more}, data)
    return structs.replace(made, entry=plan.entry)


def _status(row: Row) -> Fault:
    name, about, effect, said = row
    more = {"retry-after": "2"} if name == "credit_hold" else {}

    def change(plan: Plan, scene: Scene) -> Plan:
        return reply(plan, scene, _pick(said, scene.dialect), more)

    return Fault(name, about, change, effect, dialects=DIALECTS if len(said) > 1 else DIALECTS[:1])


def _waiting(name: str, about: str, wait: float, headers: Callable[[float, float], dict[str, str]]) -> Fault:
    said = UNAVAILABLE if name == "unavailable_wait" else _SLOW_DOWN

    def change(plan: Plan, scene: Scene) -> Plan:
        more = headers(max(0.0, min(scene.params["s"], _LONGEST)), scene.now) if "s" in scene.params else {}
        return reply(plan, scene, _pick(said, scene.dialect), more)

    return Fault(name, about, change, "passing", {"s": wait} if wait else {})


def _in_body(plan: Plan, scene: Scene) -> Plan:
    wait = _detail("RetryInfo", retryDelay=f"{_number(scene.params['s'])}s")
    return reply(plan, scene, gemini(429, _EXCEEDED, _quota("Minute", _FREE), wait))


UNAVAILABLE = next(said for name, _, _, said in ROWS if name == "unavailable")

FAULTS = (
    *map(_status, ROWS),
    *(_waiting(*form) for form in _FORMS),
    Fault(
        "rate_limit_body", "429 with the wait in the body, Google's RetryInfo", _in_body, "passing", {"s": 1.5},
        dialects=("gemini",),
    ),
)  # fmt: skip

OVERLOAD: dict[str, Any] = {
    "openai_chat": openai(503, "The server had an error while processing your request", "server_error").body,
    "anthropic_messages": anthropic(529, "overloaded_error", "Overloaded").body,
    "gemini": gemini(503, "The model is overloaded. Please try again later.").body,
}
"""Errors as they come inside HTTP 200."""
