"""From a model's name to the place where it is asked: the rules of the contract, in their order."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_llm_wrapper import (
    AnthropicConfig,
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
from multi_llm_wrapper.config import PROVIDER_CONFIGS
from multi_llm_wrapper.errors import AuthError, LLMError, UnsupportedFeatureError, ValidationError
from multi_llm_wrapper.options import Options
from multi_llm_wrapper.providers import ROWS, profile_of
from multi_llm_wrapper.routing import MAX_KEPT, Limits, Router, Target, join_url
from multi_llm_wrapper.secret import Secret
from multi_llm_wrapper.version import __version__

LOCAL = "http://localhost:8000/v1"
KEYS = {"OPENAI_API_KEY": "sk-env", "ANTHROPIC_API_KEY": "a-env", "GEMINI_API_KEY": "g-env", "GROQ_API_KEY": "q-env"}


def local() -> dict[str, OpenAICompatibleConfig]:
    return {"local": OpenAICompatibleConfig(base_url=LOCAL)}


def router(config: WrapperConfig | None = None, environ: Mapping[str, str] = KEYS) -> Router:
    return Router(config or WrapperConfig(), environ)


def target(
    config: WrapperConfig | None = None, model: Any = "gpt-4o", environ: Any = KEYS, **options: Unpack[Options]
) -> Target:
    return router(config, environ).target(model, options)


# --- which provider ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4o", ("openai", "gpt-4o")),
        ("gpt-5.2-chat-latest", ("openai", "gpt-5.2-chat-latest")),
        ("chatgpt-4o-latest", ("openai", "chatgpt-4o-latest")),
        ("o1", ("openai", "o1")),
        ("o3-mini", ("openai", "o3-mini")),
        ("o4-mini", ("openai", "o4-mini")),
        ("claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
        ("gemini-2.5-flash", ("gemini", "gemini-2.5-flash")),
        ("openai/gpt-4o", ("openai", "gpt-4o")),
        ("groq/openai/gpt-oss-120b", ("groq", "openai/gpt-oss-120b")),
        ("groq/llama-3.3-70b-versatile", ("groq", "llama-3.3-70b-versatile")),
        ("gemini/claude-x", ("gemini", "claude-x")),
        ("local/anything/at-all:free", ("local", "anything/at-all:free")),
        ("anthropic/gpt-4o", ("anthropic", "gpt-4o")),
    ],
)
def test_the_name_decides(model: str, expected: tuple[str, str]) -> None:
    """A known provider as the first path segment is taken off and decides; else the family does."""
    assert expected == router(WrapperConfig(providers=local())).decide(model)


def test_an_exact_key_of_a_model_map_goes_first() -> None:
    """A mapped name beats the path and the family it looks like, also with spaces in it."""
    config = WrapperConfig(
        anthropic=AnthropicConfig(
            model_map={"gpt-4o": "claude-sonnet-4-5", "groq/x": "claude-opus-5", "my fast one": "c"}
        ),
        providers=local(),
    )
    decide = router(config).decide

    assert ("anthropic", "claude-sonnet-4-5") == decide("gpt-4o")
    assert ("anthropic", "claude-opus-5") == decide("groq/x")
    assert ("anthropic", "c") == decide("my fast one")
    assert ("openai", "gpt-4o-mini") == decide("gpt-4o-mini")


def test_of_two_maps_the_first_field_counts() -> None:
    """The order of the fields decides between maps that know the same name."""
    config = WrapperConfig(
        groq=GroqConfig(model_map={"fast": "g"}),
        openai=OpenAIConfig(model_map={"fast": "o"}),
        providers={"local": OpenAICompatibleConfig(base_url=LOCAL, model_map={"fast": "l", "own": "l2"})},
    )

    assert ("openai", "o") == router(config).decide("fast")
    assert ("local", "l2") == router(config).decide("own")


def test_a_map_counts_behind_the_provider_too() -> None:
    """`provider/name` goes through that provider's own map."""
    config = WrapperConfig(openai=OpenAIConfig(model_map={"fast": "o"}), groq=GroqConfig(model_map={"fast": "g"}))

    assert ("groq", "g") == router(config).decide("groq/fast")
    assert ("groq", "slow") == router(config).decide("groq/slow")


