"""The cache in front of a call: the same question is asked once, and nobody gets another's answer."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from multi_llm_wrapper import AnthropicConfig, Deployment, LLMWrapper, OpenAIConfig, Response, WrapperConfig
from multi_llm_wrapper.caching import entry
from multi_llm_wrapper.clock import SystemClock
from multi_llm_wrapper.testing import CompletionDouble
from tests.servers import RawServer, completion, config, error_body, serve, whole

pytestmark = pytest.mark.asyncio

KEY = "sk-test-0123456789"


def llm_with(**settings: Any) -> LLMWrapper:
    return LLMWrapper(WrapperConfig(openai=OpenAIConfig(api_key=KEY), **settings))


def cached(server: RawServer) -> LLMWrapper:
    return LLMWrapper(config(server, enable_caching=True))


async def ask(llm: LLMWrapper, prompt: Any = "Hello", model: str = "gpt-4o", **options: Any) -> Response:
    response: Response = await llm.query(prompt, model, **options)
    assert "success" == response.status, response.error
    return response


# --- hits -------------------------------------------------------------------------------------------------------


async def test_the_same_question_is_asked_once() -> None:
    """The second answer equals the first, but for what it says about its own call; over the wire there is one."""
    headers = {"x-request-id": "req_1", "x-ratelimit-remaining-requests": "5"}
    async with serve([0.1, *whole(completion(), headers=headers)]) as server, cached(server) as llm:
        first, second = await ask(llm), await ask(llm)
        assert 1 == len(server.requests)

    assert (False, True) == (first.metadata["cached"], second.metadata["cached"])
    assert (1, 0, []) == (
        first.metadata["attempts"],
        second.metadata["attempts"],
        second.metadata["attempts_detail"],
    )
    assert 0 < second.metadata["response_time"] < first.metadata["response_time"]
    assert second["timestamp"] >= first["timestamp"]
    assert (5, None) == (first.metadata["rate_limit"]["remaining_requests"], second.metadata["rate_limit"])
    assert 0 <= second.metadata["cache_age"] < 5
    own = {"cached", "cache_age", "cost_usd", "attempts", "attempts_detail", "response_time", "rate_limit"}
    same = [{name: value for name, value in r.metadata.items() if name not in own} for r in (first, second)]
    assert same[0] == same[1]
    assert {**first, "metadata": 0, "timestamp": 0} == {**second, "metadata": 0, "timestamp": 0}
    assert isinstance(second, Response)


async def test_every_hit_is_a_copy_of_its_own(mock_completion: CompletionDouble) -> None:
    """Whatever is done to an answer, the next one is whole; also when it is done to the first."""
    llm = llm_with()
    for _ in range(3):
        response = await ask(llm)
        assert "This is a test response from openai." == response["content"]
        response["content"] = "changed"
        response["metadata"]["usage"]["total_tokens"] = 99
        response["tool_calls"].append({})
        again = await ask(llm)
        assert (30, []) == (again.metadata["usage"]["total_tokens"], again.tool_calls)
    assert 1 == mock_completion.call_count


async def test_parsed_is_there_on_a_hit(mock_completion: CompletionDouble) -> None:
    """Read anew from the text, also as an instance of a class."""
    mock_completion.return_value = completion('{"a": 1}')

    class Answer:
        def __init__(self, a: int) -> None:
            self.a = a

        @staticmethod
        def model_json_schema() -> dict[str, Any]:
            return {"type": "object", "properties": {"a": {"type": "integer"}}}

    llm = llm_with()
    for _ in range(2):
        response = await ask(llm, response_format=Answer)
        assert isinstance(response.parsed, Answer)
        assert 1 == response.parsed.a
    assert 1 == mock_completion.call_count


async def test_what_was_dropped_is_that_of_this_call(mock_completion: CompletionDouble) -> None:
    """Two questions that reach the provider as the same share their answer, and nothing else."""
    llm = llm_with(drop_unsupported=True)
    first = await ask(llm, model="o3", temperature=0.5)
    second = await ask(llm, model="o3")
    assert (["temperature"], []) == (first.metadata["dropped_params"], second.metadata["dropped_params"])
    assert second.metadata["cached"]


# --- misses -----------------------------------------------------------------------------------------------------

OTHER: list[dict[str, Any]] = [
    {"prompt": "Hello!"},
    {"model": "gpt-4o-mini"},
    {"temperature": 0.0},
    {"temperature": 0.1},
    {"max_tokens": 5},
    {"system": "Be brief."},
    {"seed": 1},
    {"stop": ["x"]},
    {"response_format": {"type": "object"}},
    {"tools": [{"type": "function", "function": {"name": "f"}}]},
    {"extra_body": {"store": True}},
    {"extra_headers": {"x-variant": "b"}},
    {"api_key": "sk-of-another-tenant"},
    {"keep_raw": True},
]


async def test_a_different_question_is_another_one(mock_completion: CompletionDouble) -> None:
    """Whatever reaches the provider makes it different, the key included: one tenant does not see another's answer."""
    llm = llm_with()
    await ask(llm)
    for number, other in enumerate(OTHER, 2):
        await ask(llm, **other)
        assert number == mock_completion.call_count, other
    for other in ({}, *OTHER):
        assert (await ask(llm, **other)).metadata["cached"], other


