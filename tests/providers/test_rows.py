"""Every row of the table of providers: the bytes sent because of it, and that no row stands in the way of another."""

import json
from collections.abc import Iterator, Mapping
from itertools import permutations
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from multi_llm_wrapper import LLMWrapper, OpenAICompatibleConfig, ProviderConfig, Response, WrapperConfig
from multi_llm_wrapper.config import PROVIDER_CONFIGS
from multi_llm_wrapper.providers import ROWS, ProviderRow
from multi_llm_wrapper.providers.hosts import HOSTS
from multi_llm_wrapper.routing import Router, join_url
from multi_llm_wrapper.simulator import Brain, MemoryTransport
from multi_llm_wrapper.simulator.models import known
from multi_llm_wrapper.transport.base import HTTPRequest


class Sent(NamedTuple):
    """What must be in the requests to a host: asked for `model`, it gets a POST to `url`."""

    model: str
    url: str
    limit: str = "max_tokens"
    """The field that limits the answer."""
    developer: str = "system"
    """The role that a developer message has."""
    usage: bool = True
    """Whether a stream is asked for its usage."""
    echo: tuple[str, ...] = ()
    """What of the last answer stands in the next request beside text and calls."""
    header: str = "authorization"
    credential: str = "Bearer the-key"


GENERATED = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent"
DEPLOYED = "https://NAME.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
THOUGHTS, DETAILS, LIST = ("reasoning_content",), ("reasoning_details",), ("content",)
NEW = "max_completion_tokens"

