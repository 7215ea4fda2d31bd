"""`mock_completion`: stands in for an attempt, remembers how it was asked, and is as patient as a test wants it."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY, MagicMock

import pytest

from multi_llm_wrapper import AnthropicConfig, LLMWrapper, OpenAIConfig, Response, Timeouts, WrapperConfig
from multi_llm_wrapper.errors import LLMError, QuotaExceededError, RateLimitError
from multi_llm_wrapper.testing import CompletionDouble
from tests.servers import completion

pytestmark = pytest.mark.asyncio

KEY = "sk-test-0123456789"


def llm(**settings: Any) -> LLMWrapper:
    return LLMWrapper(
        WrapperConfig(
            openai=OpenAIConfig(api_key=KEY, headers={"x-team": "a"}),
            anthropic=AnthropicConfig(api_key=KEY),
            **{"enable_caching": False, **settings},
        )
    )


async def ask(model: str = "gpt-4o", *, settings: dict[str, Any] | None = None, **options: Any) -> Response:
    response: Response = await llm(**settings or {}).query("Hello", model, **options)
    return response


# --- answers ----------------------------------------------------------------------------------------------------


async def test_whoever_is_asked_answers_by_default(mock_completion: CompletionDouble) -> None:
    """A short text with usage, in the name of the provider and the model that were asked."""
    ids = set()
    for model, provider in (("gpt-4o", "openai"), ("claude-sonnet-4-5", "anthropic")):
        response = await ask(model)
        assert ("success", provider, model) == (response.status, response.provider, response.model)
        assert f"This is a test response from {provider}." == response.content
        assert model == response.metadata["response_model"]
        assert response.usage is not None
        assert (10, 20, 30) == tuple(response.usage[f"{kind}_tokens"] for kind in ("input", "output", "total"))
        ids.add(response.metadata["response_id"])
    assert 2 == len(ids)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(completion("Hello you"), id="dict"),
        pytest.param(
            SimpleNamespace(
                choices=[SimpleNamespace(message=SimpleNamespace(content="Hello you"), finish_reason="stop")],
                usage=SimpleNamespace(prompt_tokens=3, completion_tokens=2, total_tokens=5),
            ),
            id="object",
        ),
        pytest.param(
            MagicMock(
                choices=[MagicMock(message=MagicMock(content="Hello you"), finish_reason="stop")],
                usage=MagicMock(prompt_tokens=3, completion_tokens=2, total_tokens=5),
            ),
            id="MagicMock",
        ),
    ],
)
async def test_an_answer_may_be_a_dict_or_an_object(mock_completion: CompletionDouble, answer: Any) -> None:
    """What looks like a completion is read like one from the wire, a `MagicMock` too."""
    mock_completion.return_value = answer
    response = await ask()
    assert ("success", "Hello you", "stop") == (response.status, response.content, response.finish_reason)
    assert response.usage is not None
    assert 5 == response.usage["total_tokens"]


async def test_side_effects_are_those_of_an_async_mock(mock_completion: CompletionDouble) -> None:
    """A function, an async function, a list of answers and exceptions, one exception for all."""

    async def later(**request: Any) -> Any:
        return completion(f"later, {request['model']}")

    mock_completion.side_effect = lambda **request: completion(f"at once, {request['model']}")
    assert "at once, gpt-4o" == (await ask()).content
    mock_completion.side_effect = later
    assert "later, gpt-4o" == (await ask()).content
    mock_completion.side_effect = [completion("one"), QuotaExceededError("spent"), completion("three")]
    assert ["one", None, "three"] == [(await ask()).content for _ in range(3)]
    mock_completion.side_effect = QuotaExceededError
    mock_completion.side_effect = QuotaExceededError("spent")
    assert ["quota_exceeded"] * 2 == [(await ask()).error_type for _ in range(2)]
    mock_completion.side_effect = None
    assert "This is a test response from openai." == (await ask()).content


@pytest.mark.parametrize(
    ("raised", "error_type", "attempts"),
    [
        (TimeoutError("slow"), "timeout", 3),
        (ConnectionError("gone"), "connection_error", 3),
        (ConnectionResetError("gone"), "connection_error", 3),
        (RateLimitError("busy"), "rate_limit", 3),
        (QuotaExceededError("spent"), "quota_exceeded", 1),
        (ValueError("what"), "general_error", 1),
    ],
)
async def test_exceptions_have_their_class(
    mock_completion: CompletionDouble, raised: Exception, error_type: str, attempts: int
) -> None:
    """Retries are those of a real attempt, and their back-off does not sleep."""
    mock_completion.side_effect = raised
    began = time.monotonic()
    response = await ask()
    assert time.monotonic() - began < 0.4
    assert ("error", error_type, attempts) == (response.status, response.error_type, response.metadata["attempts"])
    assert attempts == mock_completion.call_count


async def test_an_error_of_ours_comes_out_as_it_is(mock_completion: CompletionDouble) -> None:
    """With its code, its status, its wait."""
    mock_completion.side_effect = RateLimitError("busy", code="mine", status_code=429, retry_after=500.0)
    response = await ask()
    facts = response.metadata
    assert ("busy", "mine", 429, 500.0) == (response.error, facts["code"], facts["status_code"], facts["retry_after"])
    assert 1 == mock_completion.call_count


@pytest.mark.parametrize("nonsense", [None, 42, "text", [], object(), {"choices": [object()]}])
async def test_what_is_no_completion_is_malformed(mock_completion: CompletionDouble, nonsense: Any) -> None:
    """It is an error response, as over the wire, and no exception in the test."""
    mock_completion.return_value = nonsense
    response = await ask(max_retries=0)
    assert ("error", "malformed_response") == (response.status, response.error_type)


# --- what it remembers ------------------------------------------------------------------------------------------


async def test_it_is_asked_by_keyword(mock_completion: CompletionDouble) -> None:
    """With who is asked, what, the options that were given, and how long it may take; the key is no header."""
    tools = [{"type": "function", "function": {"name": "f"}}]
    await ask(temperature=0.5, tools=tools, timeout=9.0, extra_headers={"x-call": "b"})

    mock_completion.assert_awaited_once_with(
        provider="openai",
        model="gpt-4o",
        messages=[{"role": "user", "content": "Hello"}],
        api_key=KEY,
        timeout=ANY,
        headers=ANY,
        temperature=0.5,
        tools=tools,
        extra_headers={"x-call": "b"},
    )
    request = mock_completion.call_args.kwargs
    assert 8 < request["timeout"] <= 9
    assert {"x-team": "a", "x-call": "b"}.items() <= request["headers"].items()
    assert KEY not in str(request["headers"])
    assert KEY not in str(request)


async def test_it_counts_attempts(mock_completion: CompletionDouble) -> None:
    """Of queries and of streams."""
    mock_completion.side_effect = [ConnectionError(), completion("two"), ConnectionError(), completion("four")]
    assert "two" == (await ask()).content
    async for _ in llm().stream("Hello", "gpt-4o"):
        pass
    assert 4 == mock_completion.call_count == len(mock_completion.await_args_list)
    mock_completion.reset_mock()
    assert 0 == mock_completion.call_count


async def test_it_forgets_nothing_it_never_had(mock_completion: CompletionDouble) -> None:
    """An attribute that no AsyncMock has is an error, so a slip of the pen is seen."""
    with pytest.raises(AttributeError):
        mock_completion.assert_called_onse()
    with pytest.raises(AttributeError):
        _ = mock_completion.__wrapped__


# --- time -------------------------------------------------------------------------------------------------------


async def test_delay_is_waited_for(mock_completion: CompletionDouble) -> None:
    """In seconds, before answers and before exceptions; and the response says how long it took."""
    mock_completion.delay = 0.05
    response = await ask()
    assert 0.05 <= response.metadata["response_time"] < 2
    mock_completion.side_effect = QuotaExceededError("spent")
    response = await ask()
    assert 0.05 <= response.metadata["response_time"] < 2


@pytest.mark.parametrize("limits", [{"timeout": 0.05}, {"timeouts": Timeouts(attempt=0.05)}])
async def test_a_delay_can_be_too_long(mock_completion: CompletionDouble, limits: dict[str, Any]) -> None:
    """The limits of the call count here too, and what they end is a timeout."""
    mock_completion.delay = 30.0
    began = time.monotonic()
    response = await ask(max_retries=0, **limits)
    assert 0.05 <= time.monotonic() - began < 2
    assert ("error", "timeout") == (response.status, response.error_type)


async def test_a_cancelled_delay_is_a_cancellation(mock_completion: CompletionDouble) -> None:
    """Whoever cancels sees a `CancelledError`, and nothing is tried again."""
    mock_completion.delay = 30.0
    task = asyncio.create_task(ask())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 1 == mock_completion.call_count


async def test_delays_pass_side_by_side(mock_completion: CompletionDouble) -> None:
    """Twenty calls at once wait as long as one."""
    mock_completion.delay = 0.1
    began = time.monotonic()
    responses = await asyncio.gather(*(ask() for _ in range(20)))
    assert 0.1 <= time.monotonic() - began < 1.0
    assert {"success"} == {response.status for response in responses}


def _error() -> LLMError:
    return RateLimitError("busy", retry_after=30.0)


async def test_a_wait_that_was_asked_for_does_not_sleep_either(mock_completion: CompletionDouble) -> None:
    """It is told in the details all the same."""
    mock_completion.side_effect = [_error(), completion("two")]
    began = time.monotonic()
    response = await ask()
    assert time.monotonic() - began < 1
    assert ("two", 30.0) == (response.content, response.metadata["attempts_detail"][0]["wait"])
