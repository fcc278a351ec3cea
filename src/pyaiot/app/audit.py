# SPDX-License-Identifier: BSD-3-Clause
"""The audit log of the settings, for services and for commands that change accounts."""

import time
from pathlib import Path

from pyaiot.app.accounts import shared_database
from pyaiot.audit.files import AuditFiles
from pyaiot.audit.log import AuditLog, AuditStore
from pyaiot.config import Config
from pyaiot.redaction import redact

_MEGABYTE = 1_000_000


def audit_store(config: Config, folder: Path) -> AuditStore | None:
    """The store of the log: the database of a cluster, or files, in `folder` unless a setting names
    another one; None if the log is off."""
    section = config.audit
    if section.folder == "off":
        return None
    bytes_max = section.megabytes * _MEGABYTE
    url = shared_database(config)
    if url:
        from pyaiot.audit.database import AuditDatabase  # noqa: PLC0415 - only in a cluster

        return AuditDatabase(url, redact(url), bytes_max=bytes_max, days=section.days)
    path = Path(section.folder).expanduser() if section.folder else folder / "audit"
    return AuditFiles(path, bytes_max=bytes_max, days=section.days)


def open_audit_log(config: Config, folder: Path) -> AuditLog:
    """The log of a broker. It opens nothing before it runs."""
    return AuditLog(audit_store(config, folder), unix_time=time.time, clock=time.monotonic)
