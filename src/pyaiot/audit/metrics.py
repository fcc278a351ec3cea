# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of the audit log."""

from collections.abc import Iterable
from typing import Final

from pyaiot.audit.log import AuditLog
from pyaiot.metrics import Metric, Sample

ENTRIES: Final = Metric("pyaiot_audit_entries", "counter", "Entries of the audit log on disk.")
WAITING: Final = Metric(
    "pyaiot_audit_waiting_entries", "gauge", "Entries of the audit log that are not on disk yet."
)
LOST: Final = Metric(
    "pyaiot_audit_lost",
    "counter",
    "Entries of the audit log that were lost because the disk failed for too long.",
)
SUPPRESSED: Final = Metric(
    "pyaiot_audit_suppressed",
    "counter",
    "Refused attempts that are only counted, because their principal made too many.",
)
FAILURES: Final = Metric(
    "pyaiot_audit_failures", "counter", "Failed attempts to write the audit log."
)
WELL: Final = Metric(
    "pyaiot_audit_well",
    "gauge",
    "1: the audit log is written, or is off. 0: it is not written; /readyz has the reason.",
)


def collect(audit: AuditLog) -> Iterable[Sample]:
    """Samples of all these metrics."""
    yield ENTRIES.of(audit.recorded)
    yield WAITING.of(audit.waiting)
    yield LOST.of(audit.lost)
    yield SUPPRESSED.of(audit.shares.suppressed)
    yield FAILURES.of(audit.failures)
    yield WELL.of(not audit.problem)
