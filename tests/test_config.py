"""The configuration: checked at every assignment, copied deeply, and filled from the environment where it is silent."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multi_llm_wrapper import (
    AnthropicConfig,
    Deployment,
    GeminiConfig,
    GroqConfig,
    LLMWrapper,
    OpenAICompatibleConfig,
    OpenAIConfig,
    PerplexityConfig,
    ProviderConfig,
    Timeouts,
    WrapperConfig,
)
from multi_llm_wrapper.config import PROVIDER_CONFIGS, Changes, FromEnvironment
from multi_llm_wrapper.providers import ROWS
from multi_llm_wrapper.secret import Secret

LOCAL = "http://localhost:8000/v1"

# --- the fields the contract names --------------------------------------------------------------------------------

PROVIDER_FIELDS = [
    "api_key", "base_url", "model_map", "timeout_seconds", "max_retries", "headers", "proxy", "ca_file", "api_version",
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ProviderConfig, PROVIDER_FIELDS),
        (OpenAIConfig, [*PROVIDER_FIELDS, "organization_id", "project_id"]),
        (AnthropicConfig, PROVIDER_FIELDS),
        (GeminiConfig, PROVIDER_FIELDS),
        (GroqConfig, PROVIDER_FIELDS),
        (PerplexityConfig, PROVIDER_FIELDS),
        (OpenAICompatibleConfig, PROVIDER_FIELDS),
        (Timeouts, ["connect", "first_token", "idle", "attempt", "total"]),
        (
            WrapperConfig,
            [
                "default_model", "default_provider", "timeout_seconds", "timeouts", "max_retries", "enable_caching",
                "raise_on_error", "drop_unsupported", "backend", "fallbacks", "deployments", "on_interrupt",
                "hedge_after", "max_concurrency", "cache", "cache_ttl", "ledger", "openai", "anthropic", "gemini",
                "groq", "perplexity", *list(PROVIDER_CONFIGS)[5:], "providers",
            ],
        ),
    ],
)  # fmt: skip
def test_fields_come_in_the_order_of_the_contract(kind: type[Any], expected: list[str]) -> None:
    """Positional arguments mean what the contract says."""
    names = [field.name for field in dataclasses.fields(kind) if not field.kw_only]

    assert expected == names[: len(expected)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("default_model", None), ("default_provider", None), ("timeout_seconds", None), ("timeouts", None),
        ("max_retries", None), ("enable_caching", True), ("raise_on_error", False), ("drop_unsupported", False),
        ("backend", "native"), ("fallbacks", {}), ("deployments", {}), ("on_interrupt", "error"),
        ("hedge_after", "auto"), ("max_concurrency", None), ("cache", "memory"), ("cache_ttl", 3600.0),
        ("ledger", None), ("openai", None), ("providers", {}),
    ],
)  # fmt: skip
def test_defaults(name: str, expected: Any) -> None:
    """What is not given has the contract's default."""
    assert expected == getattr(WrapperConfig(), name)


def test_each_known_provider_has_a_field() -> None:
    """Every row of the provider table can be configured by a field of its name."""
    fields = {field.name for field in dataclasses.fields(WrapperConfig)}

    assert set(ROWS) <= set(PROVIDER_CONFIGS) <= fields


def test_a_key_is_wrapped_and_still_compares() -> None:
    """The key given as text is held as a Secret that equals it."""
    config = OpenAIConfig(api_key="sk-1")

    assert isinstance(config.api_key, Secret)
    assert "sk-1" == config.api_key
    assert OpenAIConfig("sk-1") == config
    assert OpenAIConfig("sk-2") != config


# --- bad values -------------------------------------------------------------------------------------------------

