"""Running a command's coroutine."""

from __future__ import annotations

import logging

import pytest

from multi_llm_wrapper.cli import run


async def _logging() -> int:
    logging.getLogger("multi_llm_wrapper").warning("odd: %s", 7)
    logging.getLogger("multi_llm_wrapper").info("nothing")
    return 1


@pytest.mark.parametrize(("verbose", "told"), [(False, ""), (True, "odd: 7\n")])
def test_logs_do_not_get_into_a_picture(capsys: pytest.CaptureFixture[str], verbose: bool, told: str) -> None:
    """Python would print them in the middle of it; they come afterwards, with `--verbose`."""
    assert 1 == run.run(_logging(), verbose=verbose)
    assert ("", told) == tuple(capsys.readouterr())


def test_a_host_by_url_has_its_name_before_the_models() -> None:
    """So that any model name goes there."""
    assert "localhost:11434/llama3" == run.at_host("llama3", "http://localhost:11434/v1")
    assert "gpt-4o" == run.at_host("gpt-4o", None)
