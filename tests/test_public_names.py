"""The public names, and what importing them costs: nothing that was not asked for."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import multi_llm_wrapper
from multi_llm_wrapper import errors

CONTRACT = [
    "AnthropicConfig", "Chunk", "Deployment", "GeminiConfig", "GroqConfig", "LLMError", "LLMWrapper",
    "OpenAICompatibleConfig", "OpenAIConfig", "PerplexityConfig", "ProviderConfig", "Response", "ResponseStream",
    "Timeouts", "WrapperConfig",
]  # fmt: skip

LOOK = """
import json, logging, os, socket, sys, threading, warnings

warnings.simplefilter("error")
opened = []
class Watched(socket.socket):
    def __init__(self, *args, **kwargs):
        opened.append("socket")
        super().__init__(*args, **kwargs)
socket.socket, environ, real = Watched, dict(os.environ), socket.getaddrinfo
socket.getaddrinfo = lambda *args, **kwargs: opened.append("lookup") or real(*args, **kwargs)
before = set(sys.modules)
CODE
loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
print(json.dumps({
    "modules": sorted(set(sys.modules) - before),
    "opened": opened,
    "handlers": [repr(h) for logger in loggers for h in logger.handlers if type(h) is not logging.NullHandler],
    "environ": environ != dict(os.environ),
    "threads": threading.active_count(),
}))
"""


def after(code: str) -> dict[str, Any]:
    """What a fresh interpreter has loaded and done after this code."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOOK.replace("CODE", code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert ("", 0) == (done.stderr, done.returncode)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def loaded(found: dict[str, Any], names: list[str]) -> list[str]:
    """Which of these packages are among the modules."""
    return [name for name in names if any(f"{module}.".startswith(f"{name}.") for module in found["modules"])]


def test_what_is_logged_is_not_shown_unless_the_program_wants_it() -> None:
    """Neither by us nor by Python's handler of last resort."""
    code = "import multi_llm_wrapper; logging.getLogger('multi_llm_wrapper.anything').error('a trouble')"
    assert [] == after(code)["handlers"]


# --- names ------------------------------------------------------------------------------------------------------


def test_the_public_names_are_those_of_the_contract() -> None:
    """Sorted, and none but the version beside them."""
    assert sorted([*CONTRACT, "__version__"]) == multi_llm_wrapper.__all__ == dir(multi_llm_wrapper)


@pytest.mark.parametrize("name", CONTRACT)
def test_each_public_name_is_a_class_of_that_name(name: str) -> None:
    """It is found where `__all__` says, and is the same every time."""
    found = getattr(multi_llm_wrapper, name)

    assert name == found.__name__
    assert found is getattr(multi_llm_wrapper, name)
    assert found.__module__.startswith("multi_llm_wrapper.")


def test_every_public_name_is_documented() -> None:
    """Each class says in its docstring what it is for."""
    assert [] == [name for name in CONTRACT if not getattr(multi_llm_wrapper, name).__doc__]


def test_a_star_import_gives_them_all() -> None:
    """`from multi_llm_wrapper import *` loads every name."""
    space: dict[str, Any] = {}
    exec("from multi_llm_wrapper import *", space)

    assert set(multi_llm_wrapper.__all__) <= space.keys()


def test_another_name_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match=r"^module 'multi_llm_wrapper' has no attribute 'LLMWraper'$"):
        _ = multi_llm_wrapper.LLMWraper  # type: ignore[attr-defined]  # wrong on purpose
    with pytest.raises(ImportError, match="cannot import name 'LLMWraper'"):
        exec("from multi_llm_wrapper import LLMWraper")


def test_there_is_one_error_class_for_each_type() -> None:
    """All subclasses of `LLMError` in `errors`, none twice, each under its own name."""
    classes = [
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.LLMError)
    ]
    subclasses = [value for value in classes if value is not errors.LLMError]

    assert {kind.error_type: kind for kind in subclasses} == errors.CLASSES
    assert len(errors.CLASSES) == len(subclasses)
    assert multi_llm_wrapper.LLMError is errors.LLMError


def test_the_version_is_that_of_the_distribution() -> None:
    """One version in one place."""
    assert importlib.metadata.version("multi-llm-wrapper") == multi_llm_wrapper.__version__


def test_the_package_says_that_it_is_typed() -> None:
    """Type checkers look for the marker."""
    assert (Path(multi_llm_wrapper.__file__).parent / "py.typed").is_file()


# --- imports ----------------------------------------------------------------------------------------------------

HEAVY = [
    "aiohttp", "pydantic", "rich", "click", "sqlite3", "redis", "litellm", "openai", "anthropic", "google", "httpx",
    "pytest", "multi_llm_wrapper.simulator", "multi_llm_wrapper.testing", "multi_llm_wrapper.cli",
]  # fmt: skip


def test_importing_the_package_loads_nothing() -> None:
    """Its names are loaded when they are first used."""
    found = after("import multi_llm_wrapper")

    assert [] == loaded(found, [*HEAVY, "msgspec", "asyncio"])
    assert ["multi_llm_wrapper", "multi_llm_wrapper.version"] == [
        name for name in found["modules"] if name.startswith("multi_llm_wrapper")
    ]


def test_a_wrapper_costs_no_more_than_it_needs() -> None:
    """Made, it has loaded no HTTP client and opened no socket, added no log handler and started no thread."""
    found = after("from multi_llm_wrapper import LLMWrapper, WrapperConfig; LLMWrapper(WrapperConfig())")

    assert [] == loaded(found, HEAVY)
    assert ([], [], False, 1) == (found["opened"], found["handlers"], found["environ"], found["threads"])


def test_every_name_is_as_cheap() -> None:
    """The same for all public names and the errors."""
    found = after("from multi_llm_wrapper import *; import multi_llm_wrapper.errors")

    assert [] == loaded(found, HEAVY)
    assert ([], [], False, 1) == (found["opened"], found["handlers"], found["environ"], found["threads"])


def test_the_pytest_plugin_loads_nothing_of_ours() -> None:
    """A test session that does not use the fixtures pays for nothing but the plugin's own module."""
    found = after("import multi_llm_wrapper.testing.plugin")

    assert [] == loaded(found, ["aiohttp", "msgspec", "multi_llm_wrapper.wrapper", "multi_llm_wrapper.simulator"])