async def test_what_does_not_reach_the_provider_makes_no_difference(mock_completion: CompletionDouble) -> None:
    """How long to wait and how often to try is not part of the question."""
    llm = llm_with()
    await ask(llm)
    for same in ({"timeout": 5.0}, {"max_retries": 1}, {"tags": {"a": "b"}}, {"raise_on_error": True}):
        assert (await ask(llm, **same)).metadata["cached"], same


async def test_raw_bytes_are_there_only_when_wanted() -> None:
    """An answer kept with its bytes is another than one kept without, so each call finds what it asked for."""
    async with serve(whole(completion())) as server, cached(server) as llm:
        for _ in range(2):
            assert "raw" not in (await ask(llm)).metadata
            assert "raw" in (await ask(llm, keep_raw=True)).metadata
        assert 2 == len(server.requests)


async def test_providers_do_not_share(mock_completion: CompletionDouble) -> None:
    """The same words to the same model name at two hosts are two questions."""
    settings = WrapperConfig(openai=OpenAIConfig(api_key=KEY), anthropic=AnthropicConfig(api_key=KEY))
    llm = LLMWrapper(settings)
    names = ["openai/model", "anthropic/model"]
    assert ["openai", "anthropic"] == [(await ask(llm, model=name)).provider for name in names]
    assert 2 == mock_completion.call_count


async def test_wrappers_do_not_share(mock_completion: CompletionDouble) -> None:
    """Each keeps its answers in a memory of its own, so the second one asks again."""
    for _ in range(2):
        await ask(llm_with())
    assert 2 == mock_completion.call_count


@pytest.mark.parametrize(
    "bad",
    [whole(error_body(), 400), whole(b"OK"), whole({"choices": []}), whole(completion(), 500)],
)
async def test_an_error_is_never_kept(bad: Any) -> None:
    """The next call asks again, and its good answer is kept."""
    async with serve(bad, whole(completion())) as server, cached(server) as llm:
        assert "error" == (await llm.query("Hello", "gpt-4o")).status
        for _ in range(2):
            assert "success" == (await llm.query("Hello", "gpt-4o")).status
        assert 2 == len(server.requests)


async def test_a_filtered_answer_is_not_kept() -> None:
    """Nor one whose end the provider itself calls none; where no reason was given at all, it may be whole."""
    ends = [("content_filter", 2), ("weird", 2), ("length", 1), ("tool_calls", 1), (None, 1)]
    for finish, asked in ends:
        async with serve(whole(completion(finish=finish))) as server, cached(server) as llm:
            for _ in range(2):
                await ask(llm)
            assert asked == len(server.requests), finish


