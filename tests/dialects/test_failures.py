"""Every provider's failures get the right class: the rows of the status table, hostile bodies, and what is recorded."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from multi_llm_wrapper.dialects.failures import classify, in_band
from multi_llm_wrapper.dialects.failures.texts import TEXT
from multi_llm_wrapper.dialects.failures.wording import LIMIT, REMEDY
from multi_llm_wrapper.errors import CLASSES, LLMError

# --- the rows ---------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    name: str
    status: int
    body: Any
    error_type: str
    code: str | None = None
    headers: Mapping[str, str] = {}
    retry_after: float | None = None


def openai(message: str, kind: str | None = "invalid_request_error", code: Any = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


def anthropic(kind: str, message: str, **more: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message, **more}, "request_id": "req_011C"}


def google(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    return {"error": error | ({"details": list(details)} if details else {})}


def mistral(message: Any, kind: str, code: str | None, status: int) -> dict[str, Any]:
    return {
        "object": "error", "message": message, "type": kind, "param": None, "code": code, "raw_status_code": status,
    }  # fmt: skip


def openrouter(code: int, message: str, **metadata: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "metadata": metadata}, "user_id": "user_1"}


def quota_failure(quota: str) -> dict[str, Any]:
    violation = {"quotaMetric": "generativelanguage.googleapis.com/generate_content_requests", "quotaId": quota}
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}


def aws(name: str) -> dict[str, str]:
    return {"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/"}


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}
BAD_KEY = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com",
}  # fmt: skip
QUOTA_TEXT = "You exceeded your current quota, please check your plan and billing details."
IN_FLIGHT = "This request would exceed your available credits given your current in-flight requests."
TPM = "Request too large for model `llama-3.1-8b-instant` on tokens per minute (TPM): Limit 6000, Requested 12328"
RATE = "Rate limit reached for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Used 29000."
HTML_404 = b"<!DOCTYPE html>\n<html><head><title>Error 404 (Not Found)!!1</title></head>models of errors</html>"
AZURE_FILTER = openai(
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    None,
    "content_filter",
    status=400,
    innererror={"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}},
)

ROWS = [
    # authentication
    Row("openai key", 401, openai("Incorrect API key", code="invalid_api_key"), "auth_error", "invalid_api_key"),
    Row("anthropic key", 401, anthropic("authentication_error", "invalid x-api-key"), "auth_error", "authentication_error"),
    Row("gemini key", 400, google(400, "INVALID_ARGUMENT", "API key not valid.", BAD_KEY), "auth_error", "API_KEY_INVALID"),
    Row("gemini key, in a list", 400, [google(400, "INVALID_ARGUMENT", "API key not valid.", BAD_KEY)], "auth_error", "API_KEY_INVALID"),
    Row("gemini key, no details", 400, google(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."), "auth_error", "INVALID_ARGUMENT"),
    Row("gemini key, expired", 400, google(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key."), "auth_error", "INVALID_ARGUMENT"),
    Row("gemini token", 401, google(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."), "auth_error", "UNAUTHENTICATED"),
    Row("xai key", 400, {"code": "invalid-argument", "error": "Incorrect API key provided: na***ys."}, "auth_error", "invalid-argument"),
    Row("xai key, url-encoded", 400, {"code": "Client specified an invalid argument", "error": "Incorrect%20API%20key%20provided:%20ba***na."}, "auth_error", "Client specified an invalid argument"),
    Row("cohere key", 401, {"message": "invalid api token"}, "auth_error"),
    Row("cohere token", 498, {"message": "invalid token"}, "auth_error"),
    Row("mistral key", 401, {"detail": "Unauthorized"}, "auth_error"),
    Row("novita key", 403, {"code": 403, "reason": "INVALID_API_KEY", "message": "x", "type": "INVALID_API_KEY"}, "auth_error", "INVALID_API_KEY"),
    Row("openrouter key", 401, openrouter(401, "No auth credentials found"), "auth_error", "401"),
    Row("bedrock token", 403, {"message": "The security token included in the request is invalid."}, "auth_error", "UnrecognizedClientException", aws("UnrecognizedClientException")),
    Row("bedrock token, no header", 403, {"message": "The security token included in the request is expired"}, "auth_error"),
    Row("bedrock expired", 403, {"message": "expired"}, "auth_error", "ExpiredTokenException", aws("ExpiredTokenException")),
    Row("bedrock signature", 403, {"message": "does not match"}, "auth_error", "InvalidSignatureException", aws("InvalidSignatureException")),
    Row("bedrock signature, incomplete", 400, {"__type": "com.amazon.coral.service#IncompleteSignatureException", "message": "x"}, "auth_error", "IncompleteSignatureException"),
    Row("bedrock key", 403, {"Message": "Authentication failed: Please make sure your API Key is valid."}, "auth_error"),
    Row("proxy", 407, b"<html><title>407 Proxy Authentication Required</title></html>", "auth_error"),
    # permission and region
    Row("openai country", 403, openai("Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"), "permission_error", "unsupported_country_region_territory"),
    Row("gemini region", 400, google(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), "permission_error", "FAILED_PRECONDITION"),
    Row("gemini permission", 403, google(403, "PERMISSION_DENIED", "Permission denied on resource project x."), "permission_error", "PERMISSION_DENIED"),
    Row("anthropic permission", 403, anthropic("permission_error", "Your API key does not have permission"), "permission_error", "permission_error"),
    Row("bedrock access", 403, {"message": "You don't have access to the model with the specified model ID."}, "permission_error", "AccessDeniedException", aws("AccessDeniedException")),
    Row("openrouter moderation", 403, openrouter(403, "Your input was flagged", reasons=["violence"], flagged_input="..."), "permission_error", "403"),
    Row("openrouter guardrail", 403, openrouter(403, "Request blocked: prompt injection patterns detected", patterns=["x"]), "permission_error", "403"),
    Row("openrouter key budget", 403, openrouter(403, "Budget limit exceeded", limit_source="openrouter_key_limit"), "permission_error", "openrouter_key_limit"),
    Row("a wall", 403, b"<html><head><title>Just a moment...</title></head></html>", "permission_error"),
    # money and quota spent
    Row("openai quota", 429, openai(QUOTA_TEXT, "insufficient_quota", "insufficient_quota"), "quota_exceeded", "insufficient_quota"),
    Row("openai quota, type only", 429, openai(QUOTA_TEXT, "insufficient_quota"), "quota_exceeded", "insufficient_quota"),
    *(
        Row(f"openai {code}", 429, openai(QUOTA_TEXT, "insufficient_quota", code), "quota_exceeded", code)
        for code in (
            "credit_balance_exhausted", "organization_spend_limit_exceeded", "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded", "billing_hard_limit_reached", "billing_not_active",
        )
    ),
    Row("openai hard limit as 400", 400, openai("Billing hard limit has been reached", code="billing_hard_limit_reached"), "quota_exceeded", "billing_hard_limit_reached"),
    Row("anthropic billing", 402, anthropic("billing_error", "There's an issue with your billing."), "quota_exceeded", "billing_error"),
    Row("anthropic credit", 400, anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API."), "quota_exceeded", "invalid_request_error"),
    Row("anthropic spend limit", 400, anthropic("invalid_request_error", "You have reached your specified API usage limits. You will regain access on 2026-12-01."), "quota_exceeded", "invalid_request_error"),
    Row("anthropic workspace limit", 400, anthropic("invalid_request_error", "You have reached your specified workspace API usage limits."), "quota_exceeded", "invalid_request_error"),
    Row("anthropic tier cap", 429, anthropic("rate_limit_error", "Monthly limit", details={"error_code": "enforced_spend_limit_reached"}), "quota_exceeded", "enforced_spend_limit_reached"),
    Row("deepseek balance", 402, openai("Insufficient Balance", "unknown_error", "invalid_request_error"), "quota_exceeded", "invalid_request_error"),
    Row("mistral balance", 402, {"message": "Payment required"}, "quota_exceeded"),
    Row("cohere balance", 402, {"message": "please add a payment method"}, "quota_exceeded"),
    Row("gemini prepaid", 402, google(402, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."), "quota_exceeded", "RESOURCE_EXHAUSTED"),
    Row("gemini prepaid, until 2026", 429, google(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."), "quota_exceeded", "RESOURCE_EXHAUSTED"),
    Row("gemini spend cap", 429, google(429, "RESOURCE_EXHAUSTED", "Your project has exceeded its monthly spending cap."), "quota_exceeded", "RESOURCE_EXHAUSTED"),
    Row("gemini per day", 429, google(429, "RESOURCE_EXHAUSTED", QUOTA_TEXT, quota_failure("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), RETRY_INFO), "quota_exceeded", "quota_per_day", retry_after=37.0),
    Row("openrouter credits", 402, openrouter(402, "Insufficient credits", limit_source="openrouter_credits"), "quota_exceeded", "openrouter_credits"),
    Row("openrouter, plain 402", 402, {"error": {"code": 402, "message": "Insufficient credits"}}, "quota_exceeded", "402"),
    Row("xai credits", 429, {"code": "Some resource has been exhausted", "error": "Your team 7b-1 has either used all available credits or reached its limit."}, "quota_exceeded", "Some resource has been exhausted"),
    Row("zai arrears", 429, {"error": {"code": "1113", "message": "Insufficient balance"}}, "quota_exceeded", "1113"),
    Row("moonshot quota", 429, openai("Your account is suspended", "exceeded_current_quota_error"), "quota_exceeded", "exceeded_current_quota_error"),
    # a hold that passes
    Row("openrouter in flight", 402, openrouter(402, IN_FLIGHT, reason="in_flight_budget_exhausted", limit_source="openrouter_in_flight_budget"), "rate_limit", "openrouter_in_flight_budget", {"retry-after": "12"}, 12.0),
    # rate limit
    Row("openai rate", 429, openai(RATE, "tokens", "rate_limit_exceeded"), "rate_limit", "rate_limit_exceeded", {"retry-after": "20", "retry-after-ms": "19550"}, 19.55),
    Row("openai slow down", 429, openai("Slow down", "rate_limit_error", "slow_down"), "rate_limit", "slow_down"),
    Row("azure code as text", 429, {"error": {"code": "429", "message": "Rate limit is exceeded. Try again in 27 seconds."}}, "rate_limit", "429", {"retry-after": "27"}, 27.0),
    Row("azure API management", 429, {"statusCode": 429, "message": "Rate limit is exceeded. Try again in 3 seconds."}, "rate_limit"),
    Row("anthropic rate", 429, anthropic("rate_limit_error", "This request would exceed your rate limit", details=None), "rate_limit", "rate_limit_error", {"retry-after": "25"}, 25.0),
    Row("gemini per minute", 429, google(429, "RESOURCE_EXHAUSTED", QUOTA_TEXT, quota_failure("GenerateRequestsPerMinutePerProjectPerModel"), RETRY_INFO), "rate_limit", "RESOURCE_EXHAUSTED", retry_after=37.0),
    Row("gemini, in a list", 429, [google(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted", RETRY_INFO)], "rate_limit", "RESOURCE_EXHAUSTED", retry_after=37.0),
    Row("vertex", 429, google(429, "RESOURCE_EXHAUSTED", "Resource exhausted.") | {}, "rate_limit", "RESOURCE_EXHAUSTED"),
    Row("groq rate", 429, openai("Rate limit reached for model", "tokens", "rate_limit_exceeded"), "rate_limit", "rate_limit_exceeded", {"retry-after": "7"}, 7.0),
    Row("groq, reset only", 429, openai("Rate limit reached", "tokens", "rate_limit_exceeded"), "rate_limit", "rate_limit_exceeded", {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7.66s", "x-ratelimit-remaining-requests": "9", "x-ratelimit-reset-requests": "2m59.56s"}, 7.66),
    Row("mistral rate", 429, mistral("Rate limit exceeded", "rate_limited", "1300", 429), "rate_limit", "1300"),
    Row("mistral rate, short", 429, {"message": "Requests rate limit exceeded"}, "rate_limit"),
    Row("cohere rate", 429, {"message": "You are using a Trial key"}, "rate_limit"),
    Row("deepseek rate", 429, openai("Rate limit reached", "rate_limit_reached_error"), "rate_limit", "rate_limit_reached_error"),
    Row("openrouter rate", 429, openrouter(429, "Rate limit exceeded", error_type="rate_limit_exceeded"), "rate_limit", "rate_limit_exceeded", {"retry-after": "60"}, 60.0),
    Row("hugging face rate", 429, {"error": "Rate limit reached. You reached PRO hourly usage limit."}, "rate_limit"),
    Row("bedrock throttling", 429, {"message": "Too many requests"}, "rate_limit", "ThrottlingException", aws("ThrottlingException")),
    Row("bedrock not ready", 429, {"message": "not ready"}, "rate_limit", "ModelNotReadyException", aws("ModelNotReadyException")),
    Row("bedrock service quota", 400, {"message": "Your request exceeds the service quota"}, "rate_limit", "ServiceQuotaExceededException", aws("ServiceQuotaExceededException")),
    Row("429 with nothing", 429, b"", "rate_limit"),
    # overloaded
    Row("anthropic overloaded", 529, anthropic("overloaded_error", "Overloaded"), "overloaded", "overloaded_error"),
    Row("openai overloaded", 503, openai("overloaded", "service_unavailable_error", "server_is_overloaded"), "overloaded", "server_is_overloaded"),
    Row("openai slow down as 503", 503, openai("Slow down", "service_unavailable_error", "slow_down"), "overloaded", "slow_down"),
    Row("gemini overloaded", 503, google(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), "overloaded", "UNAVAILABLE"),
    Row("gemini no capacity", 429, google(429, "RESOURCE_EXHAUSTED", "No capacity", {"reason": "MODEL_CAPACITY_EXHAUSTED"}), "overloaded", "MODEL_CAPACITY_EXHAUSTED"),
    Row("groq flex", 498, openai("Flex tier capacity exceeded", "invalid_request_error", "capacity_exceeded"), "overloaded", "capacity_exceeded"),
    Row("groq flex, no body", 498, b"", "overloaded"),
    Row("openrouter 503", 503, openrouter(503, "No provider", error_type="provider_overloaded"), "overloaded", "provider_overloaded", {"retry-after": "5"}, 5.0),
    Row("hugging face loading", 503, {"error": "Model gpt2 is currently loading", "estimated_time": 20.5}, "overloaded", retry_after=20.5),
    Row("tgi overloaded", 429, {"error": "Model is overloaded", "error_type": "overloaded"}, "overloaded", "overloaded"),
    Row("ollama busy", 503, {"error": "server busy, please try again. maximum pending requests exceeded"}, "overloaded"),
    Row("bedrock unavailable", 503, {"message": "unavailable"}, "overloaded", "ServiceUnavailableException", aws("ServiceUnavailableException")),
    # timeout
    Row("bedrock timeout", 408, {"message": "timed out"}, "timeout", "ModelTimeoutException", aws("ModelTimeoutException")),
    Row("openrouter timeout", 408, openrouter(408, "Your request timed out"), "timeout", "408"),
    Row("gemini deadline", 504, google(504, "DEADLINE_EXCEEDED", "Deadline expired"), "timeout", "DEADLINE_EXCEEDED"),
    Row("cohere timeout", 504, {"message": "timeout"}, "timeout"),
    Row("cloudflare timeout", 524, b"<html><title>524: A timeout occurred</title></html>", "timeout"),
    # server
    Row("openai server", 500, openai("The server had an error", "server_error"), "server_error", "server_error"),
    Row("anthropic server", 500, anthropic("api_error", "Internal server error"), "server_error", "api_error"),
    Row("anthropic conflict", 409, anthropic("conflict_error", "conflict"), "server_error", "conflict_error"),
    Row("gemini internal", 500, google(500, "INTERNAL", "An internal error has occurred."), "server_error", "INTERNAL"),
    Row("openrouter 502", 502, openrouter(502, "Provider returned error", error_type="provider_unavailable"), "server_error", "provider_unavailable"),
    Row("a proxy's 502", 502, b"<html><head><title>502 Bad Gateway</title></head></html>", "server_error"),
    Row("envoy", 500, b"upstream connect error or disconnect/reset before headers", "server_error"),
    Row("bedrock model error", 424, {"message": "failed", "originalStatusCode": 500}, "server_error", "ModelErrorException", aws("ModelErrorException")),
    Row("bedrock stream error", 424, {"message": "failed"}, "server_error", "ModelStreamErrorException", aws("ModelStreamErrorException")),
    Row("tgi generation", 424, {"error": "Request failed during generation", "error_type": "generation"}, "server_error", "generation"),
    Row("cloudflare 520", 520, b"error code: 520", "server_error"),
    # too large, context
    Row("anthropic size", 413, anthropic("request_too_large", "Request exceeds the maximum size"), "request_too_large", "request_too_large"),
    Row("nginx size", 413, b"<html><head><title>413 Request Entity Too Large</title></head></html>", "request_too_large"),
    Row("groq tokens per minute", 413, openai(TPM, "tokens", "rate_limit_exceeded"), "request_too_large", "rate_limit_exceeded"),
    Row("openai tokens per minute", 429, openai("Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 342389.", "tokens", "rate_limit_exceeded"), "request_too_large", "rate_limit_exceeded"),
    Row("openai text size", 400, openai("Invalid 'messages[0].content': string too long. Expected a string with maximum length 10485760, but got a string with length 11000000 instead.", code="string_above_max_length"), "request_too_large", "string_above_max_length"),
    Row("openai name size", 400, openai("Invalid 'tools[0].function.name': string too long. Expected a string with maximum length 64, but got a string with length 70 instead.", code="string_above_max_length"), "validation_error", "string_above_max_length"),
    Row("openai context", 400, openai("This model's maximum context length is 128000 tokens.", code="context_length_exceeded"), "context_length_exceeded", "context_length_exceeded"),
    Row("anthropic context", 400, anthropic("invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"), "context_length_exceeded", "invalid_request_error"),
    Row("anthropic context with max_tokens", 400, anthropic("invalid_request_error", "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000"), "context_length_exceeded", "invalid_request_error"),
    Row("gemini context", 400, google(400, "INVALID_ARGUMENT", "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)."), "context_length_exceeded", "INVALID_ARGUMENT"),
    Row("cohere context", 400, {"message": "too many tokens: size limit exceeded by 11326 tokens. Try using shorter or fewer inputs."}, "context_length_exceeded"),
    Row("vllm context", 400, {"object": "error", "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens", "type": "BadRequestError", "param": None, "code": 400}, "context_length_exceeded", "BadRequestError"),
    Row("vllm prompt", 400, openai("The decoder prompt (length 5000) is longer than the maximum model length of 4096.", "BadRequestError", 400), "context_length_exceeded", "BadRequestError"),
    Row("mistral context", 400, mistral("Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length", "invalid_request_error", "3051", 400), "context_length_exceeded", "3051"),
    Row("xai context", 400, {"code": "x", "error": "This model's maximum prompt length is 131072 but the request contains 537812 tokens."}, "context_length_exceeded", "x"),
    Row("openrouter context", 400, openrouter(400, "This endpoint's maximum context length is 131072 tokens."), "context_length_exceeded", "400"),
    Row("openrouter typed context", 400, openrouter(400, "Too long", error_type="context_length_exceeded"), "context_length_exceeded", "context_length_exceeded"),
    Row("together context", 403, openai("Input token count + max_tokens parameter must be less than the context length"), "context_length_exceeded", "invalid_request_error"),
    Row("tgi context", 422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 4000", "error_type": "validation"}, "context_length_exceeded", "validation"),
    Row("bedrock context", 400, {"message": "Input is too long for requested model."}, "context_length_exceeded", "ValidationException", aws("ValidationException")),
    Row("llama.cpp context", 400, {"error": {"code": 400, "message": "the request exceeds the available context size", "type": "exceed_context_size_error"}}, "context_length_exceeded", "exceed_context_size_error"),
    Row("zai context", 400, {"error": {"code": "1261", "message": "Prompt exceeds max length"}}, "context_length_exceeded", "1261"),
    # invalid request
    Row("openai parameter", 400, openai("Unsupported parameter: 'stop' is not supported with this model.", code="unsupported_parameter", param="stop"), "validation_error", "unsupported_parameter"),
    Row("groq bad tool call", 400, openai("Tool call validation failed", code="tool_use_failed", failed_generation="{}"), "validation_error", "tool_use_failed"),
    Row("gemini argument", 400, google(400, "INVALID_ARGUMENT", "Request contains an invalid argument."), "validation_error", "INVALID_ARGUMENT"),
    Row("mistral 422", 422, {"detail": [{"loc": ["body", "messages"], "msg": "Field required", "type": "missing"}]}, "validation_error"),
    Row("mistral 422, nested", 422, mistral({"detail": [{"type": "missing", "loc": ["body", "model"], "msg": "Field required"}]}, "invalid_request_error", None, 422), "validation_error", "invalid_request_error"),
    Row("hugging face list", 400, {"error": ["Error in `inputs`", "Error in `parameters`"]}, "validation_error"),
    Row("xai validation", 422, b"Failed to deserialize the JSON body into the target type: missing field `model`", "validation_error"),
    Row("bedrock validation", 400, {"message": "Malformed input request"}, "validation_error", "ValidationException", aws("ValidationException")),
    Row("openai path", 404, openai("Invalid URL (POST /v1/models/chat)"), "validation_error", "invalid_request_error"),
    Row("groq path", 404, openai("Unknown request URL: POST /openai/v1/models/x.", code="unknown_url"), "validation_error", "unknown_url"),
    Row("google path", 404, HTML_404, "validation_error"),
    Row("fastapi path", 404, {"detail": "Not Found"}, "validation_error"),
    Row("anthropic path", 404, anthropic("not_found_error", "Not Found"), "validation_error", "not_found_error"),
    Row("go path", 404, b"404 page not found", "validation_error"),
    Row("method", 405, {"detail": "Method Not Allowed"}, "validation_error"),
    Row("unknown 4xx", 418, b"", "validation_error"),
    Row("redirect", 301, b"", "validation_error", None, {"location": "https://example.com/v1/?key=AIzaSyA1234567890"}),
    Row("not implemented", 501, google(501, "UNIMPLEMENTED", "Operation is not implemented"), "unsupported_feature", "UNIMPLEMENTED"),
    Row("openrouter tools", 404, openrouter(404, "No endpoints found that support tool use."), "unsupported_feature", "404"),
    # model not found
    Row("openai model", 404, openai("The model `x` does not exist or you do not have access to it.", code="model_not_found"), "model_not_found", "model_not_found"),
    Row("openai project model", 403, openai("Project `p` does not have access to model `x`", code="model_not_found"), "model_not_found", "model_not_found"),
    Row("openai responses model", 400, openai("The requested model 'x' does not exist.", code="model_not_found", param="model"), "model_not_found", "model_not_found"),
    Row("azure deployment", 404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}, "model_not_found", "DeploymentNotFound"),
    Row("anthropic model", 404, anthropic("not_found_error", "model: claude-x"), "model_not_found", "not_found_error"),
    Row("gemini model", 404, google(404, "NOT_FOUND", "models/x is not found for API version v1beta"), "model_not_found", "NOT_FOUND"),
    Row("gemini tuned model", 404, google(404, "NOT_FOUND", "Requested entity was not found."), "model_not_found", "NOT_FOUND"),
    Row("groq model gone", 400, openai("The model `x` has been decommissioned", code="model_decommissioned"), "model_not_found", "model_decommissioned"),
    Row("mistral model", 400, mistral("Invalid model: x", "invalid_model", "1500", 400), "model_not_found", "invalid_model"),
    Row("deepseek model", 400, openai("Model Not Exist", code="invalid_request_error"), "model_not_found", "invalid_request_error"),
    Row("cohere model", 404, {"id": "1", "message": "model 'x' not found, make sure the correct model ID was used"}, "model_not_found"),
    Row("cerebras model", 404, {"message": "Model x does not exist", "type": "not_found_error", "param": "model", "code": "model_not_found"}, "model_not_found", "model_not_found"),
    Row("hugging face model", 400, openai("The requested model 'x' is not supported by any provider you have enabled.", code="model_not_supported"), "model_not_found", "model_not_supported"),
    Row("openrouter model", 400, openrouter(400, "x/y is not a valid model ID"), "model_not_found", "400"),
    Row("openrouter no endpoint", 404, openrouter(404, "No endpoints found for x/y."), "model_not_found", "404"),
    Row("xai model", 404, {"code": "Some requested entity was not found", "error": "The model x does not exist"}, "model_not_found", "Some requested entity was not found"),
    Row("ollama model", 404, {"error": "model 'x' not found"}, "model_not_found"),
    Row("vllm model", 404, openai("The model `x` does not exist.", "NotFoundError", 404), "model_not_found", "NotFoundError"),
    Row("bedrock model", 400, {"message": "The provided model identifier is invalid."}, "model_not_found", "ValidationException", aws("ValidationException")),
    Row("bedrock model gone", 404, {"message": "This model version has reached the end of its life."}, "model_not_found", "ResourceNotFoundException", aws("ResourceNotFoundException")),
    # content filter
    Row("azure filter", 400, AZURE_FILTER, "content_filter", "content_filter"),
    Row("openai policy", 400, openai("Your request was rejected", code="content_policy_violation"), "content_filter", "content_policy_violation"),
    Row("openai usage policy", 400, openai("Invalid prompt: your prompt was flagged as potentially violating our usage policy.", code="invalid_prompt"), "content_filter", "invalid_prompt"),
    Row("openrouter bad message", 400, openrouter(400, "Unsupported role", error_type="invalid_prompt"), "validation_error", "invalid_prompt"),
    Row("cohere unsafe", 498, {"message": "blocked: unsafe request"}, "content_filter"),
    Row("zai unsafe", 400, {"error": {"code": "1301", "message": "unsafe"}}, "content_filter", "1301"),
    # cancelled
    Row("groq cancelled", 499, openai("Request Cancelled"), "cancelled", "invalid_request_error"),
    Row("cohere cancelled", 499, {"message": "request cancelled"}, "cancelled"),
    # text never beats the status
    Row("429 in a prompt", 400, openai("Invalid token id 429 at messages[0]: rate limit exceeded, 503 overloaded"), "validation_error", "invalid_request_error"),
    Row("parameter rate_limit", 400, openai("Unknown parameter: 'rate_limit'.", code="unknown_parameter", param="rate_limit"), "validation_error", "unknown_parameter"),
    Row("rate limit code at 400", 400, openai("?", "rate_limit_error", "rate_limit_exceeded"), "validation_error", "rate_limit_exceeded"),
    Row("context code at 500", 500, openai("?", "server_error", "context_length_exceeded"), "server_error", "context_length_exceeded"),
    # gateways that wrap an error as text
    Row("json in a message", 429, {"error": {"message": json.dumps(google(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted")), "code": 429, "status": "Too Many Requests"}}, "rate_limit", "RESOURCE_EXHAUSTED"),
    Row("openrouter raw", 400, openrouter(400, "Provider returned error", raw=json.dumps(openai("Too long.", code="context_length_exceeded"))), "context_length_exceeded", "context_length_exceeded"),
    Row("error as an event", 400, b'event: error\ndata: {"error": {"message": "no", "code": "model_not_found"}}\n\n', "model_not_found", "model_not_found"),
]  # fmt: skip


def sent(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_status_table(row: Row) -> None:
    """Each row of the status table has its class, its code, and the wait that the provider asked for."""
    error = classify(row.status, row.headers, sent(row.body))

    assert row.error_type == error.error_type
    assert row.code == error.code
    assert row.retry_after == error.retry_after
    assert row.status == error.status_code
    assert ("provider" if 300 <= row.status < 500 else None) == error.rejected_by
    assert str(error).endswith(".")


def test_rows_are_unique() -> None:
    """No row hides another one by its name."""
    assert [] == [name for name, count in Counter(row.name for row in ROWS).items() if count > 1]


# --- errors inside HTTP 200 -------------------------------------------------------------------------------------

IN_BAND: list[tuple[str, Any, str, str | None, int | None]] = [
    ("anthropic overloaded", {"type": "overloaded_error", "message": "Overloaded"}, "overloaded", "overloaded_error", None),
    ("anthropic event", anthropic("overloaded_error", "Overloaded"), "overloaded", "overloaded_error", None),
    ("anthropic server", {"type": "api_error", "message": "x"}, "server_error", "api_error", None),
    ("anthropic rate", {"type": "rate_limit_error", "message": "x"}, "rate_limit", "rate_limit_error", None),
    ("anthropic timeout", {"type": "timeout_error", "message": "x"}, "timeout", "timeout_error", None),
    ("anthropic request", {"type": "invalid_request_error", "message": "x"}, "validation_error", "invalid_request_error", None),
    ("anthropic context", {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 1 maximum"}, "context_length_exceeded", "invalid_request_error", None),
    ("anthropic model", {"type": "not_found_error", "message": "model: x"}, "model_not_found", "not_found_error", None),
    ("anthropic billing", {"type": "billing_error", "message": "x"}, "quota_exceeded", "billing_error", None),
    ("anthropic key", {"type": "authentication_error", "message": "x"}, "auth_error", "authentication_error", None),
    ("openai server", {"message": "x", "type": "server_error", "param": None, "code": None}, "server_error", "server_error", None),
    ("openai rate", {"message": "x", "type": "requests", "code": "rate_limit_exceeded"}, "rate_limit", "rate_limit_exceeded", None),
    ("openai quota", {"message": "x", "type": "insufficient_quota", "code": "insufficient_quota"}, "quota_exceeded", "insufficient_quota", None),
    ("openai filter", {"message": "x", "code": "content_filter"}, "content_filter", "content_filter", None),
    ("openai responses event", {"type": "error", "code": "rate_limit_exceeded", "message": "x", "sequence_number": 1}, "rate_limit", "rate_limit_exceeded", None),
    ("openai responses failed", {"type": "response.failed", "response": {"status": "failed", "error": {"code": "server_error", "message": "x"}}}, "server_error", "server_error", None),
    ("openai responses image", {"code": "image_content_policy_violation", "message": "x"}, "content_filter", "image_content_policy_violation", None),
    ("openrouter rate", {"code": 429, "message": "Rate limit exceeded", "metadata": {"error_type": "rate_limit_exceeded"}}, "rate_limit", "rate_limit_exceeded", 429),
    ("openrouter server", {"code": 502, "message": "Provider disconnected"}, "server_error", "502", 502),
    ("openrouter messages", {"type": "api_error", "message": "x", "error_type": "provider_overloaded"}, "overloaded", "provider_overloaded", None),
    ("openrouter responses", {"error": {"code": "server_error", "message": "Invalid credentials"}, "error_type": "authentication"}, "auth_error", "authentication", None),
    ("gemini", google(503, "UNAVAILABLE", "overloaded")["error"], "overloaded", "UNAVAILABLE", 503),
    ("gemini status only", {"status": "RESOURCE_EXHAUSTED", "message": "x"}, "rate_limit", "RESOURCE_EXHAUSTED", None),
    ("gemini per day", {"status": "RESOURCE_EXHAUSTED", "message": "x", "details": [quota_failure("RequestsPerDay")]}, "quota_exceeded", "quota_per_day", None),
    ("groq tool call", {"message": "x", "type": "invalid_request_error", "code": "tool_use_failed", "status_code": 400}, "validation_error", "tool_use_failed", 400),
    ("azure", {"code": "429", "message": "x"}, "rate_limit", "429", 429),
    ("bedrock frame", {"__type": "modelStreamErrorException", "message": "x"}, "server_error", "modelStreamErrorException", None),
    ("bedrock throttling frame", {"__type": "throttlingException", "message": "x"}, "rate_limit", "throttlingException", None),
    ("zai arrears", {"code": "1113", "message": "x"}, "quota_exceeded", "1113", None),
    ("ollama", "an error was encountered while running the model", "server_error", None, None),
    ("ollama line", {"error": "unexpected EOF"}, "server_error", None, None),
    ("unknown type", {"type": "new_kind_of_error", "message": "429"}, "server_error", "new_kind_of_error", None),
    ("nothing", {}, "server_error", None, None),
    ("null", None, "server_error", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given_error", "error_type", "code", "status"), IN_BAND, ids=[row[0] for row in IN_BAND])
def test_in_band(name: str, given_error: Any, error_type: str, code: str | None, status: int | None) -> None:
    """An error inside HTTP 200 is classed by the status it names, else by its type, else as the provider's failure."""
    error = in_band(given_error)

    assert error_type == error.error_type
    assert code == error.code
    assert status == error.status_code


