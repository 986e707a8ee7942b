"""The fields of a record that a line of a list shows, cut out of its text without reading the rest.

``save`` writes a record's fields in one order, each beginning a line of its own two spaces in, and
text within JSON holds no line end: where all of that holds, the fields can be told by their lines.
"""

from __future__ import annotations

from dataclasses import fields

from bench.records.record import RunRecord

NAMES = tuple(field.name.encode() for field in fields(RunRecord))
MARKS = tuple(b'\n  "%s": ' % name for name in NAMES)
WHOLE = (b"schema", b"run_id", b"started_at", b"device", b"workloads", b"validity")
FIRST = (b"plan", b"verdict")
"""Of these the first field alone is shown: the grade, and the verdict's code."""
END = b"\n}\n"
INNER = b'\n    "'


def shown_fields(data: bytes) -> bytes | None:
    """A JSON object of the fields that are shown; None where the text is not as ``save`` writes
    it: cut off, filled with zeros, put together of two, or of another layout."""
    if not data.endswith(END) or b"\0" in data:
        return None
    starts = _starts(data)
    if len(starts) < len(NAMES) or data[: starts[0]] != b"{" or MARKS[0] in data[starts[1] :]:
        return None
    ends = [*starts[1:], len(data) - len(END)]
    parts = [
        data[start + len(mark) : end] for start, mark, end in zip(starts, MARKS, ends, strict=True)
    ]
    if not all(part.endswith(b",") for part in parts[:-1]):
        return None
    values = dict(zip(NAMES, (part.removesuffix(b",") for part in parts), strict=True))
    if not all(map(_closed, values.values())):
        return None
    shown = [(name, values[name]) for name in WHOLE]
    shown += [(name, _first(values[name])) for name in FIRST]
    return b"{%s}" % b",".join(b'"%s":%s' % each for each in shown)


def _starts(data: bytes) -> list[int]:
    """Where each field's line begins, up to the first that is missing."""
    found: list[int] = []
    for mark in MARKS:
        start = data.find(mark, found[-1] if found else 0)
        if start < 0:
            break
        found.append(start)
    return found


def _closed(value: bytes) -> bool:
    """Whether it stands on one line, or its last bracket is that of its first."""
    return b"\n" not in value or (value[:1], value[-4:]) in {(b"{", b"\n  }"), (b"[", b"\n  ]")}


def _first(value: bytes) -> bytes:
    """An object of its first field alone."""
    head = value.split(INNER, 2)[1:2]
    return b'{"%s}' % b"".join(head).removesuffix(b",")
