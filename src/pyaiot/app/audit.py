# SPDX-License-Identifier: BSD-3-Clause
"""The audit log of the settings, for services and for commands that change accounts."""

import time
from pathlib import Path

from pyaiot.audit.files import AuditFiles
from pyaiot.audit.log import AuditLog
from pyaiot.config import AuditSection

_MEGABYTE = 1_000_000


def audit_files(section: AuditSection, folder: Path) -> AuditFiles | None:
    """The files, in `folder` unless set; None if they are off."""
    if section.folder == "off":
        return None
    path = Path(section.folder).expanduser() if section.folder else folder / "audit"
    return AuditFiles(path, bytes_max=section.megabytes * _MEGABYTE, days=section.days)


def open_audit_log(section: AuditSection, folder: Path) -> AuditLog:
    """The log of a broker. It opens nothing before it runs."""
    return AuditLog(audit_files(section, folder), unix_time=time.time, clock=time.monotonic)