BAD: list[tuple[type[Any], str, list[Any]]] = [
    (ProviderConfig, "api_key", ["a key", "key\n", "k\u00e9y", 5]),
    (ProviderConfig, "base_url", ["api.example.com", "ftp://example.com", "", 5, "https://example.com?a=b"]),
    (ProviderConfig, "model_map", [[], {"a": 1}, {"": "a"}, None]),
    (ProviderConfig, "timeout_seconds", [0, -1, "5", True, float("nan")]),
    (ProviderConfig, "max_retries", [-1, 1.5, 101, True]),
    (ProviderConfig, "headers", [{"a b": "c"}, {"a": "b\nc"}, {"a": 5}, [], None]),
    (ProviderConfig, "proxy", ["proxy:80", 5]),
    (ProviderConfig, "ca_file", ["/no/such/file", 5]),
    (ProviderConfig, "api_version", ["a b", "", 5]),
    (OpenAIConfig, "organization_id", ["a\nb", ""]),
    (OpenAIConfig, "project_id", ["a b", 5]),
    (OpenAIConfig, "api_key", ["a\nb"]),
    *((Timeouts, name, [0, -1, "1", False]) for name in ("connect", "first_token", "idle", "attempt", "total")),
    (WrapperConfig, "default_model", ["", "a b", 5]),
    (WrapperConfig, "default_provider", ["opnai", "", 5]),
    (WrapperConfig, "timeout_seconds", [-1, float("inf")]),
    (WrapperConfig, "timeouts", [5, {"total": 5}]),
    (WrapperConfig, "max_retries", [101, True]),
    (WrapperConfig, "enable_caching", [1, "yes", None]),
    (WrapperConfig, "raise_on_error", [0, None]),
    (WrapperConfig, "drop_unsupported", ["no", None]),
    (WrapperConfig, "backend", ["other", None]),
    (WrapperConfig, "fallbacks", [["a"], {"a": "b"}, {"a": []}, None]),
    (WrapperConfig, "deployments", [{"a": "b"}, {"a": ["b"]}, {"a": []}, None]),
    (WrapperConfig, "on_interrupt", ["stop", None]),
    (WrapperConfig, "hedge_after", [0, "1"]),
    (WrapperConfig, "max_concurrency", [0, 1.5]),
    (WrapperConfig, "cache", ["disk", 5, ""]),
    (WrapperConfig, "cache_ttl", [0, -1]),
    (WrapperConfig, "ledger", ["x", True]),
    (WrapperConfig, "openai", [{}, AnthropicConfig()]),
    (WrapperConfig, "anthropic", ["key"]),
    (WrapperConfig, "gemini", [ProviderConfig()]),
    (WrapperConfig, "groq", [5]),
    (WrapperConfig, "perplexity", [[]]),
    (WrapperConfig, "providers", [[], {"local": {}}, {"local": OpenAIConfig()}, None]),
    *(
        (WrapperConfig, "providers", [{name: OpenAICompatibleConfig(base_url=LOCAL)}])
        for name in ("openai", "perplexity", "a/b", "", "a b")
    ),
    (Deployment, "provider", ["", "a b", None]),
    (Deployment, "model", ["a b", 5]),
    (Deployment, "api_key", ["a b"]),
    (Deployment, "base_url", ["x"]),
    (Deployment, "weight", [0, -1, None]),
]
CASES = [
    pytest.param(kind, name, value, id=f"{kind.__name__}.{name}={value!r}")
    for kind, name, values in BAD
    for value in values
]
NEEDED: dict[type[Any], dict[str, Any]] = {Deployment: {"provider": "openai", "model": "m"}}


@pytest.mark.parametrize(("kind", "name", "value"), CASES)
def test_a_bad_value_is_refused_when_built(kind: type[Any], name: str, value: Any) -> None:
    """A bad configuration is a ValueError that names class and field and says what to give."""
    with pytest.raises(ValueError, match=rf"^{kind.__name__}\.{name}\b.*; .+\.$"):
        kind(**{**NEEDED.get(kind, {}), name: value})