def test_in_band_takes_words_and_request_id_from_the_event() -> None:
    """What the error object lacks is taken from the event around it."""
    raw = json.dumps({"type": "error", "error": {"type": "api_error", "message": "Boom"}, "request_id": "req_9"}).encode()

    error = in_band({"type": "api_error"}, raw)

    assert "req_9" == error.request_id
    assert str(error).startswith("Boom. ")


def test_in_band_wait() -> None:
    """Gemini says the wait inside the error, so a stream that breaks has it too."""
    assert 37.0 == in_band(google(429, "RESOURCE_EXHAUSTED", "x", RETRY_INFO)["error"]).retry_after


@pytest.mark.parametrize(
    ("given_error", "rejected_by"),
    [({"type": "invalid_request_error"}, "provider"), ({"code": 429}, "provider"), ({"type": "overloaded_error"}, None)],
)
def test_in_band_rejection(given_error: Any, rejected_by: str | None) -> None:
    """A request that the provider refuses is told from a failure on its side."""
    assert rejected_by == in_band(given_error).rejected_by


# --- what the error tells ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"x-request-id": "a", "request-id": "b"}, {}, "a"),
        ({"request-id": "b"}, {}, "b"),
        ({"apim-request-id": "c"}, {}, "c"),
        ({"x-amzn-requestid": "d"}, {}, "d"),
        ({"x-generation-id": "gen-1"}, {}, "gen-1"),
        ({}, anthropic("api_error", "x"), "req_011C"),
        ({}, {"error": {"message": "x"}, "x_groq": {"id": "req_g"}}, "req_g"),
        ({"x-request-id": "h"}, anthropic("api_error", "x"), "h"),
        ({"x-request-id": "p\r\nq"}, {}, "p q"),
        ({}, {}, None),
    ],
)
def test_request_id(headers: dict[str, str], body: Any, expected: str | None) -> None:
    """The request id comes from the header, else from the body."""
    assert expected == classify(500, headers, sent(body)).request_id


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, openai("No key."), "No key. Check the API key of this provider."),
        (404, {"detail": "Not Found"}, "Not Found. Check base_url: the provider has nothing at this path."),
        (404, HTML_404, "HTTP 404: an HTML page titled 'Error 404 (Not Found)!!1'. Check base_url: "),
        (502, b"", "HTTP 502: no reason given. Try again"),
        (502, b"null", "HTTP 502: no reason given. Try again"),
        (503, b"<html>&nbsp;</html>", "HTTP 503: an HTML page. Try again later"),
        (500, b"a\x00b\r\n\tc \xe2\x80\xaed", "a b c d. Try again"),
        (500, b'{"message": "caf\xe9"}', "caf\ufffd. Try again"),
        (500, b"\xef\xbb\xbf" + sent({"message": "with a mark"}), "with a mark. Try again"),
        (500, b'{"error": {"message": "cut of', '{"error": {"message": "cut of. Try again'),
        (422, {"detail": [{"loc": ["body", 0, "role"], "msg": "Bad role"}, {"msg": "No"}]}, "body.0.role: Bad role; No. "),
        (400, {"error": ["one", "two", 3, {"message": "four"}]}, "one; two; four. "),
        (400, {"error": [{"message": "first"}, {"message": "second"}]}, "first. "),
        (500, openrouter(502, "Provider returned error", raw="upstream is down"), "Provider returned error: upstream is down. "),
        (502, {"success": False, "errors": [{"code": 10000, "message": "Authentication error"}]}, "Authentication error. "),
        (301, b"", "HTTP 301: the provider redirects. Set base_url to where the API is."),
        (200, b"", "HTTP 200: no reason given. Check that base_url is an API of this provider."),
        (407, b"", "HTTP 407: no reason given. Check the user name and the password of the proxy."),
    ],
)  # fmt: skip
def test_message(status: int, body: Any, expected: str) -> None:
    """A message is what the provider said, readable, and what to do."""
    assert str(classify(status, {}, sent(body))).startswith(expected)


