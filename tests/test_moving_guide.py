"""The guide for those who come from litellm: its code runs, and its links lead somewhere."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from importlib.util import find_spec
from typing import Any

import pytest

from multi_llm_wrapper import errors
from multi_llm_wrapper.options import KNOWN
from multi_llm_wrapper.simulator import Simulator
from tests.conftest import REPOSITORY

GUIDE = REPOSITORY / "docs" / "moving-from-litellm.md"
TEXT = GUIDE.read_text()
BLOCK = re.compile(r"(<!-- needs litellm -->\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [(bool(needs), language, code, TEXT[: TEXT.index(code)].count("\n") + 1) for needs, language, code in
          BLOCK.findall(TEXT)]  # fmt: skip
RUN = [pytest.param(needs, code, id=f"line {line}") for needs, language, code, line in BLOCKS if language == "python"]
SHOWN = [pytest.param(code, id=f"line {line}") for _, language, code, line in BLOCKS if language == "py"]


@pytest.mark.filterwarnings("ignore")  # litellm's, in the block that needs it
@pytest.mark.parametrize(("needs_litellm", "code"), RUN)
def test_our_code_runs(simulator: Simulator, monkeypatch: pytest.MonkeyPatch, needs_litellm: bool, code: str) -> None:
    """Each block by itself, as it stands there, with keys and base URLs from the environment."""
    if needs_litellm and find_spec("litellm") is None:
        pytest.skip("litellm is not installed (dependency group `litellm`)")
    for provider in ("openai", "anthropic", "gemini", "groq"):
        monkeypatch.setenv(f"{provider.upper()}_API_KEY", "test")
        monkeypatch.setenv(f"{provider.upper()}_BASE_URL", simulator.base_url(provider))
    compiled = compile(code, str(GUIDE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(compiled, {"LAB_URL": simulator.base_url("openai")})
    assert inspect.iscoroutine(result)
    asyncio.run(result)

    assert simulator.journal


@pytest.mark.parametrize("code", SHOWN)
def test_litellms_code_is_python(code: str) -> None:
    """What is only shown can be parsed: there is no `SyntaxError`."""
    compile(code, str(GUIDE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)]+)\)", TEXT))))
def test_links(link: str) -> None:
    """Other pages are there, and headings of this one."""
    page, _, heading = link.partition("#")
    anchors = [re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in TEXT.splitlines()
               if line.startswith("#")]  # fmt: skip

    assert not page or (GUIDE.parent / page).is_file()
    assert not heading or heading in anchors


def table(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    rows = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].splitlines()
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows if row.startswith("| ")][1:]


def test_the_error_table() -> None:
    """Names classes that there are, and each `error_type` beside its exception."""
    named = dict.fromkeys(name for row in table("Errors") for name in re.findall(r"`(\w+)`", row[2]))
    kinds = [name for row in table("Errors") for name in re.findall(r"`(\w+)`", row[1])]
    known: dict[str, Any] = {cls.__name__: cls for cls in errors.CLASSES.values()}

    assert named.keys() <= known.keys()
    assert set(kinds) == {known[name].error_type for name in named}


def test_the_options() -> None:
    """Options that are said to be the same are options."""
    listed = TEXT.partition("The same words mean the same:")[2].partition(".")[0]

    assert set(re.findall(r"`(\w+)`", listed)) <= KNOWN
