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


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """One line for the user and the exit status that goes with it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