def test_redirect_names_the_place_without_its_secrets() -> None:
    """A redirect says where to, but not the query or the user in the URL."""
    headers = {"location": "https://user:pass@example.com/v1/chat?api_key=secret"}

    message = str(classify(308, headers, b""))

    assert "HTTP 308: the provider redirects to https://example.com/v1/chat. Set base_url" in message
    assert "secret" not in message
    assert "pass" not in message


@pytest.mark.parametrize("location", ["http://[", "/v1/", "", "https://" + "a" * 9000])
def test_redirect_to_nowhere(location: str) -> None:
    """A location that is no URL is left out."""
    message = str(classify(302, {"location": location}, b""))

    assert message.endswith(" Set base_url to where the API is.")
    assert len(message) < LIMIT + 200


def test_message_is_shortened() -> None:
    """However long the provider's words are, the message has a bound."""
    message = str(classify(500, {}, sent(openai("word " * 10_000))))

    assert LIMIT < len(message) < LIMIT + 100
    assert "word... Try again" in message


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcdefghijklmnop", "sk-ant-api03-AbC_d-1234567890", "sk-or-v1-0123456789abcdef", "sk-12********cdef",
        "gsk_AbCdEf0123456789", "AIzaSyD-1234567890abcdefg_hij", "AQ.Ab8RN6K1234567890", "xai-AbCdEf0123456789",
        "pplx-0123456789abcdef0123", "hf_AbCdEfGhIjKlMnOp0123", "AKIAIOSFODNN7EXAMPLE", "csk-abcdef0123456789",
        "nvapi-abcdef0123456789", "invalid-*****2345", "na***ys", "ya29.a0AfH6SMBx12345",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_123",
    ],
)  # fmt: skip
@pytest.mark.parametrize("text", ["Incorrect API key provided: {}.", "The key {} is not valid", '{{"key":"{}"}}', "{}"])
def test_keys_are_not_repeated(key: str, text: str) -> None:
    """A key that the provider repeats, whole or partly masked, is in no part of the error."""
    said = text.format(key)

    for error in (classify(401, {}, sent(openai(said, key, said))), classify(401, {}, said.encode()), in_band(said)):
        assert key not in f"{error} {error.code} {error.request_id}"
        assert "***" in str(error)


