"""``bench`` and ``joulemark``: hand the command line to the cli, whatever happens leave cleanly."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Entry point; the exit status is the contract of the README's table."""
    try:
        from bench.cli import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        print("bench: interrupted before anything was measured", file=sys.stderr)
        status = 128 + signal.SIGINT
    except BrokenPipeError:
        status = 128 + signal.SIGPIPE
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # all is said: only the interpreter's own end is left
    sys.exit(status)


if __name__ == "__main__":
    main()
