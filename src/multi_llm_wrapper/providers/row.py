"""What is known about a provider: one row of data."""

from __future__ import annotations

from msgspec import Struct

from ..dialects.base import NO_QUIRKS, Quirks


class ProviderRow(Struct, frozen=True, kw_only=True):
    """How to reach a provider. Replies are read the same everywhere; only requests differ by host."""

    name: str
    base_url: str
    own_address: bool = False
    """Everybody has an address of their own there, so `base_url` is only an example of one."""
    dialect: str = "openai_chat"
    auth: tuple[str, str] = ("authorization", "Bearer ")
    """Header name, and what stands before the key in it."""
    key_env: tuple[str, ...] = ()
    """Environment variables that may hold the key, first found wins."""
    base_url_env: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    """Prefixes of model names that belong to this provider when nothing else says where a model lives."""
    headers: dict[str, str] = {}
    version: str | None = None
    """The `api_version` where neither the configuration nor `version_env` has one."""
    version_env: tuple[str, ...] = ()
    version_header: str | None = None
    """The header that `api_version` of the configuration sets."""
    version_in_url: bool = False
    """Whether `api_version` of the configuration is a part of the URL, behind `base_url`."""
    deployments: str = ""
    """Where the URL names the model: what stands behind `base_url`, with `{model}` and `{version}` in it. An address
    that ends with a version of its own, as in "/v1", has the model in the body like everybody else."""
    key_required: bool = True
    quirks: Quirks = NO_QUIRKS
    source: str = ""
    """The page that tells URL, key and variable."""


__all__ = ["ProviderRow"]