@pytest.mark.parametrize(("kind", "name", "value"), CASES)
def test_a_bad_value_is_refused_later(kind: type[Any], name: str, value: Any) -> None:
    """Assigned after building, the same value is refused the same way and changes nothing."""
    config = kind(**NEEDED.get(kind, {}))
    before = getattr(config, name)

    with pytest.raises(ValueError, match=rf"^{kind.__name__}\.{name}\b.*; .+\.$"):
        setattr(config, name, value)
    assert before is getattr(config, name)


def test_a_compatible_host_needs_its_url() -> None:
    """Without a URL there is no host to ask; that is said when it is built, and when it is taken away."""
    with pytest.raises(ValueError, match=r"^OpenAICompatibleConfig\.base_url is missing; give the URL"):
        OpenAICompatibleConfig(api_key="k")
    config = OpenAICompatibleConfig(base_url=LOCAL)
    with pytest.raises(ValueError, match=r"^OpenAICompatibleConfig\.base_url is missing; give the URL"):
        config.base_url = None
    assert LOCAL == config.base_url


@pytest.mark.parametrize(
    "name", ["api_key", "base_url", "timeout_seconds", "max_retries", "proxy", "ca_file", "api_version"]
)
def test_none_means_inherit(name: str) -> None:
    """A setting that may be absent can be taken back by None."""
    config = OpenAIConfig("k", "https://x.example.com", timeout_seconds=1, max_retries=1, proxy="", api_version="1")

    setattr(config, name, None)

    assert getattr(config, name) is None


def test_near_names_are_offered_for_the_default_provider() -> None:
    """A provider that is nowhere known is refused with what is near and what is known."""
    with pytest.raises(
        ValueError, match=r"'antropic', which is no known provider \(did you mean 'anthropic'\?\); known are"
    ):
        WrapperConfig(default_provider="antropic")


def test_the_default_provider_may_be_one_of_ours() -> None:
    """A host given under `providers` counts as known, at once or later, and not once it is gone."""
    config = WrapperConfig(default_provider="local", providers={"local": OpenAICompatibleConfig(base_url=LOCAL)})
    config.default_provider = "openai"
    config.default_provider = "local"

    config.check()
    config.providers = {}
    with pytest.raises(ValueError, match=r"^WrapperConfig\.default_provider is 'local'"):
        config.check()


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda c: c.openai.headers.update({"a": "b\nc"}), "OpenAIConfig.headers"),
        (lambda c: c.openai.model_map.setdefault("a", 5), "OpenAIConfig.model_map"),
        (lambda c: c.providers["local"].headers.update({"a b": "c"}), "OpenAICompatibleConfig.headers"),
        (lambda c: c.providers.update(other="text"), "WrapperConfig.providers['other']"),
        (lambda c: c.fallbacks.update(a="b"), "WrapperConfig.fallbacks['a']"),
    ],
)
def test_check_finds_what_went_wrong_inside_a_dict(spoil: Callable[[WrapperConfig], None], field: str) -> None:
    """A bad value put into a dict, which no assignment saw, is found and named."""
    config = WrapperConfig(openai=OpenAIConfig(), providers={"local": OpenAICompatibleConfig(base_url=LOCAL)})
    config.check()

    spoil(config)

    with pytest.raises(ValueError, match=r".*; .+\.$") as caught:
        config.check()
    assert str(caught.value).startswith(field)


def test_what_is_no_field_is_left_alone() -> None:
    """A configuration is a plain object: it can carry a note of its owner's, which nothing checks."""
    config: Any = WrapperConfig()
    config.note = None

    assert config.note is None
    assert WrapperConfig() == config


# --- copies and changes -----------------------------------------------------------------------------------------


def full() -> WrapperConfig:
    return WrapperConfig(
        timeouts=Timeouts(total=5),
        openai=OpenAIConfig("k", model_map={"fast": "gpt-4o-mini"}, headers={"x-a": "b"}),
        providers={"local": OpenAICompatibleConfig(base_url=LOCAL)},
        fallbacks={"a": ["b"]},
        deployments={"a": [Deployment("openai", "m")]},
    )