async def test_an_answer_that_cannot_be_kept_is_still_an_answer() -> None:
    """A number of more than 64 bits in a field of the provider's own."""
    answer = completion(fingerprint=2**70)
    async with serve(whole(answer)) as server, cached(server) as llm:
        for number in (1, 2):
            response = await ask(llm)
            assert (2**70, number) == (response.metadata["provider_data"]["fingerprint"], len(server.requests))


# --- what the caller says ---------------------------------------------------------------------------------------


async def test_the_cache_can_be_switched_off_and_on(mock_completion: CompletionDouble) -> None:
    """By the configuration, and by the call, which goes first."""
    llm = llm_with()
    for number in (1, 2):
        await ask(llm, cache=False)
        assert number == mock_completion.call_count
    await ask(llm)
    assert 3 == mock_completion.call_count, "what was asked with cache=False was not kept"

    llm = llm_with(enable_caching=False)
    for number in (4, 5):
        await ask(llm)
        assert number == mock_completion.call_count
    await ask(llm, cache=True)
    assert (await ask(llm, cache=True)).metadata["cached"]
    assert 6 == mock_completion.call_count


async def test_refresh_asks_again_and_keeps_the_new_answer(mock_completion: CompletionDouble) -> None:
    """The provider is asked although an answer is there, and later calls get the new one."""
    mock_completion.side_effect = [completion(text) for text in ("old", "new")]
    llm = llm_with()
    assert "old" == (await ask(llm)).content
    response = await ask(llm, cache="refresh")
    assert ("new", False) == (response.content, response.metadata["cached"])
    response = await ask(llm)
    assert ("new", True) == (response.content, response.metadata["cached"])


async def test_a_failed_refresh_leaves_what_there_was(mock_completion: CompletionDouble) -> None:
    """A good answer is not lost because a newer one could not be had."""
    mock_completion.side_effect = [completion("old"), PermissionError("no")]
    llm = llm_with(max_retries=0)
    await ask(llm)
    assert "error" == (await llm.query("Hello", "gpt-4o", cache="refresh")).status
    assert "old" == (await ask(llm)).content


class Clock(SystemClock):
    """Its date can be moved."""

    def __init__(self) -> None:
        self.date = 1_800_000_000.0

    def time(self) -> float:
        return self.date


@pytest.mark.parametrize(
    ("settings", "options", "ttl"),
    [({}, {}, 3600), ({"cache_ttl": 60}, {}, 60), ({"cache_ttl": 60}, {"cache_ttl": 5}, 5)],
)
async def test_answers_are_kept_for_a_time(
    mock_completion: CompletionDouble, settings: dict[str, Any], options: dict[str, Any], ttl: float
) -> None:
    """An hour unless said otherwise; the call goes first."""
    clock = Clock()
    llm = LLMWrapper(WrapperConfig(openai=OpenAIConfig(api_key=KEY), **settings), clock=clock)
    await ask(llm, **options)
    clock.date += ttl - 0.001
    assert (await ask(llm)).metadata["cached"]
    clock.date += 0.001
    assert not (await ask(llm)).metadata["cached"]


@pytest.mark.parametrize("value", ["yes", 1, "Refresh"])
async def test_a_wrong_word_is_refused(mock_completion: CompletionDouble, value: Any) -> None:
    """The error names the option, and nothing is sent."""
    response = await llm_with().query("Hello", "gpt-4o", cache=value)
    assert ("error", "validation_error", 0) == (response.status, response.error_type, mock_completion.call_count)
    assert "cache" in (response.error or "")


async def test_calls_at_once_each_have_an_answer(mock_completion: CompletionDouble) -> None:
    """They share one request, and its answer is kept for whoever comes later."""
    llm = llm_with()
    responses = await asyncio.gather(*(ask(llm) for _ in range(20)))
    assert ["This is a test response from openai."] * 20 == [response.content for response in responses]
    assert 1 == mock_completion.call_count
    assert (await ask(llm)).metadata["cached"]