def test_the_default_model_is_used_when_none_is_given() -> None:
    """It goes by the same rules as a name that was given."""
    assert ("anthropic", "claude-opus-5") == router(WrapperConfig(default_model="claude-opus-5")).decide(None)
    assert ("groq", "x") == router(WrapperConfig(default_model="groq/x", default_provider="openai")).decide(None)


def test_the_default_provider_decides_for_the_default_model_alone() -> None:
    """And only when no other rule does."""
    config = WrapperConfig(default_model="my-model", default_provider="local", providers=local())

    assert ("local", "my-model") == router(config).decide(None)
    assert ("local", "my-model") == router(config).decide("my-model")
    assert ("openai", "gpt-4o") == router(config).decide("gpt-4o")
    with pytest.raises(ValidationError, match="'other-model' belongs to no known provider"):
        router(config).decide("other-model")


@pytest.mark.parametrize(
    ("model", "near"),
    [
        ("gtp-4o", "did you mean 'gpt'?"),
        ("opnai/gpt-4o", "did you mean 'openai'?"),
        ("cluade-sonnet", "did you mean 'claude'?"),
        ("locl/x", "did you mean 'local'?"),
        ("fst-model", "did you mean 'fast-model'?"),
        ("zzzzzzzz", ""),
    ],
)
def test_an_unknown_name_is_refused_with_near_matches(model: str, near: str) -> None:
    """The message names the model, what is near, and how to say where it lives."""
    config = WrapperConfig(openai=OpenAIConfig("k", model_map={"fast-model": "gpt-4o-mini"}), providers=local())
    with pytest.raises(ValidationError, match="belongs to no known provider") as caught:
        router(config).decide(model)
    text = caught.value.message

    assert text.startswith(f"model {model!r} belongs to no known provider")
    assert near in text
    assert ("did you mean" in text) is bool(near)
    assert f"write 'provider/{model}' with one of " in text
    assert all(f" {name}, " in text for name in ("anthropic", "gemini", "groq", "local", "openai"))
    assert text.endswith(" or put the name into a model_map.")
    assert ("invalid_model", "client") == (caught.value.code, caught.value.rejected_by)


@pytest.mark.parametrize(
    "model", ["", " ", "gpt 4o", "gpt-4o\n", "\t", 5, True, 1.5, b"gpt-4o", [], {}, ["gpt-4o"], object()]
)
def test_what_is_no_name_is_refused(model: Any) -> None:
    """Empty names, white space and other types are a validation error, whether or not they can be looked up."""
    with pytest.raises(ValidationError, match=r"^model is .*; give a model name such as \"gpt-4o\"\.$"):
        target(model=model)


def test_no_model_at_all() -> None:
    """Without a model and a default one, the message says how to give either."""
    with pytest.raises(ValidationError, match=r"^model is not given; name one, .*, or set default_model\.$"):
        target(model=None)


def test_an_enum_is_a_name() -> None:
    """An enum of texts means its value, which is what is sent."""

    class Model(enum.StrEnum):
        SMALL = "openai/gpt-4o-mini"

    found = target(model=Model.SMALL)

    assert "gpt-4o-mini" == found.model
    assert str is type(target(WrapperConfig(), type("Name", (str,), {})("gpt-4o")).model)
    assert "openai" == found.provider


def test_a_very_long_name_makes_a_short_message() -> None:
    """What is not known is shown shortened."""
    with pytest.raises(ValidationError) as caught:
        target(model="x" * 1_000_000)

    assert len(caught.value.message) < 600


@given(
    st.text(alphabet=st.characters(codec=None), max_size=12) | st.sampled_from(["gpt-", "o1/", "groq/", "local/x/y"])
)
def test_any_name_is_decided_or_refused(model: str) -> None:
    """Whatever the text, there is a provider that is known and a name without white space, or a validation error."""
    try:
        provider, name = router(WrapperConfig(providers=local())).decide(model)
    except ValidationError:
        return

    assert provider in {*ROWS, "perplexity", "local"}
    assert name
    assert [name] == name.split()
    assert model.endswith(name)


def test_perplexity_is_refused_for_what_it_is() -> None:
    """Its old API is gone; the answer is an unsupported feature, with another way."""
    for config in (WrapperConfig(), WrapperConfig(perplexity=PerplexityConfig("k"))):
        with pytest.raises(UnsupportedFeatureError, match=r"^perplexity retired .*\.$") as caught:
            target(config, "perplexity/sonar")

        assert "client" == caught.value.rejected_by


