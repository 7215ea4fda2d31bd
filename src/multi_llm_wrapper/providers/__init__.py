"""Providers as rows of data, and what model families accept."""

from .profiles import profile_of
from .row import ProviderRow
from .rows import ROWS

__all__ = ["ROWS", "ProviderRow", "profile_of"]