@pytest.mark.parametrize(
    "said",
    [
        "Authorization: Bearer 0123456789abcdef0123456789abcdef",
        "api_key=0123456789abcdef",
        "Your api key: ****f5a1 is invalid",
        'Incorrect API key provided: "0f1e2d3c4b5a69788796a5b4c3d2e1f0"',
        "password: hunter2hunter2",
    ],
)
def test_named_keys_are_not_repeated(said: str) -> None:
    """A key of no known form is known by what is said before it."""
    secret = said.replace('"', "").split()[-1].split("=")[-1]
    if secret == "invalid":
        secret = "f5a1"

    assert secret not in str(classify(401, {}, sent({"message": said})))


@pytest.mark.parametrize(
    "said",
    [
        "The model `gpt-4o-mini-2024-07-18` does not exist",
        "You didn't provide an API key. Use Authorization: Bearer YOUR_KEY",
        "max_tokens: 128000 is above 4096",
        "task-oriented request 20241201-1234567890 failed, api_connection_error",
        "see https://platform.openai.com/docs/guides/error-codes/api-errors",
        "Missing required parameter: 'api_key: required'",
    ],
)
def test_harmless_words_stay(said: str) -> None:
    """Only keys are taken out."""
    assert str(classify(400, {}, sent(openai(said)))).startswith(said)


