"""The last rules, by name: where a provider has no code for it, its words may refine the class of a status.

Each holds at its statuses only and after every code was tried, so that what a prompt or a parameter says, repeated in
an error message, cannot change the class. The patterns are whole phrases of the vendors, anchored where they can be.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ...errors import (
    AuthError,
    ContentFilterError,
    ContextLengthError,
    LLMError,
    ModelNotFoundError,
    QuotaExceededError,
    RequestTooLargeError,
    UnsupportedFeatureError,
)


class TextRule(NamedTuple):
    """Where the words match `pattern` at one of these statuses, the class is `error`."""

    name: str
    statuses: frozenset[int]
    pattern: re.Pattern[str]
    error: type[LLMError]


def _rule(name: str, statuses: set[int], pattern: str, error: type[LLMError]) -> TextRule:
    return TextRule(name, frozenset(statuses), re.compile(pattern, re.IGNORECASE), error)


TEXT: tuple[TextRule, ...] = (
    _rule(
        "anthropic_context", {400}, r"^(?:prompt is too long|input length and `max_tokens` exceed)", ContextLengthError
    ),
    _rule(
        "gemini_context",
        {400},
        r"^The input token count\b.{0,40}\bexceeds the maximum number of tokens",
        ContextLengthError,
    ),
    _rule("cohere_context", {400}, r"^too many tokens\b", ContextLengthError),
    _rule(
        "openai_style_context",  # vLLM, OpenRouter, DeepSeek, xAI ("prompt length")
        {400, 413, 422},
        r"\bThis (?:model|endpoint)'s maximum (?:context|prompt) length is \d",
        ContextLengthError,
    ),
    _rule(
        "vllm_context",
        {400},
        r"\blonger than the maximum model length of \d|the model's context length is only \d",
        ContextLengthError,
    ),
    _rule("mistral_context", {400}, r"\btoo large for model with \d+ maximum context length", ContextLengthError),
    _rule(
        "together_context", {403}, r"^Input token count \+ max_tokens parameter must be less than", ContextLengthError
    ),
    _rule("tgi_context", {422}, r"`inputs` tokens \+ `max_new_tokens` must be <=", ContextLengthError),
    _rule("bedrock_context", {400}, r"(?:^|: )Input is too long for requested model", ContextLengthError),
    _rule(
        "ollama_context",
        {400},
        r"^the (?:input length exceeds the|request exceeds the available) context",
        ContextLengthError,
    ),
    _rule(
        "openai_text_size",
        {400},
        r"string too long\. Expected a string with maximum length \d{6,}",
        RequestTooLargeError,
    ),
    _rule(
        "openai_over_whole_limit",  # more tokens in one request than a minute allows: waiting never helps
        {429},
        r"^Request too large for\b",
        RequestTooLargeError,
    ),
    _rule("anthropic_credit", {400, 403}, r"^Your credit balance is too low", QuotaExceededError),
    _rule(
        "anthropic_spend_limit",
        {400},
        r"^You have reached your specified (?:workspace )?API usage limits",
        QuotaExceededError,
    ),
    _rule("gemini_prepaid", {429}, r"^Your prepayment credits are depleted", QuotaExceededError),
    _rule("gemini_spend_cap", {429}, r"^Your project has exceeded its monthly spending cap", QuotaExceededError),
    _rule("xai_credit", {403, 429}, r"^Your team \S{0,80} has either used all available credits", QuotaExceededError),
    _rule("xai_key", {400}, r"^Incorrect API key provided\b", AuthError),
    _rule("gemini_key", {400}, r"^API key (?:not valid|expired)\b", AuthError),
    _rule("bedrock_key", {403}, r"^Authentication failed: Please make sure your API Key is valid", AuthError),
    _rule("bedrock_token", {403}, r"^The security token included in the request is (?:invalid|expired)", AuthError),
    _rule(
        "cohere_token",
        {498},
        r"\b(?:invalid|expired)\b.{0,20}\btoken\b|\btoken\b.{0,20}\b(?:invalid|expired)\b",
        AuthError,
    ),
    _rule("cohere_unsafe", {498}, r"\b(?:unsafe|blocked)\b", ContentFilterError),
    _rule(
        "openai_usage_policy",
        {400},
        r"\bprompt was flagged as potentially violating our usage policy",
        ContentFilterError,
    ),
    _rule("anthropic_filter", {400}, r"^Output blocked by content filtering policy", ContentFilterError),
    _rule("openrouter_feature", {404}, r"^No endpoints found that support\b", UnsupportedFeatureError),
    _rule("openrouter_no_endpoint", {404}, r"^No endpoints (?:found|available)\b", ModelNotFoundError),
    _rule("google_entity", {404}, r"^Requested entity was not found", ModelNotFoundError),
    _rule(
        "missing_model",  # Anthropic "model: x", Gemini "models/x is not found", Ollama, vLLM, xAI
        {404, 410},
        r"^(?!Invalid URL).*\bmodels?\b",
        ModelNotFoundError,
    ),
    _rule(
        "missing_model_as_bad_request",  # DeepSeek, Bedrock, OpenRouter, xAI, Perplexity
        {400},
        r"^(?:Model Not Exist|The provided model identifier is invalid|Model not found: |Invalid model\b)"
        r"|\bis not a valid model ID$",
        ModelNotFoundError,
    ),
)