# --- where ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "base_url", "dialect", "header", "value"),
    [
        ("gpt-4o", "https://api.openai.com/v1", "openai_chat", "authorization", "Bearer sk-env"),
        ("claude-x", "https://api.anthropic.com", "anthropic_messages", "x-api-key", "a-env"),
        ("gemini-x", "https://generativelanguage.googleapis.com", "gemini", "x-goog-api-key", "g-env"),
        ("groq/x", "https://api.groq.com/openai/v1", "openai_chat", "authorization", "Bearer q-env"),
    ],
)
def test_a_target_says_all_that_an_attempt_needs(
    model: str, base_url: str, dialect: str, header: str, value: str
) -> None:
    """URL, dialect, authentication, profile and quirks are those of the provider's row."""
    found = target(model=model)

    assert (base_url, dialect, value) == (found.base_url, found.dialect.name, found.headers[header])
    assert f"multi-llm-wrapper/{__version__}" == found.headers["user-agent"]
    assert "application/json" == found.headers["content-type"]
    assert profile_of(found.model) == found.profile
    assert ROWS[found.provider].quirks == found.quirks
    assert (None, None) == (found.proxy, found.ca_file)
    assert isinstance(found.key, Secret)
    assert value.removeprefix("Bearer ") == found.key


def test_a_compatible_host_needs_no_key() -> None:
    """Its URL is what was given, and there is no authorization unless there is a key."""
    config = WrapperConfig(providers={**local(), "other": OpenAICompatibleConfig("k", "https://x.example.com/v1/")})

    assert LOCAL == target(config, "local/m").base_url
    assert "authorization" not in target(config, "local/m").headers
    assert target(config, "local/m").key is None
    assert ("https://x.example.com/v1", "Bearer k") == (
        target(config, "other/m").base_url,
        target(config, "other/m").headers["authorization"],
    )


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        ("https://x/v1", "/chat/completions", "https://x/v1/chat/completions"),
        ("https://x/openai/v1", "/chat/completions", "https://x/openai/v1/chat/completions"),
        ("https://x", "/v1/messages", "https://x/v1/messages"),
        ("https://x/v1", "/v1/messages", "https://x/v1/messages"),
        ("https://gw/v1/account/name/anthropic", "/v1/messages", "https://gw/v1/account/name/anthropic/v1/messages"),
        ("https://gw/anthropic/v1", "/v1/messages", "https://gw/anthropic/v1/messages"),
        ("https://g", "/v1beta/models/m:generateContent", "https://g/v1beta/models/m:generateContent"),
        ("https://g/v1beta", "/v1beta/models/m:generateContent", "https://g/v1beta/models/m:generateContent"),
        ("https://g/v1", "/v1beta/models/m:generateContent", "https://g/v1/models/m:generateContent"),
        ("https://g/v1alpha", "/v1beta/models/m:generateContent", "https://g/v1alpha/models/m:generateContent"),
        ("https://g/api/v1beta", "/v1beta/models/m:s?alt=sse", "https://g/api/v1beta/models/m:s?alt=sse"),
        ("https://v1", "/v1/messages", "https://v1/v1/messages"),
        ("https://x/dev1", "/v1/messages", "https://x/dev1/v1/messages"),
    ],
)
def test_base_url_and_path_are_joined(base: str, path: str, expected: str) -> None:
    """A path prefix is kept, and a version at the end of the base is not said twice."""
    assert expected == join_url(base, path)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (GeminiConfig("k", api_version="v1"), "https://generativelanguage.googleapis.com/v1"),
        (GeminiConfig("k", "https://g.example.com/x/v1beta", api_version="v1alpha"), "https://g.example.com/x/v1alpha"),
        (GeminiConfig("k", "https://g.example.com/v1beta"), "https://g.example.com/v1beta"),
    ],
)
def test_the_api_version_of_gemini_is_in_its_url(config: GeminiConfig, expected: str) -> None:
    """It stands behind the base URL, in place of a version that is there."""
    assert expected == target(WrapperConfig(gemini=config), "gemini-x").base_url


def test_the_api_version_of_anthropic_is_a_header() -> None:
    """Without one it is the version that the dialect speaks."""
    config = WrapperConfig(anthropic=AnthropicConfig("k", api_version="2024-01-01"))

    assert "2024-01-01" == target(config, "claude-x").headers["anthropic-version"]
    assert "2023-06-01" == target(None, "claude-x").headers["anthropic-version"]


