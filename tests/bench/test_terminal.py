"""Runs in a terminal of their own: nothing wider than it, and after Ctrl-C it is as it was."""

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios

import pytest

from bench.store import load

SHOW, HIDE = "\x1b[?25h", "\x1b[?25l"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
IN_A_TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.executable, [sys.executable, '-m', 'bench', *sys.argv[1:]])\n"
)
LOOK_S = 0.1
UNSET = ("CI", "COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS", "LINES", "NO_COLOR", "TTY_COMPATIBLE")


class Terminal:
    """A pseudo-terminal of some columns with ``bench`` in its foreground."""

    def __init__(self, columns, folder, *arguments):
        self.said, self.decoder = "", codecs.getincrementaldecoder("utf-8")()
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        known = {name: value for name, value in os.environ.items() if name not in UNSET}
        told = {"TERM": "xterm-256color", "XDG_RUNTIME_DIR": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_A_TERMINAL, *arguments, "--out", str(folder / "out")],
            stdin=self.slave, stdout=self.slave, stderr=self.slave, cwd=folder,
            env={**known, **told, "CUDA_VISIBLE_DEVICES": ""}, start_new_session=True,
        )  # fmt: skip

    def read_until(self, text=None):
        """On to where it says this, or to its end."""
        while text is None or text not in self.said:
            ended = self.process.poll() is not None
            ready, _, _ = select.select([self.master], [], [], 0 if ended else LOOK_S)
            if ready:
                self.said += self.decoder.decode(os.read(self.master, 65536))
            elif ended:
                return

    def press_ctrl_c(self):
        """As the keyboard does: the terminal sends the signal."""
        os.write(self.master, b"\x03")

    def close(self):
        """End what is left of it."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def opened(tmp_path):
    """Opens terminals that are closed after the test."""
    terminals = []

    def open_terminal(columns, *arguments):
        terminals.append(Terminal(columns, tmp_path, *arguments))
        return terminals[-1]

    yield open_terminal
    for terminal in terminals:
        terminal.close()


def widths(said):
    """Of every line that was shown, also of those that were rewritten."""
    return [len(ESCAPE.sub("", part)) for part in re.split(r"[\r\n]+", said)]


def assert_clean(terminal):
    """The cursor shown, colours off, the keyboard echoed: as it was found."""
    assert terminal.said.rfind(SHOW) > terminal.said.rfind(HIDE) > 0
    after = terminal.said[terminal.said.rfind(SHOW) :]
    styles = re.findall(r"\x1b\[[0-9;]*m", after)
    assert not styles or styles[-1] in {"\x1b[0m", "\x1b[m"}
    assert terminal.said.endswith("\n")
    assert "Traceback" not in terminal.said
    assert termios.tcgetattr(terminal.slave) == terminal.before


@pytest.mark.parametrize("columns", [80, 140])
def test_no_line_is_wider_than_the_terminal(opened, columns):
    terminal = opened(columns, "all", "--device", "sim:h100", "--grade", "quick", "--seed", "1")
    terminal.read_until()
    assert terminal.process.returncode == 0
    assert max(widths(terminal.said)) <= columns
    lines = [line.rstrip() for line in ESCAPE.sub("", terminal.said).splitlines()]
    blocks = [line for line in lines if re.match(r"(sha256d|serve) +(block +)?\d+/4 ", line)]
    assert len(blocks) == 8
    assert all(line.endswith("MHz") for line in blocks)
    assert_clean(terminal)


def test_what_is_read_is_counted_and_sentences_break_at_words(opened):
    terminal = opened(80, "demo")
    terminal.read_until()
    assert terminal.process.returncode == 0
    assert re.search(r"drawing the page .*3/4", ESCAPE.sub("", terminal.said))
    assert max(widths(terminal.said)) <= 80
    assert_clean(terminal)


@pytest.mark.parametrize(
    ("moment", "arguments"),
    [
        ("sha256d loads", ["--device", "cpu", "--model", "tiny", "--grade", "quick"]),
        ("block  1/10", ["--device", "sim:h100", "--grade", "standard"]),
    ],
)
def test_ctrl_c_leaves_a_clean_terminal_and_a_readable_record(opened, tmp_path, moment, arguments):
    terminal = opened(80, "all", *arguments)
    terminal.read_until(moment)
    terminal.press_ctrl_c()
    terminal.read_until()
    assert terminal.process.returncode == 130
    assert max(widths(terminal.said)) <= 80
    assert_clean(terminal)
    (saved,) = (tmp_path / "out").glob("*.json")
    record = load(saved)
    assert record.validity.status == "incomplete"
    assert "INTERRUPTED" in {code.name for code in record.validity.codes}
