# SPDX-License-Identifier: BSD-3-Clause
"""docs/reference/metrics.md, from the metrics in the modules."""

import importlib
from collections.abc import Iterator
from typing import Final

from pyaiot.app.protocols import plugins
from pyaiot.metrics import Metric
from scripts.reference.describe import table

MODULES: Final = {
    "pyaiot.web.metrics_endpoint": "Every service",
    "pyaiot.broker.metrics": "The broker",
    "pyaiot.web.metrics": "Its listeners",
    "pyaiot.registry.metrics": "The registry",
    "pyaiot.history.metrics": "The history",
    "pyaiot.alerts.metrics": "Alerts",
    "pyaiot.audit.metrics": "The audit log",
    "pyaiot.homeassistant.metrics": "Home Assistant",
    "pyaiot.cluster.metrics": "A broker of a cluster",
    "pyaiot.app.workers": "The first worker of aiot run --workers",
    "pyaiot.gateways.metrics": "Gateways",
    **{plugin.metrics: f"The {plugin.protocol} gateway" for plugin in plugins() if plugin.metrics},
}
"""The modules with metrics, and the services that have them."""

PROCESS: Final = (
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
)
"""Metrics of the process, from prometheus-client (Linux)."""

_HEAD: Final = """# Metrics

<!-- Written by scripts/generate-docs from the modules `metrics`. -->

The metrics at `/metrics`. See [Monitor with Prometheus and Grafana](../how-to/monitor.md). Labels
have only the values listed below: text from a device is never a label, so the number of series
does not grow with the number of nodes.

A histogram has `_bucket`, `_sum` and `_count`. On Linux, prometheus-client adds the process metrics
`process_…`.
"""


def metrics() -> Iterator[tuple[str, Metric]]:
    """Each metric with its service, in the order of the code."""
    for name, owner in MODULES.items():
        for item in vars(importlib.import_module(name)).values():
            if isinstance(item, Metric):
                yield owner, item


def series(metric: Metric) -> list[str]:
    """The names under which it can be queried."""
    match metric.kind:
        case "counter":
            return [f"{metric.name}_total"]
        case "gauge":
            return [metric.name]
        case "histogram":
            return [f"{metric.name}_{part}" for part in ("bucket", "sum", "count")]


def page() -> str:
    parts = [_HEAD]
    for owner in MODULES.values():
        rows = [
            (f"`{_shown(metric)}`", metric.kind, metric.description, _labels(metric))
            for its, metric in metrics()
            if its == owner
        ]
        parts.append(f"\n## {owner}\n\n" + table(("metric", "kind", "meaning", "labels"), rows))
    return "".join(parts)


def _shown(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.kind == "counter" else metric.name


def _labels(metric: Metric) -> str:
    return "; ".join(
        f"`{name}`: {', '.join(f'`{value}`' for value in values)}"
        for name, values in metric.labels.items()
    )
