"""The command `multi-llm`, also to be had as `python -m multi_llm_wrapper`."""

from __future__ import annotations

import io
import sys
from importlib.util import find_spec

NEEDED = ("click", "rich")


def main() -> None:
    """Runs the command line; without the packages of the extra it says how to get them, and ends with status 2."""
    if any(find_spec(name) is None for name in NEEDED):
        sys.stderr.write("multi-llm needs click and rich; install them: pip install 'multi-llm-wrapper[cli]'\n")
        sys.exit(2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an answer may hold what the terminal's encoding does not
    from .cli.app import app

    app(prog_name="multi-llm")


if __name__ == "__main__":
    main()