def test_every_class_says_what_to_do() -> None:
    """Each class that a provider's failure can have comes with a remedy."""
    seen = {classify(row.status, row.headers, sent(row.body)).error_type for row in ROWS}

    assert set() == seen - set(REMEDY)
    assert {"malformed_response"} == set(REMEDY) - seen


# --- the last rules ---------------------------------------------------------------------------------------------


def test_text_rules_have_names_and_are_used() -> None:
    """Each last rule has a name of its own and decides at least one row."""
    decided = set()
    for row in ROWS:
        error = classify(row.status, row.headers, sent(row.body))
        decided |= {r.name for r in TEXT if row.status in r.statuses and r.pattern.search(str(error))}

    assert len(TEXT) == len({rule.name for rule in TEXT})
    assert set() == {rule.name for rule in TEXT} - decided


@pytest.mark.parametrize("row", [row for row in ROWS if 400 <= row.status < 499], ids=lambda row: row.name)
def test_text_rules_keep_to_their_status(row: Row) -> None:
    """The same body with another status has the class of that status."""
    for status, expected in ((500, "server_error"), (401, "auth_error")):
        error = classify(status, {}, sent({"message": str(classify(row.status, {}, sent(row.body)))}))

        assert expected == error.error_type


NOISE = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.integers(0, 10**6).map(str),
        st.sampled_from(
            ["429", "503", "rate limit", "rate_limit_exceeded", "overloaded", "insufficient_quota", "timeout", "quota",
             "Too Many Requests", "model not found", "context length", "API key", "invalid_api_key", "content_filter"]
        ),
    ),
    max_size=8,
).map(" ".join)  # fmt: skip