ROW_BY_ROW: dict[str, Sent] = {
    "openai": Sent("gpt-4o", "https://api.openai.com/v1/chat/completions", NEW, "developer"),
    "anthropic": Sent(
        "claude-sonnet-5", "https://api.anthropic.com/v1/messages", header="x-api-key", credential="the-key"
    ),
    "gemini": Sent("gemini-2.5-flash", GENERATED, header="x-goog-api-key", credential="the-key"),
    "groq": Sent("openai/gpt-oss-120b", "https://api.groq.com/openai/v1/chat/completions", NEW),
    "mistral": Sent("mistral-medium-latest", "https://api.mistral.ai/v1/chat/completions", usage=False, echo=LIST),
    "deepseek": Sent("deepseek-v4-flash", "https://api.deepseek.com/chat/completions", echo=THOUGHTS),
    "xai": Sent("grok-4.6", "https://api.x.ai/v1/chat/completions"),
    "moonshot": Sent("kimi-k3", "https://api.moonshot.ai/v1/chat/completions", NEW, echo=THOUGHTS),
    "zai": Sent("glm-4.7", "https://api.z.ai/api/paas/v4/chat/completions", echo=THOUGHTS),
    "cohere": Sent("command-a-03-2025", "https://api.cohere.ai/compatibility/v1/chat/completions", usage=False),
    "minimax": Sent("MiniMax-M3", "https://api.minimax.io/v1/chat/completions", NEW),
    "dashscope": Sent("qwen-plus", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions"),
    "azure": Sent("gpt-4o", DEPLOYED, NEW, "developer", header="api-key", credential="the-key"),
    "openrouter": Sent("anthropic/claude-opus-4.1", "https://openrouter.ai/api/v1/chat/completions", echo=DETAILS),
    "vercel": Sent("openai/gpt-4o", "https://ai-gateway.vercel.sh/v1/chat/completions", NEW),
    "huggingface": Sent("Qwen/Qwen2.5-VL-72B-Instruct", "https://router.huggingface.co/v1/chat/completions"),
    "together": Sent("meta-llama/Llama-4-Scout-17B-16E-Instruct", "https://api.together.ai/v1/chat/completions"),
    "fireworks": Sent("accounts/fireworks/models/kimi-k3", "https://api.fireworks.ai/inference/v1/chat/completions"),
    "cerebras": Sent("gpt-oss-120b", "https://api.cerebras.ai/v1/chat/completions", NEW),
    "sambanova": Sent("Meta-Llama-3.3-70B-Instruct", "https://api.sambanova.ai/v1/chat/completions"),
    "nvidia": Sent("meta/llama-3.1-8b-instruct", "https://integrate.api.nvidia.com/v1/chat/completions"),
    "deepinfra": Sent("deepseek-ai/DeepSeek-V3.2", "https://api.deepinfra.com/v1/openai/chat/completions"),
    "novita": Sent("zai-org/glm-5.3-flash", "https://api.novita.ai/openai/v1/chat/completions"),
    "nebius": Sent("openai/gpt-oss-120b", "https://api.tokenfactory.nebius.com/v1/chat/completions"),
    "baseten": Sent("zai-org/GLM-4.7", "https://inference.baseten.co/v1/chat/completions"),
    "siliconflow": Sent("deepseek-ai/DeepSeek-V4-Pro", "https://api.siliconflow.com/v1/chat/completions"),
    "scaleway": Sent("llama-3.1-8b-instruct", "https://api.scaleway.ai/v1/chat/completions"),
    "ollama": Sent("llama3.2:3b", "http://localhost:11434/v1/chat/completions"),
    "vllm": Sent("meta-llama/Llama-3.1-8B-Instruct", "http://localhost:8000/v1/chat/completions"),
    "lmstudio": Sent("ibm/granite-4-micro", "http://localhost:1234/v1/chat/completions"),
}

PROMPT = [{"role": "developer", "content": "Be short."}, {"role": "user", "content": "Hi"}]
THINKING = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Hello"}]
SIGNED = [{"type": "reasoning.text", "text": "Hm.", "signature": "s"}]


class Reply:
    """A whole HTTP 200 reply."""

    status = 200
    headers: Mapping[str, str] = {"content-type": "application/json"}
    arrived = True

    def __init__(self, body: bytes) -> None:
        self._pieces: Iterator[bytes] = iter((body,))

    async def next_chunk(self) -> bytes:
        return next(self._pieces, b"")

    def abort(self, error: Exception | None = None) -> None: ...

    def finish(self) -> None: ...


class Wire:
    """A transport that writes down what was sent, and answers everything with `message`."""

    def __init__(self, message: dict[str, Any] | None = None) -> None:
        self.requests: list[HTTPRequest] = []
        self._message = {"role": "assistant", "content": "Hello", **(message or {})}

    async def send(self, request: HTTPRequest, *, connect_timeout: float | None = None) -> Reply:
        self.requests.append(request)
        choice = {"index": 0, "finish_reason": "stop"}
        if json.loads(request.body).get("stream"):
            chunk = {"id": "1", "choices": [{**choice, "delta": self._message}]}
            return Reply(b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n")
        return Reply(json.dumps({"id": "1", "choices": [{**choice, "message": self._message}]}).encode())

    async def aclose(self) -> None: ...

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.requests]


def config(name: str, **given: Any) -> WrapperConfig:
    """A configuration with this provider's field alone."""
    if ROWS[name].own_address:
        given = {"base_url": ROWS[name].base_url, **given}
    fields: dict[str, Any] = {name: PROVIDER_CONFIGS[name](**given)}
    return WrapperConfig(**fields)


async def ask(name: str, wire: Wire, messages: Any = PROMPT, **options: Any) -> Response:
    wrapper = LLMWrapper(config(name, api_key="the-key"), transport=wire)
    response: Response = await wrapper.query(messages, model=f"{name}/{ROW_BY_ROW[name].model}", **options)
    return response


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those variables are hidden that no common ending gives away as a key."""
    for row in ROWS.values():
        for variable in (*row.key_env, *row.base_url_env, *row.version_env):
            monkeypatch.delenv(variable, raising=False)


# --- the bytes --------------------------------------------------------------------------------------------------


def test_every_row_is_looked_at() -> None:
    """A new row needs a line in the table of this test, and a field of the configuration."""
    assert set(ROW_BY_ROW) == set(ROWS)
    assert list(ROWS) == [name for name in PROVIDER_CONFIGS if name != "perplexity"]
    assert set(PROVIDER_CONFIGS) <= set(vars(WrapperConfig()))


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ROW_BY_ROW)
async def test_where_it_goes_and_who_asks(name: str) -> None:
    """The URL, the key in the header where the host wants it and nowhere else, and the model's name as it was given."""
    wire, expected = Wire(), ROW_BY_ROW[name]
    await ask(name, wire, max_retries=0)
    (request,) = wire.requests

    assert ("POST", expected.url) == (request.method, request.url)
    assert {expected.header: expected.credential} == {k: v for k, v in request.headers.items() if "the-key" in v}
    assert "the-key" not in request.url + request.body.decode()
    if name != "gemini":  # whose URL has it
        assert expected.model == wire.bodies[0]["model"]


OPENAI_SHAPED = [name for name, row in ROWS.items() if row.dialect == "openai_chat"]


@pytest.mark.asyncio
@pytest.mark.parametrize("name", OPENAI_SHAPED)
async def test_the_body_is_what_the_host_accepts(name: str) -> None:
    """The limit has the field that the host knows, developer messages a role that it knows; nothing else is added."""
    wire, expected = Wire(), ROW_BY_ROW[name]
    response = await ask(name, wire, max_tokens=7)
    (body,) = wire.bodies

    assert ("success", "Hello") == (response["status"], response["content"])
    assert {
        "model": expected.model,
        "messages": [{"role": expected.developer, "content": "Be short."}, {"role": "user", "content": "Hi"}],
        expected.limit: 7,
    } == body


@pytest.mark.asyncio
@pytest.mark.parametrize("name", OPENAI_SHAPED)
async def test_a_stream_is_asked_for_usage_where_the_host_bears_it(name: str) -> None:
    """`stream_options` is sent, but not to hosts that refuse it."""
    wire = Wire()
    wrapper = LLMWrapper(config(name, api_key="the-key"), transport=wire)
    chunks = [chunk async for chunk in wrapper.stream(PROMPT, model=f"{name}/{ROW_BY_ROW[name].model}")]
    (body,) = wire.bodies

    assert ["text", "end"] == [chunk.type for chunk in chunks]
    assert body["stream"] is True
    assert ({"include_usage": True} if ROW_BY_ROW[name].usage else None) == body.get("stream_options")


@pytest.mark.asyncio
@pytest.mark.parametrize("name", OPENAI_SHAPED)
async def test_the_reasoning_goes_back_to_hosts_that_want_it(name: str) -> None:
    """The next turn holds the reasoning under the name that this host wants, and no other of its fields."""
    thoughts = {"reasoning_content": "Hm.", "reasoning": "Hm.", "reasoning_details": SIGNED, "content": THINKING}
    wire, expected = Wire(thoughts), ROW_BY_ROW[name]
    first = await ask(name, wire)
    await ask(name, wire, [*PROMPT, first.to_message(), {"role": "user", "content": "And?"}])
    turn = wire.bodies[1]["messages"][2]
    plain = {"role": "assistant", "content": "Hello"}

    assert {**plain, **{field: thoughts[field] for field in expected.echo}} == turn


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("mistral", "seed", 1),
        ("deepseek", "response_format", {"type": "object"}),
    ],
)
async def test_what_a_host_refuses_is_not_sent(name: str, option: str, value: Any) -> None:
    """The host would answer 400 or 422; the caller is told without being sent there."""
    wire = Wire()
    response = await ask(name, wire, **{option: value})

    assert ("unsupported_feature", "client") == (response["error_type"], response["metadata"]["rejected_by"])
    assert f"{option} is refused by {name}'s {ROW_BY_ROW[name].model}" in str(response["error"])
    assert [] == wire.requests


