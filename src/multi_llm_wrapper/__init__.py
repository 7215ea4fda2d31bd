"""One async client over every LLM provider, and the test bench that proves an integration works.

The names below are loaded when they are first used (PEP 562), so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .config import (
        AnthropicConfig,
        Deployment,
        GeminiConfig,
        GroqConfig,
        OpenAICompatibleConfig,
        OpenAIConfig,
        PerplexityConfig,
        ProviderConfig,
        Timeouts,
        WrapperConfig,
    )
    from .errors import LLMError
    from .response import Chunk, Response
    from .stream import ResponseStream
    from .wrapper import LLMWrapper
else:  # a type checker would take this as "any name will do"

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f".{home}", __name__), name)
        globals()[name] = value
        return value


logging.getLogger(__name__).addHandler(logging.NullHandler())  # what is logged is shown where the program wants it

_HOMES = {
    "AnthropicConfig": "config",
    "Chunk": "response",
    "Deployment": "config",
    "GeminiConfig": "config",
    "GroqConfig": "config",
    "LLMError": "errors",
    "LLMWrapper": "wrapper",
    "OpenAICompatibleConfig": "config",
    "OpenAIConfig": "config",
    "PerplexityConfig": "config",
    "ProviderConfig": "config",
    "Response": "response",
    "ResponseStream": "stream",
    "Timeouts": "config",
    "WrapperConfig": "config",
}

__all__ = [
    "AnthropicConfig",
    "Chunk",
    "Deployment",
    "GeminiConfig",
    "GroqConfig",
    "LLMError",
    "LLMWrapper",
    "OpenAICompatibleConfig",
    "OpenAIConfig",
    "PerplexityConfig",
    "ProviderConfig",
    "Response",
    "ResponseStream",
    "Timeouts",
    "WrapperConfig",
    "__version__",
]


def __dir__() -> list[str]:
    return sorted(__all__)
