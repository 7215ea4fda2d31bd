"""HTTP status and structured code -> class of the failure, as tables; `None` as status means any 4xx."""

from __future__ import annotations

from ...errors import (
    AuthError,
    CancelledError,
    ContentFilterError,
    ContextLengthError,
    LLMError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    RequestTooLargeError,
    ServerError,
    TimeoutError,
    UnsupportedFeatureError,
    ValidationError,
)

STATUS: dict[int, type[LLMError]] = {
    401: AuthError,
    402: QuotaExceededError,
    403: PermissionDeniedError,
    407: AuthError,
    408: TimeoutError,
    409: ServerError,  # Anthropic conflict_error, Google ABORTED, a lock that timed out: the vendors' clients retry it
    413: RequestTooLargeError,
    414: RequestTooLargeError,
    424: ServerError,  # Bedrock ModelErrorException, TGI "generation"
    429: RateLimitError,
    431: RequestTooLargeError,
    451: PermissionDeniedError,
    498: OverloadedError,  # Groq, flex tier
    499: CancelledError,  # Groq, Cohere
    501: UnsupportedFeatureError,
    503: OverloadedError,
    504: TimeoutError,
    522: TimeoutError,  # Cloudflare, to the provider's host
    524: TimeoutError,
    529: OverloadedError,
}
"""HTTP status -> class. Others: 3xx and 4xx `ValidationError` (404: a wrong path, unless code or text name a model),
from 500 on `ServerError`."""

NOMINAL: dict[str, int] = {
    # Anthropic `error.type`
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "conflict_error": 409, "request_too_large": 413, "rate_limit_error": 429,
    "api_error": 500, "timeout_error": 504, "overloaded_error": 529,
    # Google `error.status`
    "invalid_argument": 400, "failed_precondition": 400, "out_of_range": 400, "unauthenticated": 401,
    "permission_denied": 403, "not_found": 404, "already_exists": 409, "aborted": 409, "resource_exhausted": 429,
    "cancelled": 499, "unknown": 500, "internal": 500, "data_loss": 500, "unimplemented": 501, "unavailable": 503,
    "deadline_exceeded": 504,
    # OpenAI `error.code` and `error.type`, with what Responses reports in `response.failed`
    "invalid_prompt": 400, "invalid_value": 400, "invalid_image": 400, "invalid_image_format": 400,
    "invalid_base64_image": 400, "invalid_image_url": 400, "image_too_large": 400, "image_too_small": 400,
    "image_parse_error": 400, "invalid_image_mode": 400, "image_file_too_large": 400,
    "unsupported_image_media_type": 400, "empty_image_file": 400, "failed_to_download_image": 400,
    "image_file_not_found": 400, "invalid_api_key": 401, "model_not_found": 404, "rate_limit_exceeded": 429,
    "insufficient_quota": 429, "slow_down": 429, "requests": 429, "tokens": 429, "server_error": 500,
    "service_unavailable_error": 503, "server_is_overloaded": 503, "vector_store_timeout": 504,
    # OpenRouter `metadata.error_type`, the field it says to rely on
    "invalid_request": 400, "max_tokens_exceeded": 400, "token_limit_exceeded": 400, "string_too_long": 400,
    "unsupported_image_format": 400, "image_not_found": 400, "image_download_failed": 400, "authentication": 401,
    "payment_required": 402, "precondition_failed": 412, "payload_too_large": 413, "unprocessable": 422,
    "server": 500, "unmapped": 500, "provider_unavailable": 502, "provider_overloaded": 503, "timeout": 504,
    # Groq, Mistral, vLLM, text-generation-inference
    "tool_use_failed": 400, "json_validate_failed": 400, "capacity_exceeded": 498, "rate_limited": 429,
    "badrequesterror": 400, "notfounderror": 404, "internalservererror": 500, "validation": 422, "generation": 424,
    "overloaded": 503, "incomplete_generation": 500,
    # Bedrock exceptions, whose frames come inside a stream
    "validationexception": 400, "servicequotaexceededexception": 400, "accessdeniedexception": 403,
    "expiredtokenexception": 403, "invalidsignatureexception": 403, "unrecognizedclientexception": 403,
    "resourcenotfoundexception": 404, "modeltimeoutexception": 408, "modelerrorexception": 424,
    "modelstreamerrorexception": 424, "throttlingexception": 429, "modelnotreadyexception": 429,
    "internalserverexception": 500, "serviceunavailableexception": 503,
}  # fmt: skip
"""The HTTP status that an error of this name has, or would have had: all there is to go by inside HTTP 200."""