@pytest.mark.asyncio
async def test_a_refused_setting_can_be_dropped() -> None:
    """With `drop_unsupported` the call goes on without it, and says so."""
    wire = Wire()
    response = await ask("mistral", wire, seed=1, drop_unsupported=True)

    assert ("success", ["seed"]) == (response["status"], response["metadata"]["dropped_params"])
    assert "seed" not in wire.bodies[0]


# --- keys and addresses -----------------------------------------------------------------------------------------


def resolved(model: str, environ: Mapping[str, str], given: WrapperConfig | None = None) -> Any:
    return Router(given or WrapperConfig(), environ).target(model, {})


VARIABLES = [(name, variable) for name, row in ROWS.items() for variable in row.key_env]


@pytest.mark.parametrize(("name", "variable"), VARIABLES)
def test_the_key_comes_from_the_environment(name: str, variable: str) -> None:
    """Each of the row's variables may hold the key."""
    row = ROWS[name]
    environ = {variable: "env-key", **dict.fromkeys(row.base_url_env if row.own_address else (), row.base_url)}
    found = resolved(f"{name}/{ROW_BY_ROW[name].model}", environ)

    assert row.auth[1] + "env-key" == found.headers[row.auth[0]]


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.base_url_env])
def test_the_address_comes_from_the_environment(name: str) -> None:
    """The row's variable replaces the address, for a proxy or a server of one's own."""
    row = ROWS[name]
    environ = {row.key_env[0]: "k", row.base_url_env[0]: "https://proxy.example.com/v1"}

    assert "https://proxy.example.com/v1" == resolved(f"{name}/m", environ).base_url


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["ollama", "vllm", "lmstudio"])
async def test_no_key_is_needed_on_the_own_machine(name: str) -> None:
    """These servers ask for none, and get no header about one."""
    wire = Wire()
    response = await LLMWrapper(WrapperConfig(), transport=wire).query("Hi", model=f"{name}/m")

    assert "success" == response["status"]
    assert "authorization" not in wire.requests[0].headers