COPIES: dict[str, Callable[[Any], Any]] = {"copy()": lambda config: config.copy(), "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_deep(how: str) -> None:
    """A copy equals the original and shares nothing that can change with it."""
    original, twin = full(), COPIES[how](full())
    assert original == twin
    twin = COPIES[how](original)
    assert twin.timeouts is not None
    assert twin.openai is not None

    twin.timeouts.total = 1
    twin.openai.model_map["fast"] = "other"
    twin.openai.headers["x-c"] = "d"
    twin.openai.api_key = "other"
    twin.providers["new"] = OpenAICompatibleConfig(base_url=LOCAL)
    twin.fallbacks["a"].append("c")
    twin.deployments["a"][0].weight = 9

    assert full() == original
    assert type(original) is type(twin)


def test_a_copy_counts_its_changes_too() -> None:
    """Dicts in a copy are watched like those in the original."""
    twin = full().copy()
    before = Changes.count

    twin.providers["local"].model_map["a"] = "b"

    assert before < Changes.count


def test_replace_makes_a_new_configuration() -> None:
    """`dataclasses.replace` checks and keeps what was not named."""
    config = dataclasses.replace(full(), default_model="gpt-4o")

    assert "gpt-4o" == config.default_model
    assert full().openai == config.openai
    with pytest.raises(ValueError, match=r"^WrapperConfig\.max_retries"):
        dataclasses.replace(full(), max_retries=-1)


def test_a_configuration_without_key_can_be_pickled() -> None:
    """What holds no key travels to another process and back."""
    config = WrapperConfig(openai=OpenAIConfig(model_map={"a": "b"}), timeouts=Timeouts(idle=3))

    assert config == pickle.loads(pickle.dumps(config))


CHANGES: dict[str, Callable[[Any], Any]] = {
    "field": lambda c: setattr(c, "default_model", "gpt-4o"),
    "field of a provider": lambda c: setattr(c.openai, "api_key", "k2"),
    "field of the timeouts": lambda c: setattr(c.timeouts, "total", 9),
    "field of a compatible host": lambda c: setattr(c.providers["local"], "base_url", "http://localhost:9/v1"),
    "item set": lambda c: c.openai.model_map.__setitem__("a", "b"),
    "item deleted": lambda c: c.openai.model_map.__delitem__("fast"),
    "update": lambda c: c.openai.headers.update({"x": "y"}),
    "setdefault": lambda c: c.openai.headers.setdefault("x", "y"),
    "pop": lambda c: c.openai.headers.pop("x-a"),
    "popitem": lambda c: c.openai.headers.popitem(),
    "clear": lambda c: c.openai.model_map.clear(),
    "or": lambda c: c.providers.__ior__({"b": OpenAICompatibleConfig(base_url=LOCAL)}),
    "or by name": lambda c: setattr(c, "fallbacks", c.fallbacks | {"x": ["y"]}),
    "provider removed": lambda c: setattr(c, "openai", None),
}


@pytest.mark.parametrize("how", CHANGES)
def test_every_change_is_counted(how: str) -> None:
    """An assignment and every way of changing a dict count as a change of the configuration."""
    config = full()
    state = copy.deepcopy(config)  # which fills dicts, and counts
    before = Changes.count
    CHANGES[how](config)

    assert before < Changes.count
    assert state != config


def test_building_counts_no_change() -> None:
    """A new configuration changes none that exists, so what was derived from those stays valid."""
    before = Changes.count
    full()

    assert before == Changes.count


def test_a_dict_of_ones_own_is_copied_in() -> None:
    """The caller's dict, of whatever kind, is not watched and not changed; the one in the configuration is."""

    class Mine(dict[str, str]):
        pass

    mine = Mine(a="b")
    config = OpenAIConfig(headers=mine)
    before = Changes.count
    config.headers["c"] = "d"

    assert {"a": "b"} == mine
    assert before < Changes.count


# --- the environment --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("default_model", "gpt-4o", "gpt-4o"), ("default_provider", "groq", "groq"), ("timeout_seconds", "2.5", 2.5),
        ("max_retries", "0", 0), ("enable_caching", "0", False), ("raise_on_error", "true", True),
        ("drop_unsupported", "ON", True), ("backend", "litellm", "litellm"), ("on_interrupt", "restart", "restart"),
        ("hedge_after", "3", 3.0), ("max_concurrency", "7", 7), ("cache", "sqlite:///c.db", "sqlite:///c.db"),
        ("cache_ttl", "60", 60.0), ("ledger", "sqlite:///l.db", "sqlite:///l.db"),
        ("default_model", " gpt-4o\n", "gpt-4o"),
        ("max_retries", "", None), ("enable_caching", "  ", True),
    ],
)  # fmt: skip
def test_settings_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: Any
) -> None:
    """A setting that is not given is that of its MULTI_LLM variable; an empty variable says nothing."""
    monkeypatch.setenv(f"MULTI_LLM_{name.upper()}", text)

    assert expected == getattr(WrapperConfig(), name)
    assert expected == getattr(WrapperConfig.from_env(), name)


