"""From a model name to the place where it is asked: provider, model name there, URL, headers, key and limits."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from . import checks, dialects
from .config import (
    PROVIDER_CONFIGS,
    Changes,
    Deployment,
    FromEnvironment,
    ProviderConfig,
    Timeouts,
    WrapperConfig,
    first_set,
)
from .dialects.base import Dialect, Profile, Quirks
from .errors import AuthError, LLMError, UnsupportedFeatureError, ValidationError
from .options import Options
from .policies.gate import Gate
from .policies.health import Health
from .providers import ROWS, ProviderRow, profile_of
from .secret import Secret
from .version import __version__

NO_LIMITS = Timeouts()
MAX_KEPT = 1000
"""How many resolved targets are kept; a program asks few models, but a name can come from outside."""
_VARIABLES = frozenset(
    name for row in ROWS.values() for name in (*row.key_env, *row.base_url_env, *row.version_env)
)  # fmt: skip
"""What is read of the environment; the rest of it is not kept."""
_CHANGE_TARGET = frozenset(("api_key", "extra_headers", "timeout", "timeouts", "max_retries"))
_COMPATIBLE = ProviderRow(name="compatible", base_url="", key_required=False)


class Limits(Struct, frozen=True):
    """The time limits of one call, in seconds; `attempt` None = the time left divided by the routes left."""

    connect: float = 10.0
    first_token: float = 120.0
    idle: float = 60.0
    attempt: float | None = None
    total: float = 600.0


class Target(Struct, frozen=True):
    """One route, resolved: everything an attempt needs beside the request itself."""

    provider: str
    model: str
    dialect: Dialect
    base_url: str
    headers: dict[str, str]
    key: Secret | None
    profile: Profile
    quirks: Quirks
    refuses: frozenset[str]
    """Settings that the model or the host answers with 400."""
    limits: Limits
    max_retries: int
    health: Health
    proxy: str | None = None
    ca_file: str | None = None
    weight: float = 1.0
    gate: Gate | None = None
    """Bounds how many requests are under way there, when `max_concurrency` is set."""
    backend: str = "native"
    """What carries the requests: our own dialects and transport, or `litellm`."""

    @property
    def name(self) -> str:
        """For sticky choices and for people; no two deployments of a group share it."""
        return f"{self.provider}/{self.model} at {self.base_url} {_fingerprint(self.key)}"

    def __repr__(self) -> str:
        """Without the headers: the key is in them."""
        return f"Target({self.provider}/{self.model} at {self.base_url})"


class Router:
    """Decides by the rules of the contract which provider a model name means. A change of the configuration counts
    from the next call on; `environ` is the environment when the wrapper was built."""

    def __init__(self, config: WrapperConfig, environ: Mapping[str, str]) -> None:
        self._config = config
        self._environ = {name: value for name, value in environ.items() if name in _VARIABLES}
        self._groups: dict[str | None, tuple[Target, ...]] = {}
        self._health: dict[tuple[str, ...], Health] = {}
        self._changes = -1

    def configured(self) -> list[str]:
        """Providers with a configuration, or with a key in the environment."""
        names = list(self._config.configured())
        return names + [n for n, row in ROWS.items() if n not in names and first_set(self._environ, row.key_env)]

    def target(self, model: str | None, options: Options) -> Target:
        """Where `model` is asked; the first place, when it has several deployments."""
        return self.group(model, options)[0]

    def group(self, model: str | None, options: Options) -> tuple[Target, ...]:
        """The deployments of `model`, one for a plain model name. Raises `ValidationError` for a model that is
        nowhere, `AuthError` without a key."""
        if self._changes != Changes.count or len(self._groups) > MAX_KEPT:
            self._start_anew()
        if options and not _CHANGE_TARGET.isdisjoint(options):
            return self._resolve(model, options)
        try:
            return self._groups[model]
        except KeyError:
            group = self._groups[model] = self._resolve(model, options)
            return group
        except TypeError:  # an unhashable model: `decide` says what is wrong with it
            return self._resolve(model, options)

    def routes(self, model: str | None, options: Options) -> tuple[str | None, ...]:
        """The model names to ask one after the other: `model`, then its fallbacks. Raises `ValidationError` for one of
        the call's that is nowhere; those of the configuration were checked."""
        fallbacks = options.get("fallbacks")
        if fallbacks is not None:
            for i, fallback in enumerate(fallbacks):
                self._check_name(f"fallbacks[{i}]", fallback)
        else:
            config = self._config
            named = config.default_model if model is None else model
            fallbacks = config.fallbacks.get(named, []) if config.fallbacks and isinstance(named, str) else []
        return (model, *fallbacks)

    def check(self) -> None:
        """Every model name in the configuration is one that can be routed. Raises `ValueError` naming the field."""
        for name, fallbacks in self._config.fallbacks.items():
            for i, fallback in enumerate(fallbacks):
                try:
                    self._check_name(f"WrapperConfig.fallbacks[{name!r}][{i}]", fallback)
                except LLMError as error:
                    raise ValueError(error.message) from None
        for name, places in self._config.deployments.items():
            for i, place in enumerate(places):
                if not self._known(place.provider):
                    field = f"WrapperConfig.deployments[{name!r}][{i}].provider"
                    known = sorted({*ROWS, *PROVIDER_CONFIGS, *self._config.providers})
                    hint = checks.near(place.provider, known)
                    raise checks.refuse(field, f"is {place.provider!r}, no known provider{hint}", "use one of them")

    def _check_name(self, field: str, model: str) -> None:
        """Raises `ValidationError` when no provider has `model`."""
        if model not in self._config.deployments:
            try:
                self.decide(model)
            except LLMError as error:
                error.message = f"{field}: {error.message}"
                raise

    def health(self, now: float) -> list[dict[str, Any]]:
        """What is known of each deployment that was asked lately, or is configured."""
        for name in self._config.deployments:
            with suppress(LLMError):
                self.group(name, {})
        names = ("provider", "model", "base_url", "key")
        return [dict(zip(names, place, strict=True)) | health.view(now) for place, health in self._health.items()]

    def _start_anew(self) -> None:
        self._groups.clear()
        self._changes = -1
        try:
            self._config.check()
        except ValueError as error:
            raise ValidationError(str(error), code="invalid_config", rejected_by="client") from None
        self._changes = Changes.count

    def _resolve(self, model: str | None, options: Options) -> tuple[Target, ...]:
        places = self._deployments(model)
        if places:
            others = elsewhere(options) if options else options
            first = places[0].provider
            return tuple(
                self._place(one.provider, one.model, options if one.provider == first else others, one)
                for one in places
            )
        provider, name = self.decide(model)
        return (self._place(provider, name, options),)

    def _place(self, provider: str, name: str, options: Options, deployment: Deployment | None = None) -> Target:
        row = self._row(provider)
        given = self._config.provider(provider) or ProviderConfig()
        if deployment is not None:
            given = _of_deployment(given, deployment)
        headers = _headers(row, given, options.get("extra_headers"))
        key = self._key(row, given, options, headers)
        if key is not None:
            header, prefix = row.auth
            headers[header] = prefix + key.reveal()
        base_url = _address(self._base_url(row, given), row, name, self._version(row, given))
        profile = profile_of(name)
        health = self._known_health((provider, name, base_url, _fingerprint(key)))
        return Target(
            provider=provider,
            model=name,
            dialect=dialects.get(row.dialect),
            base_url=base_url,
            headers=headers,
            key=key,
            profile=profile,
            quirks=row.quirks,
            refuses=profile.refuses | row.quirks.refuses,
            limits=self._limits(given, options),
            max_retries=self._max_retries(given, options),
            health=health,
            proxy=given.proxy,
            ca_file=given.ca_file,
            weight=deployment.weight if deployment is not None else 1.0,
            gate=health.gate_for(self._config.max_concurrency),
            backend=given.backend or self._config.backend,
        )

    def _known_health(self, place: tuple[str, str, str, str]) -> Health:
        """The same record for the same place, however its target is resolved; the oldest idle one makes room."""
        health = self._health.get(place)
        if health is None:
            if len(self._health) >= MAX_KEPT:
                idle = next((known for known, record in self._health.items() if not record.busy), None)
                if idle is not None:
                    del self._health[idle]
            health = self._health[place] = Health()
        return health

    def named(self, model: str | None) -> tuple[str, str]:
        """(provider, model name there) of the first place where `model` is asked, whether it can be asked or not."""
        places = self._deployments(model)
        return (places[0].provider, places[0].model) if places else self.decide(model)

    def _deployments(self, model: str | None) -> list[Deployment]:
        config = self._config
        named = config.default_model if model is None else model
        return config.deployments.get(named, []) if config.deployments and isinstance(named, str) else []

    def decide(self, model: str | None) -> tuple[str, str]:
        """(provider, model name there)."""
        if self._changes != Changes.count:
            self._start_anew()
        config = self._config
        default = config.default_model
        wanted = default if model is None else model
        if wanted is None:
            raise _invalid("model is not given", 'name one, as in query(prompt, model="gpt-4o"), or set default_model')
        if not isinstance(wanted, str):
            raise _invalid(f"model is {checks.shown(wanted)}", 'give a model name such as "gpt-4o"')
        wanted = str.__str__(wanted)  # of an enum its value, which is all that can be sent
        for provider, given in config.configured().items():
            mapped = given.model_map.get(wanted)
            if mapped is not None:
                return provider, mapped
        if not wanted or any(c.isspace() for c in wanted):
            raise _invalid(f"model is {checks.shown(wanted)}", 'give a model name such as "gpt-4o"')
        head, slash, rest = wanted.partition("/")
        if slash and rest and self._known(head):
            there = config.provider(head)
            return head, there.model_map.get(rest, rest) if there is not None else rest
        for row in ROWS.values():
            if wanted.startswith(row.families):
                return row.name, wanted
        if wanted == default and config.default_provider is not None:
            return config.default_provider, wanted
        raise self._unknown(wanted)

    # --- pieces -------------------------------------------------------------------------------------------------

    def _limits(self, given: ProviderConfig, options: Options) -> Limits:
        """Precedence: call > provider > wrapper > default; at one level `timeout` beats `timeouts.total`."""
        config = self._config
        call, wrapper = options.get("timeouts") or NO_LIMITS, config.timeouts or NO_LIMITS
        seconds = config.timeout_seconds
        if isinstance(seconds, FromEnvironment):
            seconds = wrapper.total or seconds
        total = options.get("timeout") or call.total or given.timeout_seconds or seconds or wrapper.total
        return Limits(
            connect=call.connect or wrapper.connect or 10.0,
            first_token=call.first_token or wrapper.first_token or 120.0,
            idle=call.idle or wrapper.idle or 60.0,
            attempt=call.attempt or wrapper.attempt,
            total=total or 600.0,
        )

    def _max_retries(self, given: ProviderConfig, options: Options) -> int:
        for value in (options.get("max_retries"), given.max_retries, self._config.max_retries):
            if value is not None:
                return value
        return 2

    def _known(self, name: str) -> bool:
        return name in ROWS or name in PROVIDER_CONFIGS or name in self._config.providers

    def _row(self, provider: str) -> ProviderRow:
        row = ROWS.get(provider)
        if row is not None:
            return row
        if provider in self._config.providers:
            return _COMPATIBLE
        raise UnsupportedFeatureError(
            f"{provider} retired its chat-completions API; its new one comes with the Responses dialect, which is not "
            "there yet. Reach the model through another provider, such as openrouter.",
            code="provider",
            rejected_by="client",
        )

    def _key(self, row: ProviderRow, given: ProviderConfig, options: Options, headers: dict[str, str]) -> Secret | None:
        called, header = options.get("api_key"), row.auth[0]
        if called:
            return called if isinstance(called, Secret) else Secret(called)
        if any(name.lower() == header for name in options.get("extra_headers") or ()):
            return None
        if given.api_key:
            return given.api_key if isinstance(given.api_key, Secret) else Secret(given.api_key)
        if header in headers:
            return None
        found = first_set(self._environ, row.key_env)
        if found:
            try:
                return checks.key(f"The environment variable {' or '.join(row.key_env)}", found)
            except ValueError as error:
                raise AuthError(str(error), code="bad_key", rejected_by="client") from None
        if row.key_required:
            variables = " or ".join(row.key_env)
            raise AuthError(
                f"There is no API key for {row.name}; set {variables} in the environment or give "
                f"WrapperConfig({row.name}={PROVIDER_CONFIGS[row.name].__name__}(api_key=...)).",
                code="missing_key",
                rejected_by="client",
            )
        return None

    def _base_url(self, row: ProviderRow, given: ProviderConfig) -> str:
        if given.base_url is not None:
            return given.base_url
        found = first_set(self._environ, row.base_url_env)
        if found is None and row.own_address:
            raise _invalid(
                f"{row.name} is asked at an address of your own, and none is given",
                f"set {' or '.join(row.base_url_env)} in the environment or give WrapperConfig({row.name}="
                f'{PROVIDER_CONFIGS[row.name].__name__}(base_url="{row.base_url}"))',
                code="missing_base_url",
            )
        if found is None:
            return row.base_url
        try:
            return str(checks.url(f"The environment variable {' or '.join(row.base_url_env)}", found))
        except ValueError as error:
            raise ValidationError(str(error), code="invalid_input", rejected_by="client") from None

    def _version(self, row: ProviderRow, given: ProviderConfig) -> str | None:
        return given.api_version or first_set(self._environ, row.version_env) or row.version

    def _unknown(self, model: str) -> ValidationError:
        maps = [name for given in self._config.configured().values() for name in given.model_map]
        families = [family.rstrip("-") for row in ROWS.values() for family in row.families]
        names = [*ROWS, *self._config.providers]
        hint = (
            checks.near(model, maps)
            or checks.near(model.partition("/")[0], names)
            or checks.near(model.partition("-")[0], families)
        )
        return _invalid(
            f"model {checks.shown(model)} belongs to no known provider{hint}",
            f"write {checks.shown(f'provider/{model}')} with one of {', '.join(sorted(names))}, "
            "or put the name into a model_map",
        )


