# SPDX-License-Identifier: BSD-3-Clause
"""examples/monitoring/grafana.json: a dashboard for Grafana, from a table of its panels."""

import json
from collections.abc import Iterator
from typing import Any, Final

COLUMNS: Final = 24
"""Columns of the grid of Grafana."""
_HEIGHT: Final = 8
_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
_AT: Final = 'job=~"$job"'

Query = tuple[str, str]
"""PromQL, and the legend of its lines. `AT` is replaced by the chosen job."""


def rate(name: str, by: str = "") -> str:
    """Rate per second, over the interval that Grafana chooses for the panel."""
    return f"sum{f' by ({by})' if by else ''} (rate({name}{{{_AT}}}[$__rate_interval]))"


def quantile(share: float, name: str) -> str:
    """Quantile of a histogram."""
    inner = f"sum by (le) (rate({name}_bucket{{{_AT}}}[$__rate_interval]))"
    return f"histogram_quantile({share}, {inner})"


def now(name: str, by: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} ({name}{{{_AT}}})"


ROWS: Final[dict[str, tuple[tuple[str, str, int, tuple[Query, ...]], ...]]] = {
    "At a glance": (
        ("Nodes", "short", 4, ((now("pyaiot_nodes"), "nodes"),)),
        ("Clients", "short", 4, ((now("pyaiot_clients"), "clients"),)),
        ("Messages per second", "mps", 4, ((rate("pyaiot_messages_total"), "messages"),)),
        (
            "History works",
            "bool_yes_no",
            4,
            ((f"min(pyaiot_history_well{{{_AT}}})", "well"),),
        ),
        ("Gateways linked", "short", 4, ((now("pyaiot_gateway_linked"), "linked"),)),
        (
            "Dropped in the last hour",
            "short",
            4,
            ((f"sum(increase(pyaiot_history_dropped_total{{{_AT}}}[1h]))", "dropped"),),
        ),
    ),
    "The path of a message": (
        (
            "Messages to all clients",
            "mps",
            12,
            (
                (rate("pyaiot_messages_total"), "messages"),
                (rate("pyaiot_flushes_total"), "flushes"),
            ),
        ),
        (
            "Delay before a flush",
            "s",
            12,
            (
                (quantile(0.5, "pyaiot_flush_wait_seconds"), "p50"),
                (quantile(0.99, "pyaiot_flush_wait_seconds"), "p99"),
            ),
        ),
        ("Nodes by protocol", "short", 12, ((now("pyaiot_nodes", "protocol"), "{{protocol}}"),)),
        ("Clients by encoding", "short", 12, ((now("pyaiot_clients", "form"), "{{form}}"),)),
    ),
    "Commands": (
        (
            "Commands by receipt",
            "reqps",
            12,
            ((rate("pyaiot_commands_total", "receipt"), "{{receipt}}"),),
        ),
        (
            "Time to confirmation",
            "s",
            12,
            (
                (quantile(0.5, "pyaiot_command_seconds"), "p50"),
                (quantile(0.99, "pyaiot_command_seconds"), "p99"),
            ),
        ),
    ),
    "Drops, refusals and reconnects": (
        (
            "Refused messages from devices",
            "cps",
            8,
            ((rate("pyaiot_device_messages_refused_total", "protocol"), "{{protocol}}"),),
        ),
        (
            "Refused at the broker",
            "cps",
            8,
            (
                (rate("pyaiot_broker_messages_refused_total"), "messages"),
                (rate("pyaiot_http_requests_refused_total"), "requests"),
                (rate("pyaiot_clients_refused_total"), "clients"),
                (rate("pyaiot_gateways_refused_total"), "gateways"),
                (rate("pyaiot_logins_refused_total"), "logins"),
            ),
        ),
        (
            "Slow clients",
            "cps",
            8,
            (
                (rate("pyaiot_client_readings_conflated_total"), "readings conflated"),
                (rate("pyaiot_clients_closed_total", "reason"), "closed: {{reason}}"),
            ),
        ),
        (
            "Failed links of gateways",
            "cps",
            8,
            ((rate("pyaiot_gateway_link_failures_total", "protocol"), "{{protocol}}"),),
        ),
        (
            "MQTT connections accepted",
            "cps",
            8,
            ((rate("pyaiot_mqtt_connects_total"), "connects"),),
        ),
        (
            "MQTT-SN datagrams dropped",
            "cps",
            8,
            ((rate("pyaiot_mqttsn_dropped_total", "reason"), "{{reason}}"),),
        ),
    ),
    "Queues": (
        (
            "History",
            "short",
            8,
            (
                (now("pyaiot_history_queue_messages"), "waiting"),
                (now("pyaiot_history_queue_limit_messages"), "limit"),
            ),
        ),
        (
            "Clients and links",
            "short",
            8,
            (
                (now("pyaiot_client_queue_messages"), "for clients"),
                (now("pyaiot_gateway_link_queue_messages", "protocol"), "link of {{protocol}}"),
            ),
        ),
        (
            "Queued commands",
            "short",
            8,
            (
                (now("pyaiot_commands_in_flight"), "at the broker"),
                (now("pyaiot_gateway_commands_waiting", "protocol"), "{{protocol}}"),
            ),
        ),
    ),
    "Registry": (
        ("Nodes by state", "short", 8, ((now("pyaiot_registry_nodes", "state"), "{{state}}"),)),
        (
            "Written and edited",
            "wps",
            8,
            (
                (rate("pyaiot_registry_written_total"), "written"),
                (rate("pyaiot_registry_edits_total"), "edited by people"),
                (rate("pyaiot_registry_failures_total"), "failures"),
            ),
        ),
        (
            "Not admitted",
            "cps",
            8,
            ((rate("pyaiot_registry_refused_total"), "messages refused"),),
        ),
    ),
    "History and HTTP": (
        ("Recorded", "wps", 8, ((rate("pyaiot_history_recorded_total"), "messages"),)),
        (
            "Commit time",
            "s",
            8,
            (
                (quantile(0.5, "pyaiot_history_commit_seconds"), "p50"),
                (quantile(0.99, "pyaiot_history_commit_seconds"), "p99"),
            ),
        ),
        (
            "HTTP",
            "reqps",
            8,
            ((rate("pyaiot_http_requests_total", "code"), "{{code}}"),),
        ),
    ),
    "The process": (
        (
            "CPU",
            "percentunit",
            8,
            ((f"rate(process_cpu_seconds_total{{{_AT}}}[$__rate_interval])", "{{instance}}"),),
        ),
        (
            "Memory",
            "bytes",
            8,
            ((f"process_resident_memory_bytes{{{_AT}}}", "{{instance}}"),),
        ),
        (
            "Event loop and files",
            "short",
            8,
            (
                (f"pyaiot_loop_lag_seconds{{{_AT}}}", "lag of {{instance}}, s"),
                (f"process_open_fds{{{_AT}}}", "open files of {{instance}}"),
            ),
        ),
    ),
}
"""Rows, and their panels: title, unit, width, queries."""


