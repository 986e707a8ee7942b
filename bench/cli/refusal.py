"""Why a command ends early, and the exit statuses of the contract."""

from __future__ import annotations

OK = 0
BUG = 1
USAGE = 2
ENVIRONMENT = 3
METRIC_MISSING = 4
BUSY = 5
DEVICE_FAILED = 6
STORAGE = 7
BAD_FILE = 8
INVALID = 9
REGRESSION = 10
NOT_COMPARABLE = 11
INCONCLUSIVE = 12

MEANING = {
    OK: "done, perhaps with labels",
    BUG: "a bug in bench",
    USAGE: "usage, or a bad profile",
    ENVIRONMENT: "environment: no such device, no driver, a mismatch",
    METRIC_MISSING: "a required metric could not be had",
    BUSY: "the device is busy",
    DEVICE_FAILED: "the device failed in mid-run",
    STORAGE: "storage",
    BAD_FILE: "a bad or unreadable result file, or `bench verify` found a difference",
    INVALID: "the run is invalid, or prices are stale with `--strict`",
    REGRESSION: "`bench gate`: a regression",
    NOT_COMPARABLE: "`bench gate`: not comparable with the baseline",
    INCONCLUSIVE: "`bench gate`: the noise hides whether it is one",
}
"""What each exit status says, for the command reference."""


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """One line for the user and the exit status that goes with it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