@pytest.mark.asyncio
@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.key_required])
async def test_a_missing_key_names_the_remedy(name: str) -> None:
    """The error names the variable and the field, and nothing is sent."""
    wire = Wire()
    response = await LLMWrapper(WrapperConfig(), transport=wire).query("Hi", model=f"{name}/m")

    assert "auth_error" == response["error_type"]
    assert all(variable in str(response["error"]) for variable in ROWS[name].key_env)
    assert f"WrapperConfig({name}={PROVIDER_CONFIGS[name].__name__}(api_key=...))" in str(response["error"])
    assert [] == wire.requests


def test_from_env_fills_the_fields_of_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts whose variables are set have a configuration, Azure with its version."""
    monkeypatch.setenv("MISTRAL_API_KEY", "m")
    monkeypatch.setenv("OLLAMA_BASE_URL", "http://192.0.2.1:11434/v1")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "a")
    monkeypatch.setenv("OPENAI_API_VERSION", "2025-01-01")
    made = WrapperConfig.from_env()

    assert ["mistral", "azure", "ollama"] == list(made.configured())
    assert made.azure is not None
    assert "2025-01-01" == made.azure.api_version


def test_a_plain_provider_config_alone_names_no_provider() -> None:
    """Many hosts share the class, so that it cannot tell which one is meant."""
    with pytest.raises(ValueError, match="config is a ProviderConfig; give a WrapperConfig"):
        LLMWrapper(ProviderConfig(api_key="k"))


# --- azure ------------------------------------------------------------------------------------------------------

CHAT = "/openai/deployments/my%20gpt/chat/completions?api-version="


@pytest.mark.parametrize(
    ("base_url", "given", "environ", "expected"),
    [
        ("https://n.openai.azure.com", None, {}, f"https://n.openai.azure.com{CHAT}2024-10-21"),
        ("https://n.openai.azure.com/", None, {}, f"https://n.openai.azure.com{CHAT}2024-10-21"),
        ("https://n.openai.azure.com/openai", None, {}, f"https://n.openai.azure.com{CHAT}2024-10-21"),
        ("https://gate.example.com/az", None, {}, f"https://gate.example.com/az{CHAT}2024-10-21"),
        ("https://n.openai.azure.com", "2024-12-01-preview", {}, f"https://n.openai.azure.com{CHAT}2024-12-01-preview"),
        (
            "https://n.openai.azure.com",
            "2025-01-01",
            {"OPENAI_API_VERSION": "2020-01-01"},
            f"https://n.openai.azure.com{CHAT}2025-01-01",
        ),
        (
            "https://n.openai.azure.com",
            None,
            {"OPENAI_API_VERSION": "2020-01-01", "AZURE_OPENAI_API_VERSION": "2021&x"},
            f"https://n.openai.azure.com{CHAT}2021%26x",
        ),
        ("https://n.openai.azure.com/openai/v1", "2025-01-01", {}, "https://n.openai.azure.com/openai/v1/chat/completions"),
        ("https://n.services.ai.azure.com/openai/v1/", None, {}, "https://n.services.ai.azure.com/openai/v1/chat/completions"),
    ],
)  # fmt: skip
def test_azure_addresses(base_url: str, given: str | None, environ: dict[str, str], expected: str) -> None:
    """The deployment is in the path and the version in the query, unless the address has a version of its own."""
    made = WrapperConfig(azure=ProviderConfig(model_map={"x": "my gpt"}, base_url=base_url, api_version=given))
    target = resolved("x", {"AZURE_OPENAI_API_KEY": "k", **environ}, made)

    assert expected == join_url(target.base_url, "/chat/completions")


@pytest.mark.asyncio
async def test_azure_needs_an_address() -> None:
    """The error names the variable and the field."""
    wrapper = LLMWrapper(WrapperConfig(azure=ProviderConfig(api_key="k")), transport=Wire())
    response = await wrapper.query("Hi", model="azure/gpt-4o")

    assert ("validation_error", "missing_base_url") == (response["error_type"], response["metadata"]["code"])
    assert (
        "azure is asked at an address of your own, and none is given; set AZURE_OPENAI_ENDPOINT in the environment or "
        'give WrapperConfig(azure=ProviderConfig(base_url="https://NAME.openai.azure.com")).'
    ) == response["error"]


@pytest.mark.asyncio
async def test_azure_at_the_simulator() -> None:
    """Path, query and header are what the server side of the dialect takes."""
    transport = MemoryTransport(Brain())
    wrapper = LLMWrapper(config("azure", api_key="k", base_url="http://simulator"), transport=transport)
    response = await wrapper.query("Hi", model="azure/gpt-4o")

    assert ("success", "gpt-4o") == (response["status"], response["metadata"]["response_model"])
    assert "api-version=2024-10-21" == transport.brain.journal[-1].query


# --- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_a_row_is_complete(row: ProviderRow) -> None:
    """Each has a name for a model's first segment, an address, a key's variable and the page they come from."""
    url, page = urlsplit(row.base_url), urlsplit(row.source)

    assert row.name.isidentifier()
    assert row.name == row.name.lower()
    assert row.key_env
    assert row.base_url_env
    assert ("http" if url.hostname == "localhost" else "https") == url.scheme
    assert not row.base_url.endswith("/")
    assert ("https", True) == (page.scheme, bool(page.hostname))
    assert row.key_required == (url.hostname != "localhost")


def test_variables_belong_to_one_row() -> None:
    """No key and no address can go to another host than the one it is for."""
    for one, other in permutations(ROWS.values(), 2):
        assert set() == {*one.key_env, *one.base_url_env} & {*other.key_env, *other.base_url_env}


def test_names_are_unique() -> None:
    """Two rows of one name would hide each other."""
    assert len(HOSTS) == len({row.name for row in HOSTS} - {"openai", "anthropic", "gemini", "groq"})


def test_families_do_not_overlap() -> None:
    """No model's name can belong to two rows."""
    claims = [(family, row.name) for row in ROWS.values() for family in row.families]

    assert [] == [(a, b) for a, b in permutations(claims, 2) if a[0].startswith(b[0])]


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("mistral-large-latest", "mistral"),
        ("codestral-latest", "mistral"),
        ("open-mixtral-8x22b", "mistral"),
        ("deepseek-chat", "deepseek"),
        ("deepseek-v4-pro", "deepseek"),
        ("grok-4.6", "xai"),
        ("kimi-k3", "moonshot"),
        ("glm-5.2", "zai"),
        ("command-a-03-2025", "cohere"),
        ("MiniMax-M3", "minimax"),
        ("qwen-plus", "dashscope"),
    ],
)
def test_families(model: str, provider: str) -> None:
    """Names that one vendor alone gives need no provider before them."""
    assert (provider, model) == Router(WrapperConfig(), {}).decide(model)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "model",
    [
        "llama-3.3-70b", "meta-llama/Llama-3.3-70B-Instruct", "qwen3-32b", "deepseek-ai/DeepSeek-R1", "deepseek-r1:8b",
        "mistralai/Mistral-7B-Instruct-v0.3", "zai-org/GLM-4.7", "phi-4", "sonar-pro",
    ],
)  # fmt: skip
async def test_what_many_serve_belongs_to_nobody(model: str) -> None:
    """An open model's name does not say where to ask, and the error lists who could be meant."""
    response = await LLMWrapper(WrapperConfig(), transport=Wire()).query("Hi", model=model)

    assert ("validation_error", "invalid_model") == (response["error_type"], response["metadata"]["code"])
    assert all(name in str(response["error"]) for name in ("huggingface", "together", "ollama"))


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("model", ["m", "owner/model", "accounts/owner/models/m", "openai/gpt-4o", "claude-x:free"])
def test_a_name_before_the_model(name: str, model: str) -> None:
    """The first segment is the provider, the rest is the model's name there, slashes and all."""
    assert (name, model) == Router(WrapperConfig(), {}).decide(f"{name}/{model}")