def expressions() -> Iterator[str]:
    """Every PromQL expression, with Grafana's variables in it."""
    for panels in ROWS.values():
        for _, _, _, queries in panels:
            yield from (expression for expression, _ in queries)


def document() -> str:
    """The file, as it is imported into Grafana 10 or newer."""
    dashboard = {
        "title": "Pyaiot",
        "uid": "pyaiot",
        "description": "Nodes, clients, commands and history of Pyaiot.",
        "tags": ["iot"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "annotations": {"list": []},
        "templating": {
            "list": [
                {"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"},
                {
                    "name": "job",
                    "label": "Job",
                    "type": "query",
                    "datasource": _SOURCE,
                    "query": "label_values(pyaiot_up, job)",
                    "refresh": 2,
                    "includeAll": True,
                    "allValue": ".*",
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": list(_panels()),
    }
    return json.dumps(dashboard, indent=2) + "\n"


def _panels() -> Iterator[dict[str, Any]]:
    y = number = 0
    for row, panels in ROWS.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row,
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
            "panels": [],
        }
        y += 1
        x = 0
        for title, unit, width, queries in panels:
            if x + width > COLUMNS:
                x, y = 0, y + _HEIGHT
            number += 1
            is_small = width <= 4
            yield {
                "id": number,
                "type": "stat" if is_small else "timeseries",
                "title": title,
                "datasource": _SOURCE,
                "gridPos": {"x": x, "y": y, "w": width, "h": 4 if is_small else _HEIGHT},
                "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                "options": {} if is_small else {"legend": {"displayMode": "list"}},
                "targets": [
                    {"refId": chr(ord("A") + at), "expr": expression, "legendFormat": legend}
                    for at, (expression, legend) in enumerate(queries)
                ],
            }
            x += width
        y += 4 if panels[0][2] <= 4 else _HEIGHT
