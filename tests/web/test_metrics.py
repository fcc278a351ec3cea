# SPDX-License-Identifier: BSD-3-Clause
"""`/metrics`: valid, bounded, true; and what is made for those who read it."""

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

from pyaiot.broker.client import CLOSE_SLOW
from pyaiot.messages import NodeAppeared, Reading
from pyaiot.metrics import Metric
from pyaiot.web.sign_in import SignIn
from scripts.reference import grafana
from scripts.reference.metrics import PROCESS, metrics, series
from tests.programs import ANY_PORTS, Program, Programs, free_port
from tests.web.serving import Served, serving

pytestmark = pytest.mark.sockets

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "examples" / "monitoring"
HOSTILE = ['a"b', "c\nd", "e\\f", "{job='x'}", "<script>", "é" * 20, "x" * 64]


def promtool(*arguments: str | Path, given: str = "") -> str:
    """What promtool says. It must find nothing wrong."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not here (apt install prometheus)")
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
        # Not one series more, whatever comes.
        assert after.keys() == before.keys()
        for word in ("<script", "job=", "éé", "xxxx"):
            assert word not in text
        promtool("check", "metrics", given=text)


async def test_what_happens_is_counted() -> None:
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


async def test_a_client_that_was_closed_for_being_slow_stays_counted() -> None:
    class _Sink:
        def write(self, data: bytes) -> None: ...

        def buffered(self) -> int:
            return 0

        def close(self, code: int, reason: str) -> None: ...

    async with serving() as served:
        client = served.broker.client_connected(_Sink(), extended=False)
        samples = await scraped(served)
        assert value(samples, "pyaiot_clients", form="legacy") == 1
        client.close(CLOSE_SLOW, "reads nothing")
        served.broker.client_left(client)
        samples = await scraped(served)
        assert value(samples, "pyaiot_clients", form="legacy") == 0
        assert value(samples, "pyaiot_clients_closed_total", reason="slow") == 1


async def test_open_metrics_is_told_to_who_wants_it() -> None:
    async with serving() as served:
        wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
        async with served.web.get("/metrics", headers=wanted) as answer:
            assert answer.content_type == "application/openmetrics-text"
            assert (await answer.text()).endswith("# EOF\n")


@pytest.mark.parametrize(("viewers", "status"), [(False, 401), (True, 200)])
async def test_metrics_are_for_who_may_look(viewers: bool, status: int) -> None:
    login = SignIn(behind_tls=False, viewers=viewers, clock=time.monotonic)
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
    """Where its metrics are, as it says at its start."""
    line = program.line()
    assert line.startswith("Metrics: ")
    return line.removeprefix("Metrics: ")


async def test_everything_that_is_declared_is_on_the_page_of_aiot_run(programs: Programs) -> None:
    running = programs.aiot("run", *ANY_PORTS, "--metrics-port", "0")
    url = metrics_url(running)
    assert "Pyaiot: http://" in running.said()
    text = await page(url)
    promtool("check", "metrics", given=text)
    said = {name for name, _ in read(text)}
    declared = {name for _, metric in metrics() for name in series(metric)}
    assert said - declared == set(PROCESS)
    assert declared <= said
    for _, metric in metrics():
        assert described(text, metric)


def described(text: str, metric: Metric) -> bool:
    name = series(metric)[0].removesuffix("_bucket")
    return f"# HELP {name} {metric.description}" in text.replace("\\\\", "\\")


async def test_a_gateway_alone_has_a_door_of_its_own_for_metrics(programs: Programs) -> None:
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


async def test_the_door_for_metrics_is_past_the_login(programs: Programs) -> None:
    running = programs.aiot("run", *ANY_PORTS, "--behind-proxy", "--metrics-port", "0")
    url = metrics_url(running)
    web_url = running.said().partition("Open this link once to sign in: ")[2].split("/login")[0]
    async with aiohttp.ClientSession() as session, session.get(f"{web_url}/metrics") as answer:
        assert answer.status == 401
    samples = read(await page(url))
    assert value(samples, "pyaiot_logins_refused_total") == 1


async def test_a_real_prometheus_reads_it(programs: Programs, tmp_path: Path) -> None:
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("prometheus is not here (apt install prometheus)")
    running = programs.aiot("run", *ANY_PORTS, "--metrics-port", "0")
    target = metrics_url(running).removeprefix("http://").removesuffix("/metrics")
    assert "Pyaiot: http://" in running.said()
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
    queried = await asked(port, 'pyaiot_nodes{protocol="CoAP"}')
    assert [it["value"][1] for it in queried] == ["0"]
    # The alerts and the panels are questions that it understands, with the real figures.
    for expression in (*alerts(), *expressions()):
        await asked(port, expression, wait=False)


async def asked(port: int, query: str, *, wait: bool = True) -> list[dict[str, Any]]:
    """What Prometheus answers; it takes a moment to start and to scrape."""
    url = f"http://127.0.0.1:{port}/api/v1/query"
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        while True:
            try:
                async with session.get(url, params={"query": query}) as answer:
                    said = await answer.json()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)
                continue
            assert said["status"] == "success", (query, said)
            found: list[dict[str, Any]] = said["data"]["result"]
            if found or not wait:
                return found
            await asyncio.sleep(0.1)


# -- examples/monitoring ------------------------------------------------------------------------


def expressions() -> list[str]:
    """Those of the panels, as Grafana sends them."""
    return [
        expression.replace("$__rate_interval", "1m").replace("$job", ".*")
        for expression in grafana.expressions()
    ]


def alerts() -> list[str]:
    text = (MONITORING / "alerts.yml").read_text("utf-8")
    return [
        " ".join(it.split()) for it in re.findall(r"expr: \|?([^:]+?)\n +(?:for|labels):", text)
    ]


def test_examples_are_what_prometheus_takes() -> None:
    said = promtool("check", "rules", MONITORING / "alerts.yml")
    assert f"{len(alerts())} rules found" in said
    assert "is valid" in promtool("check", "config", MONITORING / "prometheus.yml")


def test_each_panel_asks_a_valid_question(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression}
        for number, expression in enumerate(expressions())
    ]
    path = tmp_path / "rules.json"
    # JSON is YAML.
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", path)


def test_panels_and_alerts_ask_only_for_metrics_that_there_are() -> None:
    there = {name for _, metric in metrics() for name in series(metric)} | {*PROCESS, "up"}
    asked_for = set()
    for expression in (*expressions(), *alerts()):
        bare = re.sub(r'"[^"]*"', "", expression)
        asked_for |= set(re.findall(r"\b(?:pyaiot|process)_\w+", bare))
    assert len(asked_for) > 25
    assert asked_for <= there


def test_the_dashboard_is_one_that_grafana_imports() -> None:
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
    questions = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    assert questions == list(grafana.expressions())


def test_every_drop_refusal_queue_and_reconnect_has_a_metric() -> None:
    """What the services count stands on the page; a new count is to be added there, or here."""
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
    "commands_heard": "",  # so that who asks can wait for what was heard
    "late_connections": "pyaiot_http_connections_late",
    "refused_answers": "pyaiot_http_answers_refused",
    "refused_connections": "pyaiot_http_connections_refused",
    "sequence": "",  # in which order nodes appeared
    "answers": "",
    "at": "",
    "closed": "pyaiot_clients_closed",
    "conflated": "pyaiot_client_readings_conflated",
    "connects": "pyaiot_mqtt_connects",
    "counts": "pyaiot_mqttsn_dropped",
    "dropped": "pyaiot_gateway_readings_dropped",
    "did_not_fit": "pyaiot_history_dropped",
    "failures": "pyaiot_history_failures",
    "starts": "pyaiot_mqtt_broker_starts",
    "flushes": "pyaiot_flushes",
    "gateway_links": "pyaiot_gateway_links",
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
"""Public counts in the code, and the metric that shows them; none: they count nothing lost."""