@given(NOISE, NOISE)
def test_words_never_change_the_class_of_a_400(said: str, parameter: str) -> None:
    """A 400 that says 429, or whose parameter is named after a limit, is what its code says: a bad request."""
    body = {"error": {"message": f"Invalid value {said}", "type": "invalid_request_error", "param": parameter}}

    assert "validation_error" == classify(400, {}, sent(body)).error_type
    assert "validation_error" == in_band(body["error"]).error_type
    assert "validation_error" == classify(400, {}, sent({"message": f"Invalid value {said}"})).error_type


# --- whatever comes ---------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    ["error", "errors", "message", "code", "type", "status", "detail", "details", "metadata", "violations", "quotaId",
     "innererror", "request_id", "loc", "msg", "raw", "headers", "retryDelay", "response", "x_groq", "estimated_time"]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["429", "error", '{"error": {"code": 1}}', "[[", "GenerateRequestsPerDay", "37s", "insufficient_quota"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["retry-after", "retry-after-ms", "date", "location", "x-request-id", "x-amzn-errortype", "x-ratelimit-remaining",
         "x-ratelimit-reset", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "content-type"]
    ),
    st.text(max_size=30) | st.sampled_from(["0", "-1", "nan", "1e400", "Fri, 31 Dec 1999 23:59:59 GMT", "http://["]),
)  # fmt: skip


