"""What a model family accepts. A model of no known family gets everything that was given, as is.

Sources: OpenAI's model pages and reasoning guide, Anthropic's migration notes for Claude 4.5 to 5, Google's thinking
guide; see `reference/wire.md`, "Request-side traps".
"""

from __future__ import annotations

import re

from msgspec import structs

from ..dialects.base import PLAIN, Profile

_NO_SAMPLING = frozenset({"temperature", "top_p"})

_OPENAI_CHAT = Profile(max_tokens_field="max_completion_tokens", reasoning="none", context_window=128_000)
_OPENAI_LEGACY = Profile(reasoning="none")
_OPENAI_REASONING = Profile(
    max_tokens_field="max_completion_tokens", refuses=_NO_SAMPLING | {"stop"}, context_window=200_000
)
_GPT_5 = structs.replace(_OPENAI_REASONING, context_window=400_000)

_CLAUDE = Profile(reasoning="none", max_output_tokens=4096, context_window=200_000)
_CLAUDE_THINKING = Profile(reasoning="budget", max_output_tokens=8192, context_window=200_000)
_CLAUDE_ADAPTIVE = Profile(reasoning="effort", max_output_tokens=16_384, refuses=_NO_SAMPLING, context_window=200_000)

_GEMINI = Profile(reasoning="none", context_window=1_048_576)
_GEMINI_2_5 = Profile(reasoning="budget", context_window=1_048_576)
_GEMINI_3 = Profile(reasoning="level", context_window=1_048_576)

FAMILIES: tuple[tuple[re.Pattern[str], Profile], ...] = tuple(
    (re.compile(pattern), profile)
    for pattern, profile in (
        (r"gpt-5(\.\d+)?-chat|chatgpt-", _OPENAI_CHAT),
        (r"gpt-[5-9]", _GPT_5),
        (r"o\d", _OPENAI_REASONING),
        (r"gpt-4\.1|gpt-4o|gpt-4-turbo", _OPENAI_CHAT),
        (r"gpt-3\.5|gpt-4", _OPENAI_LEGACY),
        (r"claude-(instant|2|3-(opus|sonnet|haiku)|3-5)", _CLAUDE),
        (r"claude-3-7", _CLAUDE_THINKING),
        (r"claude-(opus|sonnet|haiku)-4(-[0-5])?(-latest|-\d{8}|@|$)", _CLAUDE_THINKING),
        (r"claude-(opus|sonnet|haiku)-4-6", structs.replace(_CLAUDE_ADAPTIVE, refuses=frozenset())),
        (r"claude-(opus|sonnet|haiku|fable)-", _CLAUDE_ADAPTIVE),
        (r"gemini-(1|2\.0)", _GEMINI),
        (r"gemini-2\.5", _GEMINI_2_5),
        (r"gemini-[3-9]", _GEMINI_3),
    )
)
"""First match wins; patterns are matched at the start of the model name, without a provider's path."""


def profile_of(model: str) -> Profile:
    name = model.rpartition("/")[2].lower()
    for pattern, profile in FAMILIES:
        if pattern.match(name):
            return profile
    return PLAIN