_VERSION = re.compile(r"(?<!/)/v\d[a-z0-9]*$")


@lru_cache(maxsize=MAX_KEPT)
def join_url(base: str, path: str) -> str:
    """`base` + `path`, and the query of `base` at the end; when both name a version ("/v1", "/v1beta"), that of `base`
    counts."""
    base, mark, query = base.partition("?")
    if path.startswith("/v1") and _VERSION.search(base):
        path = path[path.index("/", 1) :]
    return base + path + mark + query


def _address(base: str, row: ProviderRow, model: str, version: str | None) -> str:
    """What stands before the path of the dialect: `base`, and what the row has behind it for this model and version."""
    if row.version_in_url and version:
        return f"{_VERSION.sub('', base)}/{version}"
    if row.deployments and not _VERSION.search(base):
        behind = row.deployments.format(model=quote(model, safe=""), version=quote(version or "", safe=""))
        return base.removesuffix(behind[: behind.index("/", 1)]) + behind
    return base


def _of_deployment(given: ProviderConfig, deployment: Deployment) -> ProviderConfig:
    """The provider's configuration with what the deployment says otherwise."""
    return replace(given, api_key=deployment.api_key or given.api_key, base_url=deployment.base_url or given.base_url)


def elsewhere(options: Options) -> Options:
    """The options of a call as they are for another provider than the one asked: the key is not its business."""
    rest = options.copy()
    rest.pop("api_key", None)
    headers = rest.get("extra_headers")
    if headers:
        rest["extra_headers"] = {name: value for name, value in headers.items() if name.lower() not in _KEY_HEADERS}
    return rest


_KEY_HEADERS = frozenset(("authorization", *(row.auth[0].lower() for row in ROWS.values())))


def _fingerprint(key: Secret | None) -> str:
    """Tells keys apart without telling them."""
    return hashlib.blake2b(key.reveal().encode(), digest_size=4).hexdigest() if key is not None else ""


def _headers(row: ProviderRow, given: ProviderConfig, extra: Mapping[str, str] | None) -> dict[str, str]:
    headers = {"content-type": "application/json", "user-agent": _USER_AGENT, **row.headers}
    if given.api_version is not None and row.version_header is not None:
        headers[row.version_header] = given.api_version
    organization = getattr(given, "organization_id", None)
    if organization:
        headers["openai-organization"] = organization
    project = getattr(given, "project_id", None)
    if project:
        headers["openai-project"] = project
    for more in (given.headers, extra):
        if more:
            headers.update((name.lower(), value) for name, value in more.items())
    return headers


_USER_AGENT = f"multi-llm-wrapper/{__version__}"


def _invalid(problem: str, remedy: str, code: str = "invalid_model") -> ValidationError:
    return ValidationError(f"{problem}; {remedy}.", code=code, rejected_by="client")
