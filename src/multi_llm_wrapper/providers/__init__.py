"""Providers as rows of data, and what model families accept."""

from .profiles import profile_of
from .rows import ROWS, ProviderRow

__all__ = ["ROWS", "ProviderRow", "profile_of"]