QUOTA_PER_DAY = "quota_per_day"
"""Stands for a Gemini QuotaFailure whose quota is counted by the day or longer: waiting a minute does not help."""

CODES: dict[tuple[int | None, str], type[LLMError]] = {
    # OpenAI sends 429 for spent money too; None = at any 4xx status
    (None, "insufficient_quota"): QuotaExceededError,
    (None, "credit_balance_exhausted"): QuotaExceededError,
    (None, "organization_spend_limit_exceeded"): QuotaExceededError,
    (None, "project_spend_limit_exceeded"): QuotaExceededError,
    (None, "organization_usage_limit_exceeded"): QuotaExceededError,
    (None, "billing_hard_limit_reached"): QuotaExceededError,
    (None, "billing_not_active"): QuotaExceededError,
    (None, "enforced_spend_limit_reached"): QuotaExceededError,  # Anthropic, type rate_limit_error
    (None, "exceeded_current_quota_error"): QuotaExceededError,  # Moonshot
    (None, "arrearage"): QuotaExceededError,  # DashScope
    (429, "1113"): QuotaExceededError,  # Z.ai, account in arrears
    (429, QUOTA_PER_DAY): QuotaExceededError,
    # the moment
    (402, "openrouter_in_flight_budget"): RateLimitError,  # held for calls under way; comes with Retry-After
    (400, "servicequotaexceededexception"): RateLimitError,  # Bedrock: 400, and yet to be retried
    (400, "throttlingexception"): RateLimitError,
    (429, "engine_overloaded_error"): OverloadedError,  # Moonshot
    (429, "model_capacity_exhausted"): OverloadedError,  # Gemini
    (429, "overloaded"): OverloadedError,  # text-generation-inference
    # the account
    (None, "invalid_api_key"): AuthError,
    (None, "api_key_invalid"): AuthError,  # Gemini: 400 INVALID_ARGUMENT
    (None, "expiredtokenexception"): AuthError,  # Bedrock signs requests, and answers 403
    (None, "unrecognizedclientexception"): AuthError,
    (None, "invalidsignatureexception"): AuthError,
    (None, "missingauthenticationtokenexception"): AuthError,
    (None, "incompletesignatureexception"): AuthError,
    (None, "incompletesignature"): AuthError,
    (None, "invalidclienttokenid"): AuthError,
    (400, "failed_precondition"): PermissionDeniedError,  # Gemini: not in this region without billing
    # the request
    (None, "context_length_exceeded"): ContextLengthError,
    (None, "exceed_context_size_error"): ContextLengthError,  # llama.cpp
    (None, "model_context_window_exceeded"): ContextLengthError,
    (400, "1261"): ContextLengthError,  # Z.ai
    (400, "string_too_long"): RequestTooLargeError,  # OpenRouter: one text over the host's limit of characters
    (None, "content_filter"): ContentFilterError,
    (None, "content_policy_violation"): ContentFilterError,
    (None, "responsibleaipolicyviolation"): ContentFilterError,  # Azure `innererror.code`
    (None, "image_content_policy_violation"): ContentFilterError,
    (None, "moderation_blocked"): ContentFilterError,
    (None, "data_inspection_failed"): ContentFilterError,  # DashScope
    (400, "refusal"): ContentFilterError,  # OpenRouter
    (400, "1301"): ContentFilterError,  # Z.ai
    (None, "model_not_found"): ModelNotFoundError,  # OpenAI: 404, 403, and 400 of Responses
    (None, "model_not_supported"): ModelNotFoundError,  # Hugging Face
    (None, "model_not_available"): ModelNotFoundError,
    (None, "model_decommissioned"): ModelNotFoundError,  # Groq: 400
    (None, "invalid_model"): ModelNotFoundError,  # Mistral, Perplexity: 400
    (None, "deploymentnotfound"): ModelNotFoundError,  # Azure
    (400, "1211"): ModelNotFoundError,  # Z.ai
    (404, "resourcenotfoundexception"): ModelNotFoundError,  # Bedrock
    (404, "unknown_url"): ValidationError,  # Groq: its text names the URL, which may have "models" in it
}
"""(status or any 4xx, name) -> class, where the status alone says too little."""


def by_status(status: int) -> type[LLMError]:
    """The class of a status alone."""
    return STATUS.get(status) or (ServerError if status >= 500 else ValidationError)
