"""What a model family accepts. A model of no known family gets everything that was given, as is.

Sources: OpenAI's model pages and reasoning guide, Anthropic's migration notes for Claude 4.5 to 5, Google's thinking
guide; see `reference/wire.md`, "Request-side traps". Where a family is served by many hosts, only what holds at all of
them stands here: Moonshot alone fixes the sampling of its open models, so `kimi-` refuses nothing.
"""

from __future__ import annotations

import re

from msgspec import structs

from ..dialects.base import PLAIN, Profile

_NO_SAMPLING = frozenset({"temperature", "top_p"})
_BLIND = frozenset({"images"})
_UNBOUND = frozenset({"schema"})
_TEXT_ONLY = frozenset({"tools", "images", "schema"})

_OPENAI_CHAT = Profile(max_tokens_field="max_completion_tokens", reasoning="none", context_window=128_000)
_OPENAI_REASONING = Profile(
    max_tokens_field="max_completion_tokens", refuses=_NO_SAMPLING | {"stop"}, context_window=200_000
)
_GPT_5 = structs.replace(_OPENAI_REASONING, context_window=400_000)
# https://platform.openai.com/docs/guides/structured-outputs: gpt-4o-mini and gpt-4o-2024-08-06 are the first
_GPT_4_TURBO = structs.replace(_OPENAI_CHAT, lacks=_UNBOUND)
_OPENAI_LEGACY = Profile(reasoning="none", lacks=_BLIND | _UNBOUND)
_O1_PREVIEW = structs.replace(_OPENAI_REASONING, lacks=_TEXT_ONLY, context_window=128_000)
_O3_MINI = structs.replace(_OPENAI_REASONING, lacks=_BLIND)

_CLAUDE = Profile(reasoning="none", max_output_tokens=4096, context_window=200_000)
_CLAUDE_2 = structs.replace(_CLAUDE, lacks=_TEXT_ONLY)
_CLAUDE_THINKING = Profile(reasoning="budget", max_output_tokens=8192, context_window=200_000)
_CLAUDE_ADAPTIVE = Profile(reasoning="effort", max_output_tokens=16_384, refuses=_NO_SAMPLING, context_window=200_000)

_GEMINI = Profile(reasoning="none", context_window=1_048_576)
_GEMINI_2_5 = Profile(reasoning="budget", context_window=1_048_576)
_GEMINI_3 = Profile(reasoning="level", context_window=1_048_576)

# "Argument not supported on this model: stop" (BerriAI/litellm#12635, langchain-ai/langchain#38335), "Model does not
# support parameter reasoningEffort" up to 4.20 (vercel/ai, @ai-sdk/xai 4.0.8); both came to xAI's newer models in part
_GROK_THINKING = Profile(refuses=frozenset({"stop"}))
_GROK_4 = Profile(refuses=frozenset({"stop", "reasoning_effort"}))
_GROK_UNTHINKING = Profile(refuses=frozenset({"reasoning_effort"}))

_OPEN_BLIND = Profile(lacks=_BLIND)
"""Open models that take text alone; what else they can do depends on the host."""

FAMILIES: tuple[tuple[re.Pattern[str], Profile], ...] = tuple(
    (re.compile(pattern), profile)
    for pattern, profile in (
        (r"gpt-5(\.\d+)?-chat|chatgpt-", _OPENAI_CHAT),
        (r"gpt-[5-9]", _GPT_5),
        (r"gpt-oss-", _OPEN_BLIND),
        (r"o1-(mini|preview)", _O1_PREVIEW),
        (r"o3-mini", _O3_MINI),
        (r"o\d", _OPENAI_REASONING),
        (r"gpt-4-turbo|gpt-4o-2024-05-13", _GPT_4_TURBO),
        (r"gpt-4\.1|gpt-4o", _OPENAI_CHAT),
        (r"gpt-3\.5|gpt-4", _OPENAI_LEGACY),
        (r"claude-(instant|2)", _CLAUDE_2),
        (r"claude-3-(opus|sonnet|haiku)|claude-3-5", _CLAUDE),
        (r"claude-3-7", _CLAUDE_THINKING),
        (r"claude-(opus|sonnet|haiku)-4(-[0-5])?(-latest|-\d{8}|@|$)", _CLAUDE_THINKING),
        (r"claude-(opus|sonnet|haiku)-4-6", structs.replace(_CLAUDE_ADAPTIVE, refuses=frozenset())),
        (r"claude-(opus|sonnet|haiku|fable)-", _CLAUDE_ADAPTIVE),
        (r"gemini-(1|2\.0)", _GEMINI),
        (r"gemini-2\.5", _GEMINI_2_5),
        (r"gemini-[3-9]", _GEMINI_3),
        (r"grok-.*non-reasoning", _GROK_UNTHINKING),
        (r"grok-(4(-|$)|4\.1|4\.20|code-)", _GROK_4),
        (r"grok-3", structs.replace(_GROK_THINKING, lacks=_BLIND)),
        (r"grok-[4-9]", _GROK_THINKING),
        (r"deepseek-(chat|reasoner|coder|r1|v[234])", _OPEN_BLIND),
        (r"codestral-", _OPEN_BLIND),
        (r"kimi-k2-(\d{4}|instruct|thinking|turbo)", _OPEN_BLIND),
        (r"glm-(4\.[5-7]|5|5\.1)(-|$)", _OPEN_BLIND),
        (r"minimax-m2", _OPEN_BLIND),
    )
)
"""First match wins; patterns are matched at the start of the model name, without a provider's path."""


def profile_of(model: str) -> Profile:
    name = model.rpartition("/")[2].lower()
    for pattern, profile in FAMILIES:
        if pattern.match(name):
            return profile
    return PLAIN
