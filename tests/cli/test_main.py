"""The command itself: what it needs, what it says about itself, and how errors look."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from multi_llm_wrapper import __main__
from multi_llm_wrapper.version import __version__
from tests.cli.support import COMMAND, Invoke


def test_the_version_is_told_without_loading_the_library() -> None:
    """Nor rich: `--version` has to be quick."""
    code = (
        "import sys; from multi_llm_wrapper.cli.app import app; app(['--version'], standalone_mode=False);"
        "print([name for name in ('aiohttp', 'msgspec', 'rich', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert f"multi-llm {__version__}\n[]\n" == done.stdout


def test_help_lists_the_commands_without_loading_the_library(invoke: Invoke) -> None:
    """One line each; the modules of the commands import click alone."""
    code = (
        "import sys; from multi_llm_wrapper.cli.app import app; app(['--help'], standalone_mode=False);"
        "print([name for name in ('aiohttp', 'msgspec', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    listed = [line.split()[0] for line in invoke("--help").stdout.partition("Commands:\n")[2].splitlines()]
    assert ["demo", "ask", "chat", "models", "usage", "sim", "faults", "completion"] == listed
    assert done.stdout.endswith("\n[]\n")


def test_the_module_runs_the_command() -> None:
    """`python -m multi_llm_wrapper` is `multi-llm`."""
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=False)

    assert (0, f"multi-llm {__version__}\n", "") == (done.returncode, done.stdout, done.stderr)


def test_without_the_extra_one_line_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the status is 2; no traceback."""
    monkeypatch.setattr(__main__, "NEEDED", ("click", "no_such_package"))

    with pytest.raises(SystemExit) as ended:
        __main__.main()

    assert 2 == ended.value.code
    assert ("", "multi-llm needs click and rich; install them: pip install 'multi-llm-wrapper[cli]'\n") == tuple(
        capsys.readouterr()
    )


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["aks"], "No such command 'aks'"),
        (["--nope"], "No such option"),
        (["ask", "--nope"], "No such option"),
        (["ask", "hi"], "no model is named; name one, as in -m gpt-4o-mini"),
        (["chat"], "no model is named"),
        (["ask", "-m", "gpt-4o"], "there is no prompt"),
        (["demo", "--pace", "fast"], "Invalid value for '--pace'"),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
    ],
)
def test_wrong_usage_is_one_line_that_says_where_to_read_on(invoke: Invoke, args: list[str], error: str) -> None:
    """Status 2, nothing on standard output."""
    result = invoke(*args)

    assert (2, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("Error: ")
    assert error in result.stderr
    assert result.stderr.endswith("--help)\n")
    assert 1 == result.stderr.count("\n")


def test_without_a_command_it_shows_the_help(invoke: Invoke) -> None:
    """All of it, not one line."""
    assert "Commands:\n  demo" in invoke().output


@pytest.mark.parametrize(
    ("shell", "script"),
    [("bash", "complete -o nosort -F"), ("zsh", "#compdef multi-llm"), ("fish", "--command multi-llm")],
)
def test_completion_prints_what_the_shell_has_to_read(invoke: Invoke, shell: str, script: str) -> None:
    """Click's own script, for our name."""
    result = invoke("completion", shell)

    assert 0 == result.exit_code
    assert script in result.stdout
    assert "_MULTI_LLM_COMPLETE" in result.stdout


def test_a_completing_shell_gets_commands_and_options() -> None:
    """What the script of `completion` asks for."""
    asked = {
        **os.environ,
        "_MULTI_LLM_COMPLETE": "bash_complete",
        "COMP_WORDS": "multi-llm ask --com",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(COMMAND, env=asked, capture_output=True, text=True, check=True)

    assert "plain,--compare\n" == done.stdout


def test_a_bad_setting_in_the_environment_is_one_line(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named, not a traceback."""
    monkeypatch.setenv("MULTI_LLM_MAX_RETRIES", "many")

    result = invoke("ask", "hi", "-m", "gpt-4o")

    assert 2 == result.exit_code
    assert result.stderr.startswith("Error: ")
    assert "MULTI_LLM_MAX_RETRIES" in result.stderr
    assert 1 == result.stderr.count("\n")
