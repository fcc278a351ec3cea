# SPDX-License-Identifier: BSD-3-Clause
"""Alerts of a broker, from the settings."""

import logging
import stat
import time
from pathlib import Path

from pyaiot.alerts.channels import AppriseSender, check_channels
from pyaiot.alerts.rules_file import AlertsFile, read_alerts_file
from pyaiot.alerts.service import AlertService
from pyaiot.broker.broker import Broker
from pyaiot.config import AlertsSection
from pyaiot.errors import OperatorError
from pyaiot.registry.service import RegistryService

log = logging.getLogger(__name__)


def open_alerts(section: AlertsSection, broker: Broker, registry: RegistryService) -> AlertService:
    """The alerts of a broker. Nothing runs yet. Raises `OperatorError`."""
    return AlertService(broker, registry, _read(section), AppriseSender(), unix_time=time.time)


def reload_alerts(section: AlertsSection, alerts: AlertService) -> None:
    """Read the file again. If it is invalid, the rules stay unchanged."""
    try:
        file = _read(section)
    except OperatorError as error:
        log.error("the alerts are unchanged: %s", error)  # noqa: TRY400 - no traceback
        return
    alerts.set_file(file)
    if section.file:
        log.info("the file of alerts was read again: %d rules", len(file.rules))


def _read(section: AlertsSection) -> AlertsFile:
    if not section.file:
        return AlertsFile()
    path = Path(section.file).expanduser()
    file = read_alerts_file(path)
    if file.channels and path.stat().st_mode & stat.S_IRWXO:
        raise OperatorError(
            f"The file of alerts {path} has URLs with passwords and is accessible to every user:"
            f" restrict it with chmod 600 {path}."
        )
    check_channels(file.channels)
    return file