def test_organization_and_project_are_headers() -> None:
    """OpenAI's organization and project go along when given, and only then."""
    config = WrapperConfig(openai=OpenAIConfig("k", organization_id="org-1", project_id="proj-1"))
    headers = target(config).headers

    assert ("org-1", "proj-1") == (headers["openai-organization"], headers["openai-project"])
    assert not {"openai-organization", "openai-project"} & target().headers.keys()


def test_headers_of_the_call_beat_those_of_the_provider() -> None:
    """Names are lower case, so that one header is not sent twice; the row's own come last."""
    config = WrapperConfig(
        anthropic=AnthropicConfig("k", headers={"X-A": "1", "X-B": "1", "Anthropic-Version": "other"})
    )
    headers = target(config, "claude-x", extra_headers={"x-b": "2", "X-C": "2"}).headers

    assert ("1", "2", "2", "other") == tuple(headers[n] for n in ("x-a", "x-b", "x-c", "anthropic-version"))
    assert list(headers) == [name.lower() for name in headers]
    assert "x-c" not in target(config, "claude-x").headers


def test_proxy_and_ca_file_are_the_providers(tmp_path: Any) -> None:
    """They are handed on as configured; the empty proxy means none."""
    (tmp_path / "ca.pem").touch()
    config = WrapperConfig(openai=OpenAIConfig("k", proxy="", ca_file=str(tmp_path / "ca.pem")))
    found = target(config)

    assert ("", str(tmp_path / "ca.pem")) == (found.proxy, found.ca_file)


# --- keys -------------------------------------------------------------------------------------------------------


def sent(found: Target) -> str | None:
    return found.headers.get("authorization")


def test_the_key_nearest_to_the_call_counts() -> None:
    """Call, then provider, then environment; an empty one is none."""
    given = WrapperConfig(openai=OpenAIConfig("sk-provider"))

    assert "Bearer sk-call" == sent(target(given, api_key="sk-call"))
    assert "Bearer sk-call" == sent(target(given, api_key=Secret("sk-call")))
    assert "Bearer sk-provider" == sent(target(given))
    assert "Bearer sk-provider" == sent(target(given, api_key=""))
    assert "Bearer sk-env" == sent(target())
    assert "Bearer sk-env" == sent(target(WrapperConfig(openai=OpenAIConfig(""))))


def test_an_authorization_header_is_a_key_of_its_level() -> None:
    """A header of the call beats the provider's key, one of the provider beats the environment's."""
    by_header = WrapperConfig(openai=OpenAIConfig(headers={"Authorization": "Bearer own"}))
    both = WrapperConfig(openai=OpenAIConfig("sk-provider", headers={"Authorization": "Bearer own"}))

    assert "Bearer own" == sent(target(by_header))
    assert target(by_header).key is None
    assert "Bearer own" == sent(target(by_header, environ={}))
    assert "Bearer sk-provider" == sent(target(both))
    assert "Bearer call" == sent(target(both, extra_headers={"AUTHORIZATION": "Bearer call"}))
    assert "Bearer sk-call" == sent(target(both, extra_headers={"authorization": "Bearer call"}, api_key="sk-call"))


@pytest.mark.parametrize("provider", [name for name, row in ROWS.items() if row.key_required])
def test_a_missing_key_says_how_to_give_it(provider: str) -> None:
    """The message names the environment variables and the configuration's class."""
    with pytest.raises(AuthError) as caught:
        target(model=f"{provider}/m", environ={})
    text = caught.value.message

    assert all(variable in text for variable in ROWS[provider].key_env)
    assert f"WrapperConfig({provider}={PROVIDER_CONFIGS[provider].__name__}(api_key=...))" in text
    assert ("missing_key", "client") == (caught.value.code, caught.value.rejected_by)


