# SPDX-License-Identifier: BSD-3-Clause
"""`/metrics`: valid, bounded and correct; and the examples for Prometheus and Grafana."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pyaiot.accounts.store import AccountsFile
from pyaiot.broker.encoders import LEGACY
from pyaiot.broker.subscriber import CLOSE_SLOW
from pyaiot.messages import NodeAppeared, Reading
from pyaiot.metrics import Metric, Sample
from pyaiot.web import metrics_endpoint
from pyaiot.web.sign_in import SignIn
from scripts.reference import grafana
from scripts.reference.metrics import PROCESS, metrics, series
from tests.programs import ANY_PORTS, Program, Programs, free_port
from tests.time_limits import time_limit
from tests.web.serving import Served, serving

pytestmark = pytest.mark.sockets

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "examples" / "monitoring"
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
HOSTILE = ['a"b', "c\nd", "e\\f", "{job='x'}", "<script>", "é" * 20, "x" * 64]


@pytest.fixture(autouse=True)
def _pages_are_not_served_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_endpoint, "PAGE_AGE_MAX_S", 0.0)


def promtool(*arguments: str | Path, given: str = "") -> str:
    """The output of promtool, which must succeed."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (apt install prometheus)")
    ended = subprocess.run(
        [found, *arguments], input=given, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read(text: str) -> Samples:
    """Each series with its labels, and its value."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


async def scraped(served: Served) -> Samples:
    async with served.web.get("/metrics") as answer:
        assert answer.status == 200
        return read(await answer.text())


async def test_pages_that_many_request_are_collected_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics_endpoint, "PAGE_AGE_MAX_S", 60.0)
    collected = 0

    def collect() -> Iterator[Sample]:
        nonlocal collected
        collected += 1
        return iter(())

    async with serving() as served:
        served.app.metrics.collectors.append(collect)
        first, *others = [await scraped(served) for _ in range(20)]
        assert collected == 1
        assert others == [first] * 19
        async with served.web.get("/metrics", headers=OPENMETRICS) as answer:
            assert answer.content_type == "application/openmetrics-text"
        assert collected == 2


async def test_hostile_nodes_are_counted_and_never_named() -> None:
    async with serving() as served:
        before = await scraped(served)
        for number, text in enumerate(HOSTILE):
            uid = re.sub(r"[^\w]", "_", text)[:60] + str(number)
            served.gateway.link.send(NodeAppeared(uid=uid, ts=1.0))
            served.gateway.link.send(Reading(uid=uid, resource="name", data=text, ts=1.0))
        await served.until(len(HOSTILE) * 2)
        async with served.web.get("/metrics") as answer:
            text = await answer.text()
        after = read(text)
        assert value(after, "pyaiot_nodes", protocol="other") == len(HOSTILE)
        # Messages of nodes add no series.
        assert after.keys() == before.keys()
        for word in ("<script", "job=", "éé", "xxxx"):
            assert word not in text
        promtool("check", "metrics", given=text)


async def test_events_are_counted() -> None:
    async with serving() as served:
        served.gateway.link.send(NodeAppeared(uid="n", ts=1.0))
        served.gateway.link.send(Reading(uid="n", resource="led", data="0", ts=1.0))
        await served.known("n")
        await served.until(2)
        async with served.web.put("/api/nodes/nobody/resources/led", data=b"1") as answer:
            assert answer.status == 404
        async with served.web.get("/api/nodes/n", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 403
        async with served.web.ws_connect("/ws") as client:
            await client.send_str("nonsense")
            assert (await client.receive()).type is aiohttp.WSMsgType.CLOSE
        samples = await scraped(served)
        assert value(samples, "pyaiot_up") == 1
        assert value(samples, "pyaiot_messages_total") >= 2
        assert value(samples, "pyaiot_gateways", protocol="other") == 1
        assert value(samples, "pyaiot_http_requests_refused_total") == 1
        assert value(samples, "pyaiot_clients_refused_total") == 1
        assert value(samples, "pyaiot_http_requests_total", code="4xx") == 2
        assert value(samples, "pyaiot_http_request_seconds_count") == 2
        name = "pyaiot_http_request_seconds_bucket"
        buckets = [count for (its, _), count in samples.items() if its == name]
        assert buckets == sorted(buckets)
        assert buckets[-1] == 2


async def test_slow_client_that_was_closed_stays_counted() -> None:
    class _Sink:
        def write(self, data: bytes) -> None: ...

        def buffered(self) -> int:
            return 0

        def close(self, code: int, reason: str) -> None: ...

    async with serving() as served:
        client = served.broker.client_connected(_Sink(), LEGACY)
        samples = await scraped(served)
        assert value(samples, "pyaiot_clients", form="legacy") == 1
        client.close(CLOSE_SLOW, "reads nothing")
        served.broker.client_left(client)
        samples = await scraped(served)
        assert value(samples, "pyaiot_clients", form="legacy") == 0
        assert value(samples, "pyaiot_clients_closed_total", reason="slow") == 1


async def test_openmetrics_is_served_on_request() -> None:
    async with serving() as served:
        wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
        async with served.web.get("/metrics", headers=wanted) as answer:
            assert answer.content_type == "application/openmetrics-text"
            assert (await answer.text()).endswith("# EOF\n")


@pytest.mark.parametrize(("viewers", "status"), [(False, 401), (True, 200)])
async def test_metrics_require_the_viewer_role(viewers: bool, status: int) -> None:
    login = SignIn(AccountsFile(None), behind_tls=False, viewers=viewers, clock=time.monotonic)
    async with serving(login=login) as served, served.web.get("/metrics") as answer:
        assert answer.status == status


# -- real services ------------------------------------------------------------------------------


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path)
    yield programs
    programs.close()


async def page(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return await answer.text()


def metrics_url(program: Program) -> str:
    """The URL of its metrics, which it prints at start."""
    line = program.line()
    assert line.startswith("Metrics: ")
    return line.removeprefix("Metrics: ")


async def test_aiot_run_reports_every_declared_metric(programs: Programs) -> None:
    running = programs.aiot("run", *ANY_PORTS, "--metrics-port", "0", "--homeassistant")
    url = metrics_url(running)
    assert "Pyaiot: http://" in running.startup_text()
    text = await page(url)
    promtool("check", "metrics", given=text)
    reported = {name for name, _ in read(text)}
    # Those of a cluster are reported by its brokers, those of workers where there are several:
    # tests/cluster/test_metrics.py, tests/end_to_end/test_workers.py.
    of_several = ("pyaiot_cluster_", "pyaiot_worker")
    alone = [metric for _, metric in metrics() if not metric.name.startswith(of_several)]
    declared = {name for metric in alone for name in series(metric)}
    assert reported - declared == set(PROCESS)
    assert declared <= reported
    for metric in alone:
        assert described(text, metric)


def described(text: str, metric: Metric) -> bool:
    name = series(metric)[0].removesuffix("_bucket")
    return f"# HELP {name} {metric.description}" in text.replace("\\\\", "\\")


async def test_gateway_process_has_a_metrics_listener(programs: Programs) -> None:
    port = str(free_port(socket.SOCK_STREAM))
    gateway = programs.aiot(
        *("coap-gateway", "--coap-port", "0", "--broker-port", port, "--metrics-port", "0"),
        *("--key-file", programs.key_file()),
    )
    url = metrics_url(gateway)
    assert "CoAP gateway" in gateway.line()
    samples = read(await page(url))
    while not value(samples, "pyaiot_gateway_link_failures_total", protocol="CoAP"):
        samples = read(await page(url))
    assert value(samples, "pyaiot_gateway_linked", protocol="CoAP") == 0
    assert value(samples, "pyaiot_gateway_links_made_total", protocol="CoAP") == 0
    foreign = {"Host": "evil.example"}
    async with aiohttp.ClientSession() as session, session.get(url, headers=foreign) as answer:
        assert answer.status == 403


async def test_metrics_listener_needs_no_sign_in(programs: Programs) -> None:
    running = programs.aiot("run", *ANY_PORTS, "--behind-proxy", "--metrics-port", "0")
    url = metrics_url(running)
    web_url = (
        running.startup_text().partition("Open this link once to sign in: ")[2].split("/login")[0]
    )
    async with aiohttp.ClientSession() as session, session.get(f"{web_url}/metrics") as answer:
        assert answer.status == 401
    samples = read(await page(url))
    assert value(samples, "pyaiot_logins_refused_total") == 1


async def test_prometheus_scrapes_the_metrics(programs: Programs, tmp_path: Path) -> None:
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("prometheus is not installed (apt install prometheus)")
    running = programs.aiot("run", *ANY_PORTS, "--metrics-port", "0")
    target = metrics_url(running).removeprefix("http://").removesuffix("/metrics")
    assert "Pyaiot: http://" in running.startup_text()
    settings = (MONITORING / "prometheus.yml").read_text("utf-8")
    settings = settings.replace("127.0.0.1:8000", target).replace("15s", "200ms")
    (tmp_path / "prometheus.yml").write_text(settings)
    shutil.copy(MONITORING / "alerts.yml", tmp_path)
    port = free_port(socket.SOCK_STREAM)
    programs.start(
        prometheus,
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    found = await query_prometheus(port, 'pyaiot_nodes{protocol="CoAP"}')
    assert [it["value"][1] for it in found] == ["0"]
    # Prometheus accepts the queries of the alerts and panels.
    for expression in (*alerts(), *expressions()):
        await query_prometheus(port, expression, wait=False)


async def query_prometheus(port: int, query: str, *, wait: bool = True) -> list[dict[str, Any]]:
    """The result of a query. Prometheus needs a moment to start and to scrape."""
    url = f"http://127.0.0.1:{port}/api/v1/query"
    async with aiohttp.ClientSession() as session, time_limit(20):
        while True:
            try:
                async with session.get(url, params={"query": query}) as answer:
                    # It listens before it is ready, and answers 503 as text then.
                    document = await answer.json()
            except (aiohttp.ClientConnectionError, aiohttp.ContentTypeError):
                await asyncio.sleep(0.1)
                continue
            assert document["status"] == "success", (query, document)
            found: list[dict[str, Any]] = document["data"]["result"]
            if found or not wait:
                return found
            await asyncio.sleep(0.1)


# -- examples/monitoring ------------------------------------------------------------------------


def expressions() -> list[str]:
    """The queries of the panels, as Grafana sends them."""
    return [
        expression.replace("$__rate_interval", "1m").replace("$job", ".*")
        for expression in grafana.expressions()
    ]


def alerts() -> list[str]:
    text = (MONITORING / "alerts.yml").read_text("utf-8")
    return [
        " ".join(it.split()) for it in re.findall(r"expr: \|?([^:]+?)\n +(?:for|labels):", text)
    ]


def test_prometheus_accepts_the_examples() -> None:
    output = promtool("check", "rules", MONITORING / "alerts.yml")
    assert f"{len(alerts())} rules found" in output
    assert "is valid" in promtool("check", "config", MONITORING / "prometheus.yml")


def test_each_panel_has_a_valid_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression}
        for number, expression in enumerate(expressions())
    ]
    path = tmp_path / "rules.json"
    # JSON is YAML.
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", path)


def test_panels_and_alerts_query_existing_metrics_only() -> None:
    known = {name for _, metric in metrics() for name in series(metric)} | {*PROCESS, "up"}
    queried = set()
    for expression in (*expressions(), *alerts()):
        bare = re.sub(r'"[^"]*"', "", expression)
        queried |= set(re.findall(r"\b(?:pyaiot|process)_\w+", bare))
    assert len(queried) > 25
    assert queried <= known


def test_grafana_dashboard_can_be_imported() -> None:
    dashboard = json.loads((MONITORING / "grafana.json").read_text("utf-8"))
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= grafana.COLUMNS
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    assert queries == list(grafana.expressions())


def test_every_drop_refusal_queue_and_reconnect_has_a_metric() -> None:
    """Every public counter of the services has a metric; a new one must be added to `SHOWN`."""
    counts: set[str] = set()
    for path in (ROOT / "src" / "pyaiot").rglob("*.py"):
        station = path.relative_to(ROOT / "src" / "pyaiot").parts[0]
        if station not in {"devices", "client", "fleet", "cli", "doctor", "protocols"}:
            for line in path.read_text("utf-8").splitlines():
                counts |= set(re.findall(r"self\.([a-z]\w*)(?:\[\w+\])? \+= 1$", line.strip()))
    assert counts - SHOWN.keys() == set()
    names = {metric.name for _, metric in metrics()}
    assert {name for name in SHOWN.values() if name} <= names


SHOWN = {
    "restarts": "pyaiot_worker_restarts",
    "edits": "pyaiot_registry_edits",
    "connections": "",  # of a cluster to nats-servers; `pyaiot_cluster_connected` has the state
    "overflows": "",  # of the stream to other brokers, which then begins again
    "frames": "",  # the same stream, and those of a handshake
    "next_number": "",  # of a packet
    "invalid": "pyaiot_cluster_packets_invalid",
    "index": "",  # the place of a client in the state that it gets
    "not_understood": "pyaiot_mqtt_foreign_not_understood",
    "raised": "pyaiot_alerts_raised",
    "sent": "pyaiot_alerts_notices_sent",
    "version": "",  # of alerts, for clients
    "suppressed": "pyaiot_audit_suppressed",
    "commands_received": "",  # a query can wait until they are recorded
    "ignored": "pyaiot_mqtt_messages_ignored",
    "retention_runs": "",
    "timed_out_connections": "pyaiot_http_connections_late",
    "refused_responses": "pyaiot_http_answers_refused",
    "refused_connections": "pyaiot_http_connections_refused",
    "ended": "pyaiot_access_ended",
    "opened": "pyaiot_coap_dtls_sessions_opened",
    "failed": "pyaiot_coap_dtls_handshakes_failed",
    "handshakes": "",  # of a simulated device
    "sequence": "",  # the order in which nodes appeared
    "answers": "",
    "changes": "",  # part of an `ETag`
    "at": "",
    "closed": "pyaiot_clients_closed",
    "conflated": "pyaiot_client_readings_conflated",
    "connects": "pyaiot_mqtt_connects",
    "counts": "pyaiot_mqttsn_dropped",
    "dropped": "pyaiot_gateway_readings_dropped",
    "overflowed": "pyaiot_history_dropped",
    "failures": "pyaiot_history_failures",
    "starts": "pyaiot_mqtt_broker_starts",
    "flushes": "pyaiot_flushes",
    "gateway_links": "pyaiot_gateway_links",
    "evicted": "pyaiot_gateway_nodes_evicted",
    "held_back": "pyaiot_coap_datagrams_held_back",
    "link_failures": "pyaiot_gateway_link_failures",
    "links_made": "pyaiot_gateway_links_made",
    "messages": "pyaiot_messages",
    "receipts": "pyaiot_commands",
    "refused": "pyaiot_device_messages_refused",
    "refused_clients": "pyaiot_clients_refused",
    "refused_gateways": "pyaiot_gateways_refused",
    "refused_requests": "pyaiot_http_requests_refused",
    "unsent": "pyaiot_mqttsn_datagrams_unsent",
    "codes": "pyaiot_http_requests",
}
"""Public counters in the code, and the metric of each; empty: it counts nothing that is lost."""
