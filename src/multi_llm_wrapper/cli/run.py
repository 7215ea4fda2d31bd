"""Running the async library from a command: the event loop, the wrapper, and the exit status."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    from ..response import Response
    from ..wrapper import LLMWrapper

T = TypeVar("T")

FAILED, BAD_INPUT, NO_ACCESS, TERMINATED = 1, 2, 3, 143

EXIT_STATUS = """\b
Exit status:
  0    answered
  1    an answer failed, or does not match --schema
  2    wrong usage or input; nothing was sent
  3    a key is missing or was refused
  130  interrupted"""

_NO_ACCESS = frozenset(("auth_error", "permission_error"))
_BAD_INPUT = frozenset(("validation_error", "unsupported_feature"))


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a command's coroutine. Ctrl-C and SIGTERM cancel it, so that it can tidy up, and then end the program."""
    return asyncio.run(_terminable(main))


async def _terminable(main: Coroutine[Any, Any, T]) -> T:
    task, told = asyncio.ensure_future(main), asyncio.Event()

    def terminate() -> None:
        told.set()
        task.cancel()

    with suppress(NotImplementedError, RuntimeError):  # Windows; not the main thread
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await task
    except asyncio.CancelledError:
        if told.is_set():
            raise SystemExit(TERMINATED) from None
        raise


def open_wrapper(base_url: str | None = None, key_variable: str | None = None) -> LLMWrapper:
    """A wrapper configured by the environment; with `base_url` it knows that host too, see `at_host`."""
    from ..config import OpenAICompatibleConfig, WrapperConfig
    from ..wrapper import LLMWrapper

    try:
        config = WrapperConfig(raise_on_error=False)
        if base_url is not None:
            given = OpenAICompatibleConfig(base_url=base_url, api_key=_key(key_variable))
            config.providers = {_host(base_url): given}
        return LLMWrapper(config)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def at_host(model: str, base_url: str | None) -> str:
    """The model's name for the wrapper; a host given by URL has its own name before the slash."""
    return model if base_url is None else f"{_host(base_url)}/{model}"


def _host(base_url: str) -> str:
    return urlsplit(base_url).netloc or "host"


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise click.UsageError(f"--api-key-env names {variable}, which is not set; set it, or leave the option out")
    return key


def exit_status(responses: Iterable[Response]) -> int:
    """0 when all went well; what all failures have in common, else 1."""
    found = {_status(response) for response in responses if not response.ok}
    if not found:
        return 0
    return found.pop() if len(found) == 1 else FAILED


def _status(response: Response) -> int:
    if response.error_type in _NO_ACCESS:
        return NO_ACCESS
    unsent = response.metadata["rejected_by"] == "client"
    return BAD_INPUT if unsent and response.error_type in _BAD_INPUT else FAILED
