"""The import of litellm: at its first use, off the event loop, without network, prints or a `.env` file."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
import os
import sys
import threading
from contextlib import suppress
from typing import Any

from ..errors import UnsupportedFeatureError
from ..routing import Target

_QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else the import asks the network for prices
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",  # else the first call of Claude does, for names of headers
    "LITELLM_MODE": "PRODUCTION",  # else it reads a `.env` file into the environment
}
"""Set for the time of the import, where the user has not set them."""
_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
_IMPORTING = threading.Lock()


def check(target: Target) -> None:
    """Refuses, before anything is sent, what cannot be done through litellm. Raises `UnsupportedFeatureError`."""
    if sys.modules.get("litellm") is None and _spec() is None:
        raise _missing("it is not installed")
    for name in ("proxy", "ca_file"):
        if getattr(target, name):
            raise UnsupportedFeatureError(
                f"{name} cannot be set for {target.provider} alone with backend='litellm'; set HTTPS_PROXY or "
                "SSL_CERT_FILE in the environment instead, or use backend='native'.",
                code=name,
                rejected_by="client",
            )


async def load() -> Any:
    """The module. Its first import takes seconds."""
    module: Any = sys.modules.get("litellm")
    if module is None or getattr(getattr(module, "__spec__", None), "_initializing", False):
        module = await asyncio.to_thread(_import)
    module.suppress_debug_info = True  # else it prints where to get help at each failure
    return module


def _import() -> Any:
    with _IMPORTING:
        if sys.modules.get("litellm") is not None:
            return importlib.import_module("litellm")
        ours = {name: value for name, value in _QUIET.items() if name not in os.environ}
        os.environ.update(ours)
        try:
            module: Any = importlib.import_module("litellm")
            _load_what_is_bundled()
        except ImportError as error:
            raise _missing(f"it cannot be imported ({error})") from None
        finally:
            for name in ours:
                os.environ.pop(name, None)
        module.disable_hf_tokenizer_download = True  # else it downloads tokenizers in the middle of a stream
        if "LITELLM_LOG" not in os.environ:
            _silence()
        return module


def _load_what_is_bundled() -> None:
    """What litellm would otherwise load at the first call that needs it, when the variables are gone."""
    with suppress(ImportError, AttributeError):  # another version has it elsewhere, or not at all
        importlib.import_module("litellm.anthropic_beta_headers_manager")._load_beta_headers_config()


def _silence() -> None:
    """What litellm logs still reaches the handlers of the program, but not the terminal by handlers of its own."""
    for name in _LOGGERS:
        for handler in logging.getLogger(name).handlers:
            handler.setLevel(logging.CRITICAL)


def _spec() -> object | None:
    try:
        return importlib.util.find_spec("litellm")
    except ValueError:  # a module without a spec, as tests make them
        return None


def _missing(why: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(
        f"backend='litellm' needs the package litellm, and {why}: pip install 'multi-llm-wrapper[litellm]'",
        code="litellm",
        rejected_by="client",
    )
