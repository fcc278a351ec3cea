# SPDX-License-Identifier: BSD-3-Clause
"""Metrics of the registry."""

from collections.abc import Iterable
from typing import Final, get_args

from pyaiot.metrics import Metric, Sample
from pyaiot.registry.admission import WAITING_MAX
from pyaiot.registry.record import NodeState
from pyaiot.registry.service import RegistryService

NODES: Final = Metric(
    "pyaiot_registry_nodes",
    "gauge",
    "Nodes in the registry, by state.",
    {"state": get_args(NodeState)},
)
WAITING_LIMIT: Final = Metric(
    "pyaiot_registry_waiting_limit_nodes",
    "gauge",
    "Most newcomers that may wait for approval at once.",
)
REFUSED: Final = Metric(
    "pyaiot_registry_refused",
    "counter",
    "Messages that were refused because their node is banned or not admitted.",
)
EDITS: Final = Metric(
    "pyaiot_registry_edits", "counter", "Nodes that people edited, forgot or restored."
)
WRITTEN: Final = Metric(
    "pyaiot_registry_written",
    "counter",
    "Nodes whose new observations were committed to the store.",
)
WELL: Final = Metric(
    "pyaiot_registry_well",
    "gauge",
    "1: the registry is stored, or has no store. 0: it is not stored; /readyz has the reason.",
)
FAILURES: Final = Metric(
    "pyaiot_registry_failures", "counter", "Failures of the store. It is opened again."
)


def collect(service: RegistryService) -> Iterable[Sample]:
    """Samples of all these metrics."""
    for state, count in service.registry.counts().items():
        yield NODES.of(count, state=state)
    yield WAITING_LIMIT.of(WAITING_MAX)
    yield REFUSED.of(service.registry.refused)
    yield EDITS.of(service.edits)
    yield WRITTEN.of(service.written)
    yield WELL.of(not service.problem)
    yield FAILURES.of(service.failures)