def check(error: LLMError) -> None:
    assert CLASSES[error.error_type] is type(error)
    assert 0 < len(str(error)) < LIMIT + 200
    assert str(error).isprintable() or not any(c in str(error) for c in "\r\n\x00\x1b\u202e")
    assert str(error) == str(pickle.loads(pickle.dumps(error)))
    json.dumps([str(error), error.code, error.request_id]).encode()
    str(error).encode()
    assert error.retry_after is None or 0 <= error.retry_after < float("inf")


@given(st.integers(), HEADERS, st.binary(max_size=200), st.none() | st.floats(0, 1e10))
@example(400, {}, b'{"error": ' * 2000, None)
@example(400, {}, b"[" * 200_000, None)
@example(400, {}, b'{"message": "' + b"\\ud800" + b'"}', None)
@example(503, {}, b"data: \xff\n", None)
@example(503, {}, b"event", None)
def test_any_bytes(status: int, headers: dict[str, str], body: bytes, now: float | None) -> None:
    """Whatever the status, the headers and the bytes are, there is an error of the closed set and nothing is raised."""
    check(classify(status, headers, body, now))


@given(st.integers(100, 599), HEADERS, VALUES)
def test_any_json(status: int, headers: dict[str, str], value: Any) -> None:
    """Whatever the shape of the JSON is, there is an error of the closed set and nothing is raised."""
    error = classify(status, headers, json.dumps(value).encode(), 1e9)

    check(error)
    assert status == error.status_code