async def test_what_is_kept_has_no_key_in_it(mock_completion: CompletionDouble) -> None:
    """Neither in its name nor in its value."""
    llm = llm_with()
    await ask(llm)
    assert llm._cache._memory is not None
    entries = llm._cache._memory._entries
    assert 1 == len(entries)
    for name, (_, value) in entries.items():
        assert KEY not in name
        assert KEY.encode() not in value
        assert "This is a test response from openai." == entry.decode(value).reply.content


# --- the age of an answer ---------------------------------------------------------------------------------------


async def test_a_hit_says_how_old_it_is(mock_completion: CompletionDouble) -> None:
    """In seconds; an answer that was asked for says nothing."""
    clock = Clock()
    llm = LLMWrapper(OpenAIConfig(api_key=KEY), clock=clock)
    assert "cache_age" not in (await ask(llm)).metadata
    clock.date += 12.5
    assert 12.5 == (await ask(llm)).metadata["cache_age"]
    assert "cache_age" not in (await ask(llm, cache=False)).metadata


async def test_a_caller_gets_nothing_older_than_it_wants(mock_completion: CompletionDouble) -> None:
    """`cache_ttl` is for how long an answer is kept, and how old one may be."""
    clock = Clock()
    llm = LLMWrapper(OpenAIConfig(api_key=KEY), clock=clock)
    await ask(llm)
    clock.date += 100
    assert (await ask(llm, cache_ttl=101.0)).metadata["cached"]
    assert not (await ask(llm, cache_ttl=100.0)).metadata["cached"]
    assert 0 == (await ask(llm)).metadata["cache_age"], "the newer answer took the place of the older"


async def test_a_clock_that_goes_back_keeps_no_answer_for_longer(mock_completion: CompletionDouble) -> None:
    """A little makes an answer new; far, and it is asked for again."""
    clock = Clock()
    llm = LLMWrapper(OpenAIConfig(api_key=KEY), clock=clock)
    await ask(llm)
    clock.date -= 50
    assert 0 == (await ask(llm)).metadata["cache_age"]
    clock.date -= 1e6
    assert [False, True] == [(await ask(llm)).metadata["cached"] for _ in range(2)]


# --- the statistics ---------------------------------------------------------------------------------------------


async def test_a_hit_is_counted_as_a_hit(mock_completion: CompletionDouble) -> None:
    """And as nothing else: no request, no tokens, no time."""
    llm = llm_with()
    await ask(llm)
    before, seconds = llm.get_usage_stats(), llm.get_average_response_time("openai")
    for _ in range(3):
        await ask(llm)
    before["openai"]["cache_hits"] += 3
    assert (before, seconds) == (llm.get_usage_stats(), llm.get_average_response_time("openai"))


async def test_the_cache_says_what_it_did(mock_completion: CompletionDouble) -> None:
    """Hits, misses, what was kept, what was not and what had to go for it, and a size within the limit."""
    llm = LLMWrapper(WrapperConfig(openai=OpenAIConfig(api_key=KEY), cache="memory://?max_bytes=1500"))
    for prompt in ("a", "a", "b", "c"):
        await ask(llm, prompt)
    mock_completion.return_value = completion("x" * 2000)
    await ask(llm, "d")
    mock_completion.return_value = completion(fingerprint=2**70)
    await ask(llm, "e")
    stats = llm._cache.stats()
    assert 0 < (stats.pop("size") or 0) <= 1500
    assert {"hits": 1, "misses": 5, "shared": 0, "stores": 3, "errors": 0, "skipped": 2, "evicted": 1} == stats


async def test_nothing_is_counted_when_it_is_off(mock_completion: CompletionDouble) -> None:
    """Not even misses, whether there is no store or it is switched off."""
    for settings in ({"cache": None}, {"enable_caching": False}):
        llm = llm_with(**settings)
        for _ in range(2):
            await ask(llm)
        assert {0} == set(llm._cache.stats().values())


# --- a configuration that changes -------------------------------------------------------------------------------


async def test_no_store_is_no_cache(mock_completion: CompletionDouble) -> None:
    """Whatever a call wants."""
    llm = llm_with(cache=None)
    for wanted in (None, True, "refresh"):
        assert not (await ask(llm, cache=wanted)).metadata["cached"]
    assert 3 == mock_completion.call_count


