"""Configuration: plain mutable dataclasses that check themselves.

Every assignment is checked, at construction and later, and raises a `ValueError` that names the field. Settings that
were not given come from `MULTI_LLM_*` variables, then from the defaults; keys and base URLs that were not given come
from the vendors' usual variables when the wrapper is built.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from . import checks
from .errors import CLASSES
from .pricing import check_prices
from .providers.hosts import HOSTS
from .providers.rows import ROWS
from .secret import Secret


class Changes:
    """Counts every change of any configuration, so that what was derived from one can be kept until it changes.

    Building one counts nothing: until it is put into another, by a change of that one, nothing was derived from it.
    """

    count: ClassVar[int] = 0


def _stamped(name: str) -> Any:
    plain = getattr(dict, name)

    def method(self: dict[Any, Any], *args: Any, **kwargs: Any) -> Any:
        Changes.count += 1
        return plain(self, *args, **kwargs)

    return method


class _Dict(dict[Any, Any]):
    """A dict in a configuration: a change inside it is a change of the configuration."""

    __setitem__ = _stamped("__setitem__")
    __delitem__ = _stamped("__delitem__")
    __ior__ = _stamped("__ior__")
    clear = _stamped("clear")
    pop = _stamped("pop")
    popitem = _stamped("popitem")
    setdefault = _stamped("setdefault")
    update = _stamped("update")


class _Checked:
    """Runs the check of a field, if there is one, on each assignment, and counts the change."""

    _checks: ClassVar[Mapping[str, checks.Check]] = {}
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    """Each subclass has its own."""

    def __setattr__(self, name: str, value: Any) -> None:
        check = self._checks.get(name)
        if check is not None:
            place = f"{type(self).__name__}.{name}"
            if value is not None:
                value = check(place, value)
            elif not self._may_be_none(name):
                raise checks.refuse(place, "is None", "give a value, or leave the field out to have the default")
        if isinstance(value, dict) and not isinstance(value, _Dict):
            value = _Dict(value)
        if name in self.__dict__:
            Changes.count += 1
        object.__setattr__(self, name, value)

    def _may_be_none(self, name: str) -> bool:
        return "None" in str(self.__dataclass_fields__[name].type)

    def check(self) -> None:
        """What was changed inside a dict, which no assignment saw. Raises `ValueError`."""
        for name, check in self._checks.items():
            value = getattr(self, name)
            if isinstance(value, dict):
                check(f"{type(self).__name__}.{name}", value)
            for inner in value.values() if isinstance(value, dict) else (value,):
                if isinstance(inner, _Checked):
                    inner.check()

    def copy(self) -> Self:
        """A deep copy; changing one does not change the other."""
        return copy.deepcopy(self)


@dataclass
class Timeouts(_Checked):
    """Time limits in seconds; None = inherit. `first_token` and `idle` count for streams; `total` is the whole call."""

    connect: float | None = None
    first_token: float | None = None
    idle: float | None = None
    attempt: float | None = None
    total: float | None = None

    _checks: ClassVar[Mapping[str, checks.Check]] = dict.fromkeys(
        ("connect", "first_token", "idle", "attempt", "total"), checks.positive
    )


@dataclass
class ProviderConfig(_Checked):
    """How to use one provider. `model_map` maps the names your code uses to the provider's own."""

    api_key: str | Secret | None = None
    base_url: str | None = None
    model_map: dict[str, str] = field(default_factory=dict)
    timeout_seconds: float | None = None
    max_retries: int | None = None
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    proxy: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    api_version: str | None = None
    backend: Literal["native", "litellm"] | None = field(default=None, kw_only=True)
    """Through what this provider is asked; None: as the wrapper has it."""

    _checks: ClassVar[Mapping[str, checks.Check]] = {
        "api_key": checks.key,
        "base_url": checks.url,
        "model_map": checks.names,
        "timeout_seconds": checks.positive,
        "max_retries": checks.retries,
        "headers": checks.headers,
        "proxy": checks.proxy,
        "ca_file": checks.file,
        "api_version": checks.token,
        "backend": checks.choice("native", "litellm"),
    }


