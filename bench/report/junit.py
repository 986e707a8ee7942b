"""Test cases as JUnit XML, which CI systems show; foreign text is cleaned and escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from bench.report.foreign import clean
from bench.report.own import GENERATOR

_UNSAID = re.compile("[\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Case:
    """One test case; ``failures`` are lines that say what is wrong, none if it passed."""

    group: str
    name: str
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suite:
    """Cases under one name."""

    name: str
    cases: Sequence[Case]


def to_junit(suite: Suite) -> bytes:
    """One suite of cases, UTF-8 with its XML declaration."""
    failed = sum(bool(case.failures) for case in suite.cases)
    numbers = {"tests": len(suite.cases), "failures": failed, "errors": 0, "skipped": 0}
    counts = {name: str(number) for name, number in numbers.items()}
    root = ElementTree.Element("testsuites", {"name": GENERATOR, **counts})
    outer = ElementTree.SubElement(root, "testsuite", {"name": _plain(suite.name), **counts})
    for case in suite.cases:
        names = {"classname": _plain(case.group), "name": _plain(case.name)}
        inner = ElementTree.SubElement(outer, "testcase", names)
        if case.failures:
            lines = [_plain(line) for line in case.failures]
            failure = ElementTree.SubElement(inner, "failure", {"message": lines[0]})
            failure.text = "\n".join(lines)
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _plain(text: str) -> str:
    """No control characters, lone surrogates or non-characters: XML 1.0 has no way to say them."""
    return _UNSAID.sub("�", clean(text))