@pytest.mark.parametrize("bad", ["sk canary", "sk-canary\u201d"])
def test_a_bad_key_in_the_environment_is_named_and_not_shown(bad: str) -> None:
    """The message names the variable."""
    with pytest.raises(
        AuthError, match=r"^The environment variable OPENAI_API_KEY has .*; copy the key again"
    ) as caught:
        target(environ={"OPENAI_API_KEY": bad})

    assert "canary" not in caught.value.message


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"GEMINI_API_KEY": "a", "GOOGLE_API_KEY": "b"}, "a"),
        ({"GOOGLE_API_KEY": "b"}, "b"),
        ({"GEMINI_API_KEY": " ", "GOOGLE_API_KEY": "b\n"}, "b"),
    ],
)
def test_the_first_variable_with_something_in_it_counts(environ: dict[str, str], expected: str) -> None:
    """Blanks around a key are not part of it, and blanks alone are no key."""
    assert expected == target(model="gemini-x", environ=environ).headers["x-goog-api-key"]


def test_base_urls_come_from_the_environment() -> None:
    """The provider's own URL beats the variable, which beats the default; blanks alone say nothing."""
    environ = {**KEYS, "OPENAI_BASE_URL": "https://env.example.com/v1/", "ANTHROPIC_BASE_URL": "  "}

    assert "https://env.example.com/v1" == target(environ=environ).base_url
    assert "https://api.anthropic.com" == target(model="claude-x", environ=environ).base_url
    given = WrapperConfig(openai=OpenAIConfig("k", "https://given.example.com/v1"))
    assert "https://given.example.com/v1" == target(given, environ=environ).base_url


def test_a_bad_base_url_in_the_environment_is_named() -> None:
    """It is a validation error that names the variable."""
    environ = {**KEYS, "OPENAI_BASE_URL": "proxy.example.com"}
    with pytest.raises(
        ValidationError, match=r"^The environment variable OPENAI_BASE_URL or OPENAI_API_BASE is no web"
    ) as e:
        target(environ=environ)

    assert ("client", "invalid_input") == (e.value.rejected_by, e.value.code)


# --- limits -----------------------------------------------------------------------------------------------------

CALL, CALL_TIMES = {"timeout": 1.0}, {"timeouts": Timeouts(total=2)}


@pytest.mark.parametrize(
    ("expected", "options", "provider", "wrapper", "times", "environment"),
    [
        (600, {}, None, None, None, None),
        (7, {}, None, None, None, "7"),
        (6, {}, None, None, 6, "7"),
        (5, {}, None, 5, 6, "7"),
        (5, {}, None, 5, None, "7"),
        (4, {}, 4, 5, 6, "7"),
        (4, {}, 4, None, None, "7"),
        (2, CALL_TIMES, 4, 5, 6, "7"),
        (1, {**CALL, **CALL_TIMES}, 4, 5, 6, "7"),
        (1, CALL, 4, 5, 6, "7"),
    ],
)
def test_the_total_goes_by_precedence(
    monkeypatch: pytest.MonkeyPatch,
    expected: float,
    options: dict[str, Any],
    provider: float | None,
    wrapper: float | None,
    times: float | None,
    environment: str | None,
) -> None:
    """Call, provider, wrapper, environment, default; at one level `timeout` and `timeout_seconds` beat `total`."""
    if environment is not None:
        monkeypatch.setenv("MULTI_LLM_TIMEOUT_SECONDS", environment)
    config = WrapperConfig(
        openai=OpenAIConfig("k", timeout_seconds=provider), timeouts=Timeouts(total=times) if times else None
    )
    if wrapper is not None:
        config.timeout_seconds = wrapper

    assert expected == target(config, **options).limits.total


@pytest.mark.parametrize(
    ("name", "default"), [("connect", 10.0), ("first_token", 120.0), ("idle", 60.0), ("attempt", None)]
)
def test_the_other_limits_go_by_precedence(name: str, default: float | None) -> None:
    """Call, wrapper, default; None inherits."""
    wrapper = WrapperConfig(timeouts=Timeouts(**{name: 5}))

    assert default == getattr(target().limits, name)
    assert 5 == getattr(target(wrapper).limits, name)
    assert 5 == getattr(target(wrapper, timeouts=Timeouts()).limits, name)
    assert 3 == getattr(target(wrapper, timeouts=Timeouts(**{name: 3})).limits, name)


def test_the_default_limits_are_those_of_the_contract() -> None:
    """Connect 10 s, first token 120 s, idle 60 s, total 600 s, an attempt as long as there is time; 2 retries."""
    assert Limits(connect=10, first_token=120, idle=60, attempt=None, total=600) == target().limits
    assert Limits() == target().limits
    assert 2 == target().max_retries


