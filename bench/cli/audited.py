"""Audits as rows and as files: what the kernels' room counts, what ships, what a gate keeps."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from bench.records.audit import AuditRow
from bench.records.decode import Misfit, from_object

if TYPE_CHECKING:
    from bench.kernels.sha256d.audit import Audit

SCHEMA = "joulemark/audit/1"
SHIPPED = "audited.json"
MAX_BYTES = 8 << 20


class BadAudit(ValueError):  # noqa: N818 - it is an answer, not a fault
    """A file that holds no audit; one line says why."""


def row_of(audit: Audit) -> AuditRow:
    """One kernel's audit as a row."""
    counts = audit.counts
    return AuditRow(
        kernel=f"{audit.kernel}:{audit.variant}",
        architecture=audit.architecture,
        compiler=audit.compiler,
        midstates=audit.midstates,
        instructions=counts.instructions,
        alu=counts.alu,
        fma_slots=counts.fma_slots,
        memory=counts.global_memory + counts.shared_memory + counts.local_memory,
        other=counts.other,
        registers=audit.registers,
        stack_bytes=audit.stack_bytes,
        spill_bytes=audit.spill_bytes,
    )


def document(rows: Iterable[AuditRow], **more: Any) -> str:
    """The rows as JSON, a kernel a line, so that two of them can be compared by eye."""
    lines = ",\n".join(f"    {json.dumps(asdict(row))}" for row in rows)
    head = "".join(f"  {json.dumps(k)}: {json.dumps(v)},\n" for k, v in more.items())
    return f'{{\n  "schema": "{SCHEMA}",\n{head}  "kernels": [\n{lines}\n  ]\n}}\n'


def read_document(text: str) -> tuple[AuditRow, ...]:
    """The rows of a document; BadAudit says what is wrong with it."""
    try:
        data = json.loads(text)
        known = data.get("schema") == SCHEMA if isinstance(data, dict) else False
        rows = from_object(tuple[AuditRow, ...], data["kernels"] if known else None)
    except (Misfit, ValueError, KeyError, RecursionError) as error:
        raise BadAudit(f"is no audit of schema {SCHEMA}: {error}") from error
    if len({(row.kernel, row.architecture) for row in rows}) < len(rows):
        raise BadAudit("names a kernel twice for one architecture")
    return rows


@functools.cache
def shipped() -> tuple[AuditRow, ...]:
    """The audit that ships, counted with the pinned toolchain."""
    text = files("bench.kernels.sha256d").joinpath(SHIPPED).read_text(encoding="utf-8")
    return read_document(text)


def nearest(rows: Sequence[AuditRow], kernel: str, compute_capability: str) -> AuditRow | None:
    """The kernel's row for a compute capability ("9.0"), or the next lower of the same major.

    A binary runs on later minor versions of its major. None where there is none.
    """
    major, _, minor = compute_capability.partition(".")
    if not (major.isdigit() and minor.isdigit()):
        return None
    wanted = 10 * int(major) + int(minor)
    fit = [
        row
        for row in rows
        if row.kernel == kernel and row.capability // 10 == int(major) and row.capability <= wanted
    ]
    return max(fit, key=lambda row: row.capability, default=None)
