"""By what a file says that it was written here: only such a one is ever replaced.

A slip of the hand, or a path from elsewhere, must not cost a file that somebody needs.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path

GENERATOR = "joulemark"
"""What HTML pages, workbooks and JUnit files name as their generator, author or suites."""
HEAD = 65536
"""Bytes in which a file must say what it is."""
_JSON = rb'\s*(\[\s*)?\{\s*"schema"\s*:\s*"joulemark/|\s*\[\s*\]\s*$'
_GENERATOR = GENERATOR.encode()
_OPENINGS = {
    "json": _JSON,
    "baseline": _JSON,
    "csv": rb"# [^\n]* \(boundary: \w+\)\n",
    "markdown": rb"\*\*[^\n]* \\\(boundary: \w+\\\)\*\*\n",
    "html": rb'(?is)<!doctype html>.*<meta name="generator" content="%b">' % _GENERATOR,
    "junit": rb'<\?xml [^>]*>\s*<testsuites name="%b"' % _GENERATOR,
}
"""How the files of each option begin: with their schema, boundary or generator."""


def is_own(form: str, path: Path) -> bool:
    """Whether what stands at ``path`` may be replaced by a file of that form, or holds nothing.

    ``form`` is the option without its dashes. A device has no content that could be lost. OSError
    when the file cannot be read.
    """
    if not path.is_file() or path.stat().st_size == 0:
        return True
    if form == "xlsx":
        return _is_own_workbook(path)
    with path.open("rb") as file:
        head = file.read(HEAD)
    return re.match(_OPENINGS[form], head) is not None and not _is_stored(path, head)


def _is_stored(path: Path, head: bytes) -> bool:
    """Whether it is a run of the store, which bears its run id as its name: nothing replaces it."""
    found = re.match(rb'\s*\{\s*"schema"\s*:\s*"[^"]*"\s*,\s*"run_id"\s*:\s*"([^"]*)"', head)
    return found is not None and found[1].decode(errors="replace") == path.stem


def _is_own_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as book, book.open("docProps/core.xml") as core:
            said = core.read(HEAD)
    except (zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError):
        return False
    return b"<dc:creator>%b</dc:creator>" % _GENERATOR in said
