"""One call of the user, from its options to its response: which target, what bytes, how many attempts.

`Call.answer()` is the whole of `query()`. A stream (`stream.ResponseStream`) goes the same way with pieces in place of
one reply; what the two share is here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec

from . import attempt, foreign, response
from .dialects.shape import loads
from .errors import GeneralError, IncompleteStreamError, LLMError, UnsupportedFeatureError, ValidationError
from .options import Options, Prompt, build_request, check_call
from .parsed import parse
from .policies.budget import Budget
from .response import Facts, Response
from .routing import Limits, Target, join_url
from .transport.base import HTTPRequest
from .types import ChatRequest, RateLimit, Reply, WireRequest

if TYPE_CHECKING:
    from .wrapper import LLMWrapper

MAX_REQUEST_BYTES = 32 * 1024 * 1024
SHORTEST_KEY = 6
"""Shorter ones are no keys but placeholders, and may be part of any word."""
DROPPABLE = ("temperature", "top_p", "stop", "seed", "reasoning_effort", "parallel_tool_calls")
"""Settings that may be left out without changing what is asked; tools, images and schemas are never dropped."""

_log = logging.getLogger("multi_llm_wrapper")


class Call:
    """The state of one logical call. `prepare()` raises `LLMError` for what is refused unsent."""

    target: Target
    request: ChatRequest
    wire: HTTPRequest
    limits: Limits
    budget: Budget

    def __init__(self, wrapper: LLMWrapper, prompt: Prompt, model: str | None, options: Options, stream: bool) -> None:
        self.wrapper = wrapper
        self.options = options
        self.clock = wrapper.clock
        self.started = self.clock.monotonic()
        self.provider: str | None = None
        self.model: str | None = model if isinstance(model, str) else None
        self.dropped: list[str] = []
        self.details: list[dict[str, Any]] = []
        self._prompt = prompt
        self._asked_model = model
        self._stream = stream

    # --- before -------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        wrapper, options = self.wrapper, self.options
        if options:
            check_call(options)
        target = self.target = self._route()
        self.request = build_request(self._prompt, target.model, options, stream=self._stream)
        drop = options.get("drop_unsupported")
        wire = self._encode(target, wrapper.config.drop_unsupported if drop is None else drop)
        self.wire = HTTPRequest(
            "POST",
            join_url(target.base_url, wire.path),
            {**target.headers, **wire.headers} if wire.headers else target.headers,
            self._body(wire),
            target.proxy,
            target.ca_file,
        )
        self.limits = target.limits
        self.budget = Budget(target.max_retries, self.started + target.limits.total)

    def _route(self) -> Target:
        router, model = self.wrapper.router, self._asked_model
        try:
            target = router.target(model, self.options)
        except LLMError:
            self.provider, self.model = router.decide(model)  # so that the error says who was meant, if that is known
            raise
        self.provider, self.model = target.provider, target.model
        return target

    def _encode(self, target: Target, drop: bool) -> WireRequest:
        """In the words of the dialect; what the model refuses is dropped or refused, as the caller wants it."""
        request = self.request
        refuses = target.profile.refuses | target.quirks.refuses
        for name in sorted(refuses):
            if getattr(request, name) is not None:
                self._drop(name, drop, _refused(target, name))
        while True:
            try:
                return target.dialect.encode_request(request, target.profile, target.quirks)
            except UnsupportedFeatureError as error:
                error.rejected_by = "client"
                self._drop(error.code or "", drop, error)
            except (TypeError, ValueError, OverflowError, RecursionError) as error:
                raise ValidationError(
                    f"messages or options hold something that cannot be sent as JSON ({error}); use texts, numbers, "
                    "lists and dicts, and no lone surrogates.",
                    code="invalid_input",
                    rejected_by="client",
                ) from None

    def _drop(self, name: str, drop: bool, error: LLMError) -> None:
        if not drop or name not in DROPPABLE or getattr(self.request, name) is None:
            raise error
        setattr(self.request, name, None)
        self.dropped.append(name)

    def _body(self, wire: WireRequest) -> bytes:
        body, extra = wire.body, self.options.get("extra_body")
        if extra:
            try:
                body = msgspec.json.encode(_merged(loads(body), extra))
            except (TypeError, ValueError, OverflowError) as error:
                raise ValidationError(
                    f"extra_body holds something that cannot be sent as JSON ({error}); use texts, numbers, lists and "
                    "dicts.",
                    code="invalid_input",
                    rejected_by="client",
                ) from None
        if len(body) > MAX_REQUEST_BYTES:
            raise ValidationError(
                f"prompt makes a request of {len(body):,} bytes, more than our limit of {MAX_REQUEST_BYTES:,}; shorten "
                "it, or give images by URL.",
                code="request_too_large",
                rejected_by="client",
            )
        return body

    # --- attempts -----------------------------------------------------------------------------------------------

    async def answer(self) -> Response:
        """Attempts until there is an answer, or no more attempt would help."""
        began = self.started
        try:
            while True:
                began = self.begin_attempt()
                try:
                    answer = await self._attempt()
                    self.note(None, began, None)
                    return self.succeeded(answer.reply, answer.request_id, answer.rate_limit, raw=answer.raw)
                except LLMError as failure:
                    error = failure
                except Exception as failure:
                    error = unexpected(failure)
                wait = self.after_failure(error, began)
                if wait is None:
                    return self.failed(error)
                await self.sleep(wait)
        except BaseException:
            self.cancelled(began)
            raise

    async def _attempt(self) -> attempt.Answer:
        completion = self.wrapper.completion
        if completion is not None:
            return await foreign.answer(completion, self, self.attempt_deadline())
        return await attempt.answer(
            self.wrapper.transport, self.target, self.wire, self.limits, self.attempt_deadline(), self.clock
        )

    def begin_attempt(self) -> float:
        self.budget.attempts += 1
        return self.clock.monotonic()

    def attempt_deadline(self) -> float:
        limit = self.limits.attempt
        if limit is None:
            return self.budget.deadline
        return min(self.budget.deadline, self.clock.monotonic() + limit)

    def after_failure(self, error: LLMError, began: float, *, may_retry: bool = True) -> float | None:
        """Seconds to wait before the next attempt; None when this failure is the end."""
        error.provider, error.model = self.provider, self.model
        error.message = self._without_key(error.message)
        wait = self.budget.wait_after(error, self.clock.monotonic()) if may_retry else None
        self.note(error, began, wait)
        return wait

    def note(self, error: LLMError | None, began: float, wait: float | None) -> None:
        self.details.append(
            {
                "provider": self.provider,
                "model": self.model,
                "error_type": error.error_type if error is not None else None,
                "status_code": error.status_code if error is not None else 200,
                "duration": self.clock.monotonic() - began,
                "wait": wait,
            }
        )

    def _without_key(self, message: str) -> str:
        """Whatever a provider or a foreign client says, it does not repeat the key through us; not its beginning
        either, where a quotation was cut."""
        key = self.target.key
        secret = key.reveal() if key is not None else ""
        if len(secret) < SHORTEST_KEY or secret[:SHORTEST_KEY] not in message:
            return message
        message = message.replace(secret, "***")
        for length in range(len(secret) - 1, SHORTEST_KEY - 1, -1):
            message = message.replace(f"{secret[:length]}...", "***...")
        return message

    async def sleep(self, seconds: float) -> None:
        if not getattr(self.wrapper.completion, "instant", False):
            await self.clock.sleep(seconds)

    # --- after --------------------------------------------------------------------------------------------------

    def succeeded(
        self,
        reply: Reply,
        request_id: str | None,
        rate_limit: RateLimit | None,
        *,
        first_token: float | None = None,
        raw: bytes | None = None,
    ) -> Response:
        facts = self._facts(request_id, rate_limit, first_token, raw)
        result = response.success(reply, facts)
        wanted = self.options.get("response_format")
        if wanted is not None:
            result._parsed = parse(wanted, reply.content)
        self.wrapper.counts.success(facts.provider, reply.usage, facts.response_time)
        return result

    def failed(
        self,
        error: LLMError,
        partial: Reply | None = None,
        *,
        request_id: str | None = None,
        rate_limit: RateLimit | None = None,
        first_token: float | None = None,
        raw: bytes | None = None,
    ) -> Response:
        facts = self._facts(request_id, rate_limit, first_token, raw)
        if facts.attempts:
            usage = partial.usage if partial is not None else None
            self.wrapper.counts.failure(facts.provider, usage, facts.response_time)
        return response.failure(error, facts, partial)

    def _facts(
        self, request_id: str | None, rate_limit: RateLimit | None, first_token: float | None, raw: bytes | None
    ) -> Facts:
        keep = self.options.get("keep_raw")
        return Facts(
            self.provider,
            self.model,
            self.clock.time(),
            self.clock.monotonic() - self.started,
            first_token,
            len(self.details),
            request_id,
            rate_limit,
            self.dropped,
            self.details,
            raw.decode("utf-8", "replace") if keep and raw is not None else None,
        )

    def abandoned(self, error: LLMError, began: float, partial: Reply | None, first_token: float | None) -> Response:
        """The caller closed the stream."""
        self.cancelled(began, partial)
        return response.failure(error, self._facts(None, None, first_token, None), partial)

    def cancelled(self, began: float, partial: Reply | None = None) -> None:
        """The caller gave up: counted with what was reported, and no error of the provider's."""
        if self.budget.attempts > len(self.details):
            self.note(_CANCELLED, began, None)
        if self.details:
            seconds = self.clock.monotonic() - self.started
            self.wrapper.counts.success(self.provider, partial.usage if partial is not None else None, seconds)

    @property
    def budgeted(self) -> bool:
        """Whether `prepare()` came to its end, so that there may be attempts."""
        return hasattr(self, "budget")

    @property
    def raises(self) -> bool:
        """Whether the caller wants errors as exceptions."""
        wanted = self.options.get("raise_on_error")
        return self.wrapper.config.raise_on_error if wanted is None else wanted


_CANCELLED = IncompleteStreamError("The caller gave up before the answer was complete.", code="closed")


def unexpected(error: Exception) -> GeneralError:
    """A mistake of ours as an error of the call; logged, since the response has no place for a traceback."""
    _log.error("multi_llm_wrapper: unexpected %s", type(error).__name__, exc_info=error)
    return GeneralError(
        f"Something unexpected went wrong ({type(error).__name__}); the log has the traceback. Please report it.",
        code="unexpected",
    )


def _refused(target: Target, name: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(
        f"{name} is refused by {target.provider}'s {target.model}; leave it out, or pass drop_unsupported=True.",
        code=name,
        rejected_by="client",
    )


def _merged(body: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """`extra` over `body`; objects in both are merged, anything else is replaced."""
    merged = dict(body)
    for name, value in extra.items():
        old = merged.get(name)
        merged[name] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


__all__ = ["Call", "unexpected"]
