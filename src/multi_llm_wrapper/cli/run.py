"""Running the async library from a command: the event loop and the wrapper."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from . import terminal
from .exits import BAD_INPUT, TERMINATED, Problem

if TYPE_CHECKING:
    from ..wrapper import LLMWrapper

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], *, verbose: bool = False) -> T:
    """Runs a command's coroutine. Ctrl-C and SIGTERM cancel it, so that it can tidy up, and then end the program."""
    with terminal.held_logs(tell_them=verbose):
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


def open_wrapper(base_url: str | None = None, key_variable: str | None = None, **settings: Any) -> LLMWrapper:
    """A wrapper configured by `settings` and the environment; with `base_url` it knows that host too, see `at_host`."""
    from ..config import OpenAICompatibleConfig, WrapperConfig
    from ..wrapper import LLMWrapper

    if key_variable is not None and base_url is None:
        raise click.UsageError("--api-key-env is for --base-url, which is not given")
    try:
        config = WrapperConfig(raise_on_error=False, **settings)
        if base_url is not None:
            host = OpenAICompatibleConfig(base_url=base_url, api_key=_key(key_variable))
            config.providers = {_host(base_url): host}
        return LLMWrapper(config)
    except ValueError as error:
        raise Problem(str(error).replace("OpenAICompatibleConfig.base_url", "--base-url"), BAD_INPUT) from None


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