@pytest.mark.parametrize(
    ("expected", "call", "provider", "wrapper", "environment"),
    [
        (2, None, None, None, None), (7, None, None, None, "7"), (5, None, None, 5, "7"), (4, None, 4, 5, "7"),
        (0, None, 0, 5, "7"), (3, 3, 4, 5, "7"), (0, 0, 4, 5, "7"), (0, None, None, 0, "7"),
    ],
)  # fmt: skip
def test_retries_go_by_precedence(
    monkeypatch: pytest.MonkeyPatch,
    expected: int,
    call: int | None,
    provider: int | None,
    wrapper: int | None,
    environment: str | None,
) -> None:
    """Call, provider, wrapper, environment, default; zero is a number like any other."""
    if environment is not None:
        monkeypatch.setenv("MULTI_LLM_MAX_RETRIES", environment)
    config = WrapperConfig(openai=OpenAIConfig("k", max_retries=provider))
    if wrapper is not None:
        config.max_retries = wrapper

    assert expected == target(config, max_retries=call).max_retries


# --- changes ----------------------------------------------------------------------------------------------------


def test_a_target_is_kept_until_something_changes() -> None:
    """The same name gives the very same target, also beside calls with options of their own."""
    kept = router()
    first = kept.target("gpt-4o", {})

    assert first is kept.target("gpt-4o", {"temperature": 1})
    assert first is not kept.target("gpt-4o", {"timeout": 5})
    assert first is kept.target("gpt-4o", {})


CHANGES: dict[str, tuple[Callable[[Any], Any], Callable[[Target], Any], Any]] = {
    "key": (lambda c: setattr(c.openai, "api_key", "new"), sent, "Bearer new"),
    "base_url": (lambda c: setattr(c.openai, "base_url", LOCAL), lambda t: t.base_url, LOCAL),
    "map": (lambda c: setattr(c.openai, "model_map", {"gpt-4o": "n"}), lambda t: t.model, "n"),
    "map in place": (lambda c: c.openai.model_map.update({"gpt-4o": "n"}), lambda t: t.model, "n"),
    "headers in place": (
        lambda c: c.openai.headers.__setitem__("X-A", "b"),
        lambda t: t.headers.get("x-a"),
        "b",
    ),
    "timeouts": (lambda c: setattr(c, "timeouts", Timeouts(idle=1)), lambda t: t.limits.idle, 1),
    "retries": (lambda c: setattr(c, "max_retries", 0), lambda t: t.max_retries, 0),
    "provider replaced": (lambda c: setattr(c, "openai", OpenAIConfig("new")), sent, "Bearer new"),
    "another provider's map": (
        lambda c: setattr(c, "anthropic", AnthropicConfig("k", model_map={"gpt-4o": "claude-x"})),
        lambda t: t.provider,
        "anthropic",
    ),
    "host added in place": (
        lambda c: c.providers.update(x=OpenAICompatibleConfig(base_url=LOCAL, model_map={"own": "gpt-4o"})),
        lambda t: t.model,
        "gpt-4o",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_counts_from_the_next_routing_on(what: str) -> None:
    """Also one inside a dict; the target from before stays as it was."""
    change, look, expected = CHANGES[what]
    config = WrapperConfig(openai=OpenAIConfig("old"))
    kept = router(config)
    before = kept.target("gpt-4o", {})
    seen = look(before)

    change(config)

    assert seen == look(before)
    assert expected == look(kept.target("own" if what == "host added in place" else "gpt-4o", {}))


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda c: c.openai.headers.update({"x": "a\r\nevil: 1"}), "OpenAIConfig.headers"),
        (lambda c: c.openai.model_map.update({"gpt-4o": 5}), "OpenAIConfig.model_map"),
        (lambda c: c.providers.update(x="text"), "WrapperConfig.providers['x']"),
    ],
)
def test_a_bad_change_inside_a_dict_is_refused_until_it_is_mended(
    spoil: Callable[[WrapperConfig], None], field: str
) -> None:
    """What no assignment could see is a validation error of every call, naming the field; mended, it works again."""
    config = WrapperConfig(openai=OpenAIConfig("k"))
    kept = router(config)
    kept.target("gpt-4o", {})
    spoil(config)

    for ask in (
        lambda: kept.target("gpt-4o", {}),
        lambda: kept.target("gpt-4o", {"timeout": 1}),
        lambda: kept.decide("o1"),
    ):
        with pytest.raises(ValidationError) as caught:
            ask()
        assert caught.value.message.startswith(field)
        assert ("invalid_config", "client") == (caught.value.code, caught.value.rejected_by)

    assert config.openai is not None
    config.openai.headers.clear()
    config.openai.model_map.clear()
    config.providers.clear()
    assert "gpt-4o" == kept.target("gpt-4o", {}).model