@pytest.mark.parametrize(
    ("name", "text", "given"),
    [
        ("default_model", "gpt-4o", "gpt-5"), ("timeout_seconds", "2.5", 9.0), ("max_retries", "1", 5),
        ("enable_caching", "0", True), ("cache", "redis://x", "memory"), ("max_retries", "nonsense", 5),
    ],
)  # fmt: skip
def test_what_is_given_beats_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, text: str, given: Any) -> None:
    """A setting given in the program wins, and its variable is not even read."""
    monkeypatch.setenv(f"MULTI_LLM_{name.upper()}", text)
    config: WrapperConfig = WrapperConfig(**{name: given})

    assert given == getattr(config, name)


@pytest.mark.parametrize(
    ("name", "text", "remedy"),
    [
        ("timeout_seconds", "soon", "give a number"), ("timeout_seconds", "-1", "give a number greater than 0"),
        ("timeout_seconds", "nan", "give a number greater than 0"), ("max_retries", "2.5", "give a whole number"),
        ("max_retries", "1000", "from 0 to 100"), ("max_concurrency", "0", "at least 1"),
        ("enable_caching", "maybe", "give 1 or 0"), ("backend", "other", "use 'native' or 'litellm'"),
        ("on_interrupt", "stop", "use 'error' or 'restart'"), ("default_model", "a b", "without spaces"),
        ("cache", "disk", "use 'memory' or a URL"), ("cache_ttl", "0", "greater than 0"),
    ],
)  # fmt: skip
def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, text: str, remedy: str) -> None:
    """A variable that cannot be used is a ValueError naming field, variable and remedy."""
    monkeypatch.setenv(f"MULTI_LLM_{name.upper()}", text)

    with pytest.raises(
        ValueError, match=rf"^WrapperConfig\.{name}, set by .* MULTI_LLM_{name.upper()}, .*{remedy}.*\.$"
    ):
        WrapperConfig()


