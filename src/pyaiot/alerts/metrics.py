# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of alerts."""

from collections import Counter
from collections.abc import Iterable
from typing import Final, get_args

from pyaiot.alerts.rule import Severity
from pyaiot.alerts.service import AlertService
from pyaiot.metrics import Metric, Sample

ACTIVE: Final = Metric(
    "pyaiot_alerts_active",
    "gauge",
    "Active alerts, by severity.",
    {"severity": get_args(Severity)},
)
UNACKNOWLEDGED: Final = Metric(
    "pyaiot_alerts_unacknowledged", "gauge", "Active alerts that nobody acknowledged."
)
RAISED: Final = Metric("pyaiot_alerts_raised", "counter", "Alerts that were raised.")
DROPPED: Final = Metric(
    "pyaiot_alerts_dropped", "counter", "Alerts that were not raised, because there were too many."
)
NOTICES_SENT: Final = Metric("pyaiot_alerts_notices_sent", "counter", "Notices that were sent.")
NOTICES_FAILED: Final = Metric(
    "pyaiot_alerts_notices_failed", "counter", "Notices that no attempt could send."
)
COMMANDS: Final = Metric("pyaiot_alerts_commands", "counter", "Commands that rules sent.")
COMMANDS_REFUSED: Final = Metric(
    "pyaiot_alerts_commands_refused",
    "counter",
    "Commands of rules that the guard against loops refused.",
)


def collect(service: AlertService) -> Iterable[Sample]:
    """Samples of all these metrics."""
    active = service.engine.watches.active.values()
    counts = Counter(alert.severity for alert in active)
    for severity in get_args(Severity):
        yield ACTIVE.of(counts[severity], severity=severity)
    yield UNACKNOWLEDGED.of(sum(not alert.acknowledged for alert in active))
    yield RAISED.of(service.raised)
    yield DROPPED.of(service.engine.watches.dropped)
    queues = service.channels.queues.values()
    yield NOTICES_SENT.of(sum(queue.sent for queue in queues))
    yield NOTICES_FAILED.of(sum(queue.dropped for queue in queues))
    yield COMMANDS.of(service.actions.sent)
    yield COMMANDS_REFUSED.of(service.actions.refused)