@pytest.mark.asyncio
async def test_a_bad_change_inside_a_dict_is_an_error_response() -> None:
    """Through the front door it is a validation error, not an exception."""
    wrapper = LLMWrapper(WrapperConfig(openai=OpenAIConfig("k")))
    wrapper.config.providers["x"] = "text"  # type: ignore[assignment]  # wrong on purpose
    response = await wrapper.query("hi", "gpt-4o")

    assert ("error", "validation_error") == (response.status, response.error_type)


def test_a_removed_default_provider_is_refused() -> None:
    """When the host that `default_provider` names is taken away, the error says so."""
    config = WrapperConfig(default_model="m", default_provider="local", providers=local())
    kept = router(config)
    kept.target(None, {})
    del config.providers["local"]

    with pytest.raises(
        ValidationError, match=r"^WrapperConfig\.default_provider is 'local', which is no known provider"
    ):
        kept.target(None, {})


def test_kept_targets_are_bounded() -> None:
    """Names can come from outside, so only so many are kept."""
    kept = router()
    for number in range(MAX_KEPT + 10):
        kept.target(f"gpt-{number}", {})

    assert len(kept._groups) <= MAX_KEPT + 1


def test_per_call_timeouts_do_not_throw_kept_targets_away() -> None:
    """Building a Timeouts for one call is no change of the configuration."""
    kept = router()
    first = kept.target("gpt-4o", {})
    kept.target("gpt-4o", {"timeouts": Timeouts(total=1, idle=2)})

    assert first is kept.target("gpt-4o", {})


def test_configured_providers() -> None:
    """Those with a configuration, then those with a key in the environment."""
    config = WrapperConfig(groq=GroqConfig(), providers=local())

    assert ["groq", "local", "openai", "gemini"] == router(
        config, {"OPENAI_API_KEY": "k", "GOOGLE_API_KEY": "k", "ANTHROPIC_API_KEY": " ", "GROQ_API_KEY": "k"}
    ).configured()
    assert [] == router(WrapperConfig(), {}).configured()


@pytest.mark.asyncio
async def test_an_error_says_who_was_meant() -> None:
    """A missing key is an auth error of the provider that the name decides for, and nothing is sent."""
    response = await LLMWrapper().query("hi", "claude-x")

    assert ("auth_error", "anthropic", "claude-x") == (response.error_type, response.provider, response.model)
    assert (0, "client") == (response.metadata["attempts"], response.metadata["rejected_by"])


@given(
    st.sampled_from([None, "openai", "local"]),
    st.dictionaries(st.sampled_from(["gpt-4o", "x", "groq/x"]), st.sampled_from(["a", "b/c"]), max_size=2),
    st.sampled_from([None, "gpt-4o", "x", "groq/x", "local/y", "nobody/z"]),
)
def test_decide_follows_the_rules_in_their_order(default: str | None, names: dict[str, str], model: str | None) -> None:
    """The result is that of the contract's sentence, read rule by rule."""
    config = WrapperConfig(
        default_model="x", default_provider=default, openai=OpenAIConfig(model_map=names), providers=local()
    )
    wanted = model or "x"
    head, _, rest = wanted.partition("/")
    expected: tuple[str, str] | None = None
    if wanted in names:
        expected = ("openai", names[wanted])
    elif head in ("groq", "local") and rest:
        expected = (head, rest)
    elif wanted.startswith("gpt-"):
        expected = ("openai", wanted)
    elif wanted == "x" and default:
        expected = (default, "x")

    try:
        found: tuple[str, str] | None = router(config).decide(model)
    except LLMError:
        found = None
    assert expected == found


def test_a_configuration_of_no_provider_is_only_a_base() -> None:
    """`ProviderConfig` itself belongs to no provider; the wrapper says what to give."""
    with pytest.raises(ValueError, match=r"^config is a ProviderConfig; give a WrapperConfig"):
        LLMWrapper(ProviderConfig("k"))
