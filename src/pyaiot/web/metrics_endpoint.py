# SPDX-License-Identifier: BSD-3-Clause
"""`/metrics` in the formats of Prometheus and OpenMetrics."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from aiohttp import hdrs, web

from pyaiot import __version__
from pyaiot.metrics import Collector, Histogram, Metric, Sample
from pyaiot.transport.http_log import ServerLog
from pyaiot.transport.http_server import HttpServer
from pyaiot.transport.origin_check import check_origin
from pyaiot.transport.tls import ServerTls

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric as Family

PATH: Final = "/metrics"
LOOP_LAG: Final = Metric(
    "pyaiot_loop_lag_seconds",
    "gauge",
    "Delay of the event loop, measured when the metrics are read.",
)
UP: Final = Metric("pyaiot_up", "gauge", "1 while the service answers.")


PAGE_AGE_MAX_S: Final = 0.2
"""How long a page of metrics is reused: collecting blocks the event loop for milliseconds."""


class Metrics:
    """The metrics of one service. `collectors` may be added later."""

    def __init__(self, collectors: Iterable[Collector]) -> None:
        self.collectors = list(collectors)
        self._lag_s = 0.0
        self._registry: CollectorRegistry | None = None
        self._page: tuple[str, float, bytes] = "", -PAGE_AGE_MAX_S, b""
        """Content type, time and body of the last page."""

    async def page(self, request: web.Request) -> web.Response:
        """`GET /metrics`, in the format that the `Accept` header requests."""
        # Imported on use: it takes 3 MB.
        from prometheus_client import exposition  # noqa: PLC0415

        began = time.monotonic()
        await asyncio.sleep(0)
        self._lag_s = time.monotonic() - began
        if self._registry is None:
            self._registry = _registry(self._samples)
        encode, content_type = exposition.choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
        kind, made_at, body = self._page
        if kind != content_type or began - made_at >= PAGE_AGE_MAX_S:
            body = encode(self._registry)
            self._page = content_type, began, body
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    def _samples(self) -> Iterator[Sample]:
        yield UP.of(1)
        yield LOOP_LAG.of(self._lag_s)
        for collect in self.collectors:
            yield from collect()


async def open_metrics_server(
    metrics: Metrics,
    host: str,
    port: int,
    *,
    allowed_hosts: Sequence[str] = (),
    tls: ServerTls | None = None,
) -> HttpServer:
    """Serve `/metrics` and `/healthz` on a separate port, without sign-in. The caller closes it.

    Raises `OperatorError` if the port cannot be opened.
    """
    hosts = frozenset(allowed_hosts)
    app = web.Application(
        middlewares=[check_origin(hosts, frozenset(), lambda _: None, section="metrics")]
    )
    app.router.add_get(PATH, metrics.page)
    app.router.add_get("/healthz", _healthz)
    return await HttpServer.open(
        app,
        host,
        port,
        service="The metrics listener",
        flag="--metrics-port",
        server_log=ServerLog(lambda _: None),
        tls=tls,
    )


async def _healthz(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok", "version": __version__})


def _registry(samples: "Collector") -> "CollectorRegistry":
    from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415 - see above
    from prometheus_client.registry import Collector  # noqa: PLC0415

    class ServiceCollector(Collector):
        def collect(self) -> "Iterable[Family]":
            return families(samples())

    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServiceCollector())
    ProcessCollector(registry=registry)
    return registry


def families(samples: Iterable[Sample]) -> "list[Family]":
    """Samples, grouped by metric, in the types of prometheus-client."""
    from prometheus_client.core import (  # noqa: PLC0415 - see above
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    kinds = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "histogram": HistogramMetricFamily,
    }
    found: dict[str, Any] = {}
    for metric, value, labels in samples:
        family = found.get(metric.name)
        if family is None:
            names = list(metric.labels)
            family = found[metric.name] = kinds[metric.kind](
                metric.name, metric.description, labels=names
            )
        if isinstance(value, Histogram):
            family.add_metric(labels, buckets=_buckets(value), sum_value=value.total)
        else:
            family.add_metric(labels, float(value))
    return list(found.values())


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Cumulative counts, as Prometheus expects."""
    total = 0
    buckets = []
    for bound, count in zip((*histogram.bounds, "+Inf"), list(histogram.counts), strict=True):
        total += count
        buckets.append((str(bound), float(total)))
    return buckets
