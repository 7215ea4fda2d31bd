"""Answers once: the cache in front of a call."""

from .cache import Cache

__all__ = ["Cache"]