async def test_a_change_counts_from_the_next_call_on(
    mock_completion: CompletionDouble, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Switched off and on, moved to a file, to a place that is none, and back; what was open is closed in the end."""
    llm = llm_with()
    await ask(llm)
    llm.config.enable_caching = False
    assert not (await ask(llm)).metadata["cached"]
    llm.config.enable_caching = True
    assert (await ask(llm)).metadata["cached"]
    llm.config.cache = f"sqlite:///{tmp_path}/c.db?timeout=5"
    assert [False, True] == [(await ask(llm)).metadata["cached"] for _ in range(2)]
    llm.config.cache = "nonsense://x"
    assert [False, False] == [(await ask(llm)).metadata["cached"] for _ in range(2)]
    assert 1 == len(caplog.messages)
    assert "WrapperConfig.cache" in caplog.text
    llm.config.cache = f"sqlite:///{tmp_path}/c.db?timeout=5"
    assert (await ask(llm)).metadata["cached"]
    await llm.aclose()
    assert ["c.db"] == os.listdir(tmp_path)


# --- routes -----------------------------------------------------------------------------------------------------


def with_fallback(**settings: Any) -> LLMWrapper:
    return LLMWrapper(
        WrapperConfig(
            openai=OpenAIConfig(api_key=KEY),
            anthropic=AnthropicConfig(api_key=KEY),
            fallbacks={"gpt-4o": ["claude-sonnet-4-5"]},
            max_retries=0,
            **settings,
        )
    )


async def test_the_answer_of_a_fallback_is_not_kept_for_the_primary(mock_completion: CompletionDouble) -> None:
    """Nor for itself: it was asked with settings that were not its own."""
    llm = with_fallback()
    mock_completion.side_effect = [PermissionError("no"), completion("of the fallback")] * 2 + [completion("of mine")]
    for _ in range(2):
        response = await ask(llm)
        assert ("of the fallback", "anthropic") == (response.content, response.provider)
        assert not response.metadata["cached"]
    assert "of mine" == (await ask(llm, model="claude-sonnet-4-5")).content


async def test_the_answer_of_the_primary_is_there_while_the_primary_is_down(mock_completion: CompletionDouble) -> None:
    """It is looked for under the model that was asked, whatever route would be taken now."""
    llm = with_fallback()
    await ask(llm)
    mock_completion.side_effect = PermissionError("no")
    for number in range(12):
        await llm.query(f"question {number}", "gpt-4o")
    response = await ask(llm)
    assert (True, "openai") == (response.metadata["cached"], response.provider)


async def test_deployments_of_one_name_share_their_answers(mock_completion: CompletionDouble) -> None:
    """Whichever of them is chosen; the answer says who gave it. Another name at the same place is another question."""
    places = [Deployment("openai", "gpt-4o"), Deployment("anthropic", "claude-sonnet-4-5")]
    settings = WrapperConfig(
        openai=OpenAIConfig(api_key=KEY),
        anthropic=AnthropicConfig(api_key=KEY),
        deployments={"smart": places, "clever": places},
    )
    for _ in range(5):
        llm = LLMWrapper(settings)
        responses = [await ask(llm, model="smart") for _ in range(10)]
        assert [False, *[True] * 9] == [response.metadata["cached"] for response in responses]
        assert 1 == len({(response.provider, response.model) for response in responses})
        for other in ("clever", str(responses[0].model)):
            assert not (await ask(llm, model=other)).metadata["cached"]


async def test_a_route_without_a_key_is_no_question(mock_completion: CompletionDouble) -> None:
    """The next one is asked; what it says is its own answer, and is not kept for the first."""
    llm = LLMWrapper(WrapperConfig(anthropic=AnthropicConfig(api_key=KEY), fallbacks={"gpt-4o": ["claude-sonnet-4-5"]}))
    for number in (1, 2):
        response = await ask(llm)
        assert ("anthropic", number) == (response.provider, mock_completion.call_count)
