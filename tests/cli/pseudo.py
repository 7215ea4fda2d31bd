"""`multi-llm` in a pseudo-terminal, with a screen to look at and a keyboard."""

from __future__ import annotations

import codecs
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

from tests.cli.screen import Screen

# The child makes the pseudo-terminal its own, as a shell's children have it: only so does Ctrl-C become SIGINT.
_START = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"


class Terminal:
    """What the program writes goes to `screen` (and to `output`, as it is); `keys` types."""

    def __init__(
        self,
        *args: str,
        columns: int = 80,
        rows: int = 24,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.screen = Screen(columns, rows)
        self.output = ""
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._fd, inner = os.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        command = [sys.executable, "-c", _START, sys.executable, "-m", "multi_llm_wrapper", *args]
        environment = {**os.environ, "TERM": "xterm-256color", **(env or {})}
        self.process: subprocess.Popen[Any] = subprocess.Popen(
            command, stdin=inner, stdout=inner, stderr=inner, env=environment, cwd=cwd, start_new_session=True
        )
        os.close(inner)

    def keys(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def interrupt(self) -> None:
        self.keys("\x03")

    def wait_for(self, pattern: str, seconds: float = 20.0) -> re.Match[str]:
        """Until the pattern is on the screen (or was); the match."""
        end = time.monotonic() + seconds
        while (match := re.search(pattern, self.screen.text)) is None:
            if not self._read(end):
                raise AssertionError(f"{pattern!r} never came; the screen:\n{self.screen.text}")
        return match

    def wait(self, seconds: float = 20.0) -> int:
        """Until the program ends; its exit status."""
        end = time.monotonic() + seconds
        while self._read(end):
            pass
        return self.process.wait(max(0.1, end - time.monotonic()))

    def leave(self) -> int:
        """Ctrl-C at a prompt; the exit status. Python's readline misses a signal that comes between the prompt and the
        wait for a key, which a person is too slow for, so it may take another."""
        for _ in range(5):
            self.interrupt()
            try:
                return self.wait(3.0)
            except subprocess.TimeoutExpired:
                continue
        raise AssertionError(f"Ctrl-C did not end it; the screen:\n{self.screen.text}")

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._fd)

    def _read(self, end: float) -> bool:
        """False when there is nothing more to come, or not in time."""
        if not select.select([self._fd], [], [], max(0.0, end - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # the other end is closed
            return False
        text = self._decode(data)
        self.output += text
        self.screen.feed(text)
        return bool(data)
