"""The examples of the guides are tests: each Python block runs as it stands, each scenario is one."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from multi_llm_wrapper.cli import sim
from multi_llm_wrapper.simulator import scenario, scenario_file, timing

DOCS = Path(__file__).parents[1] / "docs"
GUIDES = ("simulator.md", "testing.md")


def blocks(name: str, language: str) -> list[str]:
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", GUIDES)
def test_the_examples_run(name: str, tmp_path: Path) -> None:
    """In a session of their own, as in a user's project; warnings are errors."""
    examples = blocks(name, "python")
    for number, example in enumerate(examples):
        (tmp_path / f"test_example_{number}.py").write_text(example, encoding="utf-8")
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    off = [f"-pno:{other}" for other in ("cacheprovider", "cov", "benchmark", "timeout", "xdist")]
    options = ["-o", "asyncio_mode=strict", "-o", "asyncio_default_fixture_loop_scope=function"]
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", *off, *options, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
    tests = sum(len(re.findall(r"^(?:async )?def test_", example, re.MULTILINE)) for example in examples)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{tests} passed" in done.stdout
    assert tests >= len(examples)


def test_the_scenario_is_one() -> None:
    """It uses every kind of setting there is."""
    (text,) = blocks("simulator.md", "toml")
    found = scenario_file.parse(text.encode(), json=False)

    assert 3 == len(found.replies)
    assert None not in (found.mode, found.seed, found.timing, found.limits, found.context_windows, found.default)


def test_the_commands_are_understood() -> None:
    """Every `multi-llm sim` with its options."""
    commands = [line for line in "\n".join(blocks("simulator.md", "bash")).splitlines() if line.startswith("multi-llm")]

    assert commands
    for command in commands:
        _, name, *args = shlex.split(command)
        assert ("sim", "sim") == (name, sim.command.make_context("sim", args).info_name)


def test_the_guide_names_every_field_option_and_preset_it_speaks_of() -> None:
    """And no field of a reply or a match is left out of its table."""
    text = (DOCS / "simulator.md").read_text(encoding="utf-8")
    options = {option for parameter in sim.command.params for option in parameter.opts}

    for field in (*scenario.Answer.__struct_fields__, *scenario.When.__struct_fields__):
        assert f"`{field}`" in text, field
    for option in re.findall(r"`[^`\n]*?(--[a-z-]+)", text):
        assert option in options, option
    for preset in re.findall(r'"([a-z]+-llama2-[0-9a-z]+)"', text):
        assert preset in timing.PRESETS, preset