@given(VALUES, st.binary(max_size=100))
def test_any_in_band(value: Any, raw: bytes) -> None:
    """Whatever stands under `error` inside HTTP 200, it becomes an error of the closed set."""
    check(in_band(value, raw))


@given(st.text(st.characters(), max_size=300))
def test_any_text_in_band(said: str) -> None:
    """Any text, with halves of characters too, can be shown, logged and written as JSON."""
    check(in_band({"message": said, "code": said}))


# --- the recordings ---------------------------------------------------------------------------------------------


def expected_of(status: int, body: Any) -> str:
    """A small table of its own for the failures that were recorded."""
    said = json.dumps(body)
    if '"model_not_found"' in said or '"not_found_error"' in said or "model identifier is invalid" in said:
        return "model_not_found"
    if status == 404 and "models/" in said:
        return "model_not_found"
    return {400: "validation_error", 401: "auth_error", 429: "rate_limit", 500: "server_error"}[status]


def test_recorded_failures(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each recorded reply with a status of failure has its class."""
    counts: Counter[str] = Counter()
    for file in sorted(recordings.glob("*.jsonl")):
        for line in file.read_text("utf-8").splitlines():
            response = json.loads(line)["response"]
            status = response["status"]
            if status < 400:
                continue
            body = response["body"] if "body" in response else response["text"].encode()
            error = classify(status, response["headers"], sent(body))

            assert expected_of(status, body) == error.error_type, line[:500]
            assert status == error.status_code
            counts[file.stem] += 1

    with capsys.disabled():
        print(f" [{counts.total()} recorded failures: {dict(counts)}]", end="")
    assert counts.total() > 0


def test_recorded_error_in_a_stream(recordings: Path) -> None:
    """Groq's recorded `event: error` is a refused request with its code."""
    errors = []
    for line in (recordings / "compat_groq.jsonl").read_text("utf-8").splitlines():
        for event in (json.loads(line)["response"].get("text") or "").split("\n\n"):
            if event.startswith("event: error\ndata: "):
                data = event.removeprefix("event: error\ndata: ").encode()
                errors.append(in_band(json.loads(data)["error"], data))

    assert errors
    assert {("validation_error", "tool_use_failed")} == {(error.error_type, error.code) for error in errors}