def test_a_bad_default_provider_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown provider in the environment is refused as one in the program."""
    monkeypatch.setenv("MULTI_LLM_DEFAULT_PROVIDER", "nobody")

    with pytest.raises(ValueError, match=r"^WrapperConfig\.default_provider is 'nobody'"):
        WrapperConfig()


def test_a_time_from_the_environment_is_known_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """The origin survives a copy, since what the program says goes before the environment."""
    monkeypatch.setenv("MULTI_LLM_TIMEOUT_SECONDS", "5")

    assert isinstance(WrapperConfig().copy().timeout_seconds, FromEnvironment)
    assert not isinstance(WrapperConfig(timeout_seconds=5).timeout_seconds, FromEnvironment)


def test_keys_come_from_the_vendors_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_env` takes keys and base URLs, without the blanks around them; who has neither is not configured."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1\n")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.example.com/v1")
    monkeypatch.setenv("GOOGLE_API_KEY", "g-1")
    monkeypatch.setenv("GEMINI_API_KEY", "  ")
    monkeypatch.setenv("GROQ_BASE_URL", "https://groq.example.com/v1")
    config = WrapperConfig.from_env()

    assert OpenAIConfig("sk-1", "https://proxy.example.com/v1") == config.openai
    assert GeminiConfig("g-1") == config.gemini
    assert GroqConfig(base_url="https://groq.example.com/v1") == config.groq
    assert config.anthropic is None
    assert ["openai", "gemini", "groq"] == list(config.configured())


def test_a_bad_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that cannot be sent is refused by `from_env`, without showing it."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary 1")

    with pytest.raises(ValueError, match=r"^OpenAIConfig\.api_key has a space") as caught:
        WrapperConfig.from_env()
    assert "canary" not in str(caught.value)


def test_a_dotenv_file_is_read_only_when_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file counts where it is named and after the environment, which stays as it is."""
    file = tmp_path / ".env"
    file.write_text(
        "OPENAI_API_KEY=from-file\nANTHROPIC_API_KEY='a-1'\nMULTI_LLM_MAX_RETRIES=7\nMULTI_LLM_CACHE_TTL=5\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "from-shell")
    monkeypatch.setenv("MULTI_LLM_CACHE_TTL", "9")
    before = dict(os.environ)

    config = WrapperConfig.from_env(dotenv=str(file))

    assert OpenAIConfig("from-shell") == config.openai
    assert AnthropicConfig("a-1") == config.anthropic
    assert (7, 9.0) == (config.max_retries, config.cache_ttl)
    assert before == dict(os.environ)
    assert config == WrapperConfig.from_env(dotenv=file)
    assert (None, None) == (WrapperConfig.from_env().anthropic, WrapperConfig().max_retries)


def test_a_base_url_of_a_dotenv_file_counts_without_a_key(tmp_path: Path) -> None:
    """A base URL in the file is kept, so that a key given with the call goes there."""
    file = tmp_path / ".env"
    file.write_text("OPENAI_BASE_URL=https://proxy.example.com/v1")

    assert OpenAIConfig(base_url="https://proxy.example.com/v1") == WrapperConfig.from_env(file).openai


def test_a_missing_dotenv_file_is_an_error(tmp_path: Path) -> None:
    """Naming a file that is not there is a ValueError."""
    with pytest.raises(ValueError, match=r"^dotenv: .*; give the path of a \.env file"):
        WrapperConfig.from_env(dotenv=tmp_path / "none")


# --- lookups ----------------------------------------------------------------------------------------------------


def test_configured_providers_in_order() -> None:
    """Who was given a configuration, known ones first, each found by name."""
    config = WrapperConfig(
        groq=GroqConfig(), openai=OpenAIConfig(), providers={"local": OpenAICompatibleConfig(base_url=LOCAL)}
    )

    assert ["openai", "groq", "local"] == list(config.configured())
    assert [config.openai, config.providers["local"], None, None] == [
        config.provider(name) for name in ("openai", "local", "gemini", "nobody")
    ]


@pytest.mark.parametrize("config", [None, WrapperConfig(), OpenAIConfig("k"), PerplexityConfig()])
def test_a_wrapper_takes_any_of_the_configurations(config: Any) -> None:
    """None, a wrapper's and a provider's configuration will do; the wrapper's is public and the very same."""
    wrapper = LLMWrapper(config)

    assert isinstance(wrapper.config, WrapperConfig)
    if isinstance(config, WrapperConfig):
        assert config is wrapper.config
