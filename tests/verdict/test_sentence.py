"""Numbers as people read them."""

import pytest

from bench.verdict.sentence import dollars


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0.0, "$0"),
        (2.694, "$2.69"),
        (0.0929, "$0.0929"),
        (60470.0, "$60,500"),
        (1.23e-5, "$0.0000123"),
        (9.996, "$10.0"),
        (999.6, "$1,000"),
        (0.99996, "$1.00"),
        (1.17e10, "$11,700,000,000"),
        (-0.5, "-$0.500"),
    ],
)
def test_dollars(amount: float, text: str) -> None:
    assert dollars(amount) == text
