"""One environment for each peer in `.bench/`, with what its requirements pin; and how large it is.

`python -m benchmarks.peers.environments` compiles the pins anew from `requirements/*.in`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".bench"
REQUIREMENTS = Path(__file__).parent / "requirements"
OURS = "ours"
_LEAVE_OUT = {"pip", "uv", "setuptools", "_virtualenv.py", "_virtualenv.pth"}


def python(name: str) -> Path:
    return HOME / name / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def ensure(name: str) -> None:
    """Makes the environment, unless it is there with these pins. Ours gets the package as it is now, every time."""
    pins = REQUIREMENTS / f"{name}.txt"
    stamp = HOME / name / ".pins"
    wanted = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()
    if not stamp.exists() or stamp.read_text(encoding="ascii") != wanted:
        shutil.rmtree(HOME / name, ignore_errors=True)
        _uv("venv", "--python", sys.executable, str(HOME / name))
        _uv("pip", "sync", *_into(name), str(pins))
        stamp.write_text(wanted, encoding="ascii")
    if name == OURS:
        _uv("pip", "install", *_into(name), "--no-deps", "--reinstall-package", "multi-llm-wrapper", str(ROOT))


def _into(name: str) -> tuple[str, ...]:
    return "--compile-bytecode", "--python", str(python(name))


def size(name: str) -> tuple[int, int]:
    """(bytes, distributions) in its site-packages, with the bytecode that an installer writes, without installers."""
    packages = next((HOME / name).glob("lib/python*/site-packages"), HOME / name / "Lib" / "site-packages")
    kept = [entry for entry in packages.iterdir() if entry.name.split("-")[0] not in _LEAVE_OUT]
    files = (file for entry in kept for file in ([entry] if entry.is_file() else entry.rglob("*")))
    return (
        sum(file.stat().st_size for file in files if file.is_file()),
        sum(entry.name.endswith(".dist-info") for entry in kept),
    )


def version(name: str, distribution: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    done = subprocess.run([python(name), "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def compile_pins() -> None:
    for source in sorted(REQUIREMENTS.glob("*.in"), key=lambda file: file.stem):
        _uv(
            *("pip", "compile", "--upgrade", "--universal", "--no-annotate", "--python", sys.executable),
            *("--prerelease", "if-necessary-or-explicit"),
            *("--custom-compile-command", "python -m benchmarks.peers.environments"),
            *("--output-file", str(source.with_suffix(".txt"))),
            str(source),
        )


def _uv(*arguments: str) -> None:
    beside = Path(sys.executable).with_name("uv")
    tool = str(beside) if beside.exists() else "uv"
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    subprocess.run([tool, *arguments, "--quiet"], check=True, cwd=ROOT, env=environment)


if __name__ == "__main__":
    compile_pins()