@pytest.mark.asyncio
async def test_a_host_of_ones_own_beside_them() -> None:
    """A host that has no row is configured by name; the name of a row is taken."""
    wire = Wire()
    mine = WrapperConfig(providers={"mine": OpenAICompatibleConfig(base_url="http://localhost:9/v1")})
    await LLMWrapper(mine, transport=wire).query("Hi", model="mine/mistral-7b")

    assert "http://localhost:9/v1/chat/completions" == wire.requests[0].url
    with pytest.raises(ValueError, match="'mistral', a known provider; use the field of that name"):
        WrapperConfig(providers={"mistral": OpenAICompatibleConfig(base_url="http://localhost:9/v1")})


@pytest.mark.parametrize("name", OPENAI_SHAPED)
def test_the_simulator_knows_the_models(name: str) -> None:
    """Every family, and the model that these tests ask for, is a model of the simulated host."""
    names = [ROW_BY_ROW[name].model, *(f"{family}9" for family in ROWS[name].families)]

    assert [] == [model for model in names if not known("openai_chat", model)]


# --- perplexity -------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("environ", [{}, {"PERPLEXITY_API_KEY": "k"}])
@pytest.mark.parametrize("stream", [False, True])
async def test_perplexity_waits_for_its_dialect(
    environ: dict[str, str], stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its old API is gone and the new one is not spoken yet: the error says so and what to do, and nothing is sent."""
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    wire = Wire()
    wrapper = LLMWrapper(WrapperConfig(), transport=wire)
    if stream:
        live = wrapper.stream("Hi", model="perplexity/sonar-pro")
        assert ["error"] == [chunk.type async for chunk in live]
        response = live.response
    else:
        response = await wrapper.query("Hi", model="perplexity/sonar-pro")

    assert ("unsupported_feature", "perplexity") == (response["error_type"], response["provider"])
    assert "client" == response["metadata"]["rejected_by"]
    assert (
        "perplexity retired its chat-completions API; its new one comes with the Responses dialect, which is not there "
        "yet. Reach the model through another provider, such as openrouter."
    ) == response["error"]
    assert [] == wire.requests
