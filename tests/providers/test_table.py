"""The table of providers in the documentation says what the rows say."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from multi_llm_wrapper.providers import ROWS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    """The script that writes the table; the sources come without it."""
    if not DOCS.is_dir():
        pytest.skip("the documentation is not here")
    spec = importlib.util.spec_from_file_location("providers_table", DOCS / "providers_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(writer: ModuleType) -> None:
    """Written anew, the page is as it is: `python docs/providers_table.py` after a change of the rows."""
    text = (DOCS / "providers.md").read_text(encoding="utf-8")

    assert writer.page(text) == text


def test_every_provider_has_its_line(writer: ModuleType) -> None:
    """One line each, with its address and the variable of its key."""
    lines = writer.table().splitlines()[2:]

    assert [f"| `{name}` |" for name in ROWS] == [line[: len(name) + 6] for name, line in zip(ROWS, lines, strict=True)]
    assert all(row.base_url in line and row.key_env[0] in line for row, line in zip(ROWS.values(), lines, strict=True))


def test_differences_are_told_in_words(writer: ModuleType) -> None:
    """Each kind of quirk has its sentence."""
    lines = dict(zip(ROWS, writer.table().splitlines()[2:], strict=True))

    assert (
        "limit is `max_tokens`; no `stream_options`; `content` goes back with the next turn; refuses `seed`; "
        "`developer` is sent as `system`"
    ) in lines["mistral"]
    assert "the address is your own; key in `api-key`; URL has `/openai/deployments/{model}?" in lines["azure"]
    assert "`LM_API_TOKEN`, if any" in lines["lmstudio"]
    assert "| - | [page](https://platform.openai.com" in lines["openai"]
