"""Wire protocols, one package each; see `base` for what a dialect is."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from .base import Dialect

NAMES = ("anthropic_messages", "gemini", "openai_chat")


def get(name: str) -> Dialect:
    """The dialect of this name, imported when it is first asked for. Raises `ValueError` for another name."""
    if name not in NAMES:
        raise ValueError(f"there is no dialect {name!r}; the dialects are {', '.join(NAMES)}")
    return cast("Dialect", import_module(f"{__name__}.{name}"))


__all__ = ["NAMES", "get"]