@dataclass
class OpenAIConfig(ProviderConfig):
    organization_id: str | None = None
    project_id: str | None = None

    _checks: ClassVar[Mapping[str, checks.Check]] = {
        **ProviderConfig._checks,
        "organization_id": checks.token,
        "project_id": checks.token,
    }


@dataclass
class AnthropicConfig(ProviderConfig):
    pass


@dataclass
class GeminiConfig(ProviderConfig):
    pass


@dataclass
class GroqConfig(ProviderConfig):
    pass


@dataclass
class PerplexityConfig(ProviderConfig):
    """Perplexity retired `/chat/completions` on 2026-09-27; its Agent API needs the Responses dialect, which is not
    there yet. A call to it is answered with `unsupported_feature`."""


@dataclass
class OpenAICompatibleConfig(ProviderConfig):
    """Any host that speaks OpenAI's Chat Completions; `base_url` is required, a key only where the host wants one."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "base_url" and value is None:
            raise ValueError(
                'OpenAICompatibleConfig.base_url is missing; give the URL up to and including "/v1", '
                'for example "http://localhost:8000/v1".'
            )
        super().__setattr__(name, value)


PROVIDER_CONFIGS: dict[str, type[ProviderConfig]] = {
    "openai": OpenAIConfig,
    "anthropic": AnthropicConfig,
    "gemini": GeminiConfig,
    "groq": GroqConfig,
    "perplexity": PerplexityConfig,
    **{row.name: ProviderConfig for row in HOSTS},
}
"""The `WrapperConfig` field of each known provider, and the class it takes."""


@dataclass
class Deployment(_Checked):
    """One place where a model can be asked: provider, model name there, and what differs from the provider's own
    configuration. `weight` is its share among the deployments behind one name."""

    provider: str
    model: str
    api_key: str | Secret | None = None
    base_url: str | None = None
    weight: float = 1.0

    _checks: ClassVar[Mapping[str, checks.Check]] = {
        "provider": checks.token,
        "model": checks.token,
        "api_key": checks.key,
        "base_url": checks.url,
        "weight": checks.positive,
    }


_by_name = checks.lists_by_name(str)
_places_by_name = checks.lists_by_name(Deployment)


def _fallbacks(name: str, value: Any) -> dict[str, list[str]]:
    """No model falls back to itself, by however many steps."""
    fallbacks: dict[str, list[str]] = _by_name(name, value)
    for start in fallbacks:
        seen, ahead = set(), list(fallbacks[start])
        while ahead:
            model = ahead.pop()
            if model == start:
                raise checks.refuse(f"{name}[{start!r}]", "leads back to itself", "take the cycle out")
            if model not in seen:
                seen.add(model)
                ahead += fallbacks.get(model, [])
        if len(set(fallbacks[start])) < len(fallbacks[start]):
            raise checks.refuse(f"{name}[{start!r}]", "names a model twice", "name each once")
    return fallbacks


def _same_place(a: Deployment, b: Deployment) -> bool:
    return (a.provider, a.model, a.base_url, a.api_key) == (b.provider, b.model, b.base_url, b.api_key)


def _deployments(name: str, value: Any) -> dict[str, list[Deployment]]:
    groups: dict[str, list[Deployment]] = _places_by_name(name, value)
    for model, places in groups.items():
        for i, place in enumerate(places):
            if any(_same_place(place, other) for other in places[:i]):
                raise checks.refuse(f"{name}[{model!r}][{i}]", "is there twice", "give each once, with its weight")
    return groups


_SETTINGS: dict[str, tuple[Callable[[str], Any], Any]] = {
    "default_model": (str, None),
    "default_provider": (str, None),
    "timeout_seconds": (float, None),
    "max_retries": (int, None),
    "enable_caching": (checks.boolean, True),
    "raise_on_error": (checks.boolean, False),
    "drop_unsupported": (checks.boolean, False),
    "backend": (str, "native"),
    "on_interrupt": (str, "error"),
    "hedge_after": (float, "auto"),
    "max_concurrency": (int, None),
    "cache": (str, "memory"),
    "cache_ttl": (float, 3600.0),
    "cache_namespace": (str, None),
    "ledger": (str, None),
}
"""Settings that `MULTI_LLM_<NAME>` can give: how its text is read, and the default."""


_WANTED = {float: "a number", int: "a whole number", checks.boolean: "1 or 0"}


def _setting(name: str, environ: Mapping[str, str] | None = None) -> Any:
    read, default = _SETTINGS[name]
    variable = f"MULTI_LLM_{name.upper()}"
    text = (os.environ if environ is None else environ).get(variable, "").strip()
    if not text:
        return default
    place = f"WrapperConfig.{name}, set by the environment variable {variable},"
    try:
        value = read(text)
    except ValueError:
        raise checks.refuse(place, f"is {checks.shown(text)}", f"give {_WANTED[read]}") from None
    value = WrapperConfig._checks[name](place, value)
    return FromEnvironment(value) if read is float else value


class FromEnvironment(float):
    """A number that the environment gave: what the program says goes before it."""


def _providers(name: str, value: Any) -> Any:
    checks.by_name(OpenAICompatibleConfig)(name, value)
    for provider in value:
        if provider in ROWS or provider in PROVIDER_CONFIGS:
            raise checks.refuse(name, f"has {provider!r}, a known provider", "use the field of that name")
        if "/" in provider:
            raise checks.refuse(name, f"has the name {provider!r}", "leave the slash out")
    return value


def _from_env(name: str, *, shown: bool = True) -> Any:
    return field(default_factory=lambda: _setting(name), repr=shown)


@dataclass
class WrapperConfig(_Checked):
    """The whole configuration. Give one field for each provider you use, or leave it to the environment."""

    default_model: str | None = _from_env("default_model")
    default_provider: str | None = _from_env("default_provider")
    timeout_seconds: float | None = _from_env("timeout_seconds")
    timeouts: Timeouts | None = None
    max_retries: int | None = _from_env("max_retries")
    enable_caching: bool = _from_env("enable_caching")
    raise_on_error: bool = _from_env("raise_on_error")
    drop_unsupported: bool = _from_env("drop_unsupported")
    backend: Literal["native", "litellm"] = _from_env("backend")
    fallbacks: dict[str, list[str]] = field(default_factory=dict)
    deployments: dict[str, list[Deployment]] = field(default_factory=dict)
    on_interrupt: Literal["error", "restart"] = _from_env("on_interrupt")
    hedge_after: float | Literal["auto"] | None = _from_env("hedge_after")
    max_concurrency: int | None = _from_env("max_concurrency")
    cache: str | None = _from_env("cache", shown=False)  # a URL may hold a password
    cache_ttl: float | None = _from_env("cache_ttl")
    ledger: str | None = _from_env("ledger", shown=False)
    openai: OpenAIConfig | None = None
    anthropic: AnthropicConfig | None = None
    gemini: GeminiConfig | None = None
    groq: GroqConfig | None = None
    perplexity: PerplexityConfig | None = None
    mistral: ProviderConfig | None = None
    deepseek: ProviderConfig | None = None
    xai: ProviderConfig | None = None
    moonshot: ProviderConfig | None = None
    zai: ProviderConfig | None = None
    cohere: ProviderConfig | None = None
    minimax: ProviderConfig | None = None
    dashscope: ProviderConfig | None = None
    azure: ProviderConfig | None = None
    openrouter: ProviderConfig | None = None
    vercel: ProviderConfig | None = None
    huggingface: ProviderConfig | None = None
    together: ProviderConfig | None = None
    fireworks: ProviderConfig | None = None
    cerebras: ProviderConfig | None = None
    sambanova: ProviderConfig | None = None
    nvidia: ProviderConfig | None = None
    deepinfra: ProviderConfig | None = None
    novita: ProviderConfig | None = None
    nebius: ProviderConfig | None = None
    baseten: ProviderConfig | None = None
    siliconflow: ProviderConfig | None = None
    scaleway: ProviderConfig | None = None
    ollama: ProviderConfig | None = None
    vllm: ProviderConfig | None = None
    lmstudio: ProviderConfig | None = None
    providers: dict[str, OpenAICompatibleConfig] = field(default_factory=dict)
    fallback_on: list[str] = field(default_factory=list)
    """Error classes after which the next route is asked, beside those where it is anyway."""
    balance: Literal["weighted", "least_busy", "latency"] = "weighted"
    """Which of several deployments behind one name is asked."""
    sticky_by: str | None = None
    """The tag whose value decides it instead, always the same way, so that a provider's prompt cache is warm."""
    cache_namespace: str | None = _from_env("cache_namespace")
    """Parts the answers of those who share a key: tenants, or the stages of one program."""
    prices: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Your own prices, which go before all others: "model" or "provider/model" -> `input`, `output`, `cache_read`,
    `cache_write`, `cache_write_1h`, `reasoning` in US dollars per million tokens, `request` per request. Read when the
    wrapper is built, like `ledger`."""

    _checks: ClassVar[Mapping[str, checks.Check]] = {
        "default_model": checks.token,
        "default_provider": checks.token,
        "timeout_seconds": checks.positive,
        "timeouts": checks.instance(Timeouts),
        "max_retries": checks.retries,
        "enable_caching": checks.flag,
        "raise_on_error": checks.flag,
        "drop_unsupported": checks.flag,
        "backend": checks.choice("native", "litellm"),
        "fallbacks": _fallbacks,
        "deployments": _deployments,
        "on_interrupt": checks.choice("error", "restart"),
        "hedge_after": checks.positive_or("auto"),
        "max_concurrency": checks.at_least_one,
        "cache": checks.store("cache", "memory"),
        "cache_ttl": checks.positive,
        "cache_namespace": checks.token,
        "ledger": checks.store("ledger"),
        "prices": check_prices,
        "fallback_on": checks.some_of(CLASSES),
        "balance": checks.choice("weighted", "least_busy", "latency"),
        "sticky_by": checks.token,
        **{name: checks.instance(kind) for name, kind in PROVIDER_CONFIGS.items()},
        "providers": _providers,
    }

    def __post_init__(self) -> None:
        _check_default_provider(self.default_provider, self.providers)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "default_provider" and "providers" in self.__dict__:
            _check_default_provider(value, self.providers)
        super().__setattr__(name, value)

    def check(self) -> None:
        super().check()
        _check_default_provider(self.default_provider, self.providers)

    def provider(self, name: str) -> ProviderConfig | None:
        """The configuration given for a provider, if any."""
        if name in PROVIDER_CONFIGS:
            config: ProviderConfig | None = getattr(self, name)
            return config
        return self.providers.get(name)

    def configured(self) -> dict[str, ProviderConfig]:
        """The providers that were given a configuration, in the order of the fields."""
        given = {name: config for name in PROVIDER_CONFIGS if (config := getattr(self, name)) is not None}
        return {**given, **self.providers}

    @classmethod
    def from_env(cls, dotenv: str | os.PathLike[str] | None = None) -> Self:
        """From environment variables alone, and from a `.env` file when `dotenv` names one (the environment wins).

        The process's environment is not changed. Raises `ValueError` when the file is not there or has a bad line.
        """
        environ = {**checks.dotenv(Path(dotenv)), **os.environ} if dotenv is not None else dict(os.environ)
        given = {name: _setting(name, environ) for name in _SETTINGS}
        for name, row in ROWS.items():
            key, url = first_set(environ, row.key_env), first_set(environ, row.base_url_env)
            if key or url:
                version = first_set(environ, row.version_env)
                given[name] = PROVIDER_CONFIGS[name](api_key=key, base_url=url, api_version=version)
        return cls(**given)


def first_set(environ: Mapping[str, str], variables: Iterable[str]) -> str | None:
    """The value of the first of these variables that has one; blanks around it are not part of it."""
    return next((value for name in variables if (value := environ.get(name, "").strip())), None)


def _check_default_provider(name: Any, providers: Mapping[str, Any]) -> None:
    known = sorted({*PROVIDER_CONFIGS, *providers, *ROWS})
    if name is not None and name not in known:
        hint = checks.near(name, known) if isinstance(name, str) else ""
        raise checks.refuse(
            "WrapperConfig.default_provider",
            f"is {checks.shown(name)}, which is no known provider{hint}",
            f"known are {', '.join(known)}",
        )
