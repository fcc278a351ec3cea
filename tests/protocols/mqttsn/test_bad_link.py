# SPDX-License-Identifier: BSD-3-Clause
"""Our client and our gateway over a link that loses, doubles, delays and reorders."""

from collections import Counter

import pytest

from pyaiot.protocols.mqttsn.client import MqttSnClientProtocol
from pyaiot.protocols.mqttsn.client_events import (
    ClientConfig,
    ClientState,
    MqttSnAsleep,
    MqttSnMessage,
    MqttSnRequestDone,
)
from pyaiot.protocols.mqttsn.mqtt import MqttPublish
from pyaiot.protocols.mqttsn.settings import GatewayConfig, SessionConfig
from tests.protocols.mqttsn.machines import World

SEEDS = range(12)
MESSAGES = 40
BAD = {"loss": 0.2, "doubling": 0.2, "delay_s": 3.0}


def world(seed: int, *, predefined: dict[int, str] | None = None) -> World:
    session = SessionConfig(predefined=predefined or {}, retries_max=8, messages_max=200)
    return World(GatewayConfig(session=session, advertise_s=None), seed=seed, **BAD)


def client(name: str, *, clean_session: bool = False, retries_max: int = 8) -> MqttSnClientProtocol:
    return MqttSnClientProtocol(
        ClientConfig(client_id=name, clean_session=clean_session, retries_max=retries_max)
    )


def publish_all(here: World, name: str, qos: int) -> dict[int, bytes]:
    requests = {}
    for number in range(MESSAGES):
        payload = f"{name} {number}".encode()
        request, effects = here.clients[name].publish(
            f"node/{name}/{number % 3}", payload, qos=qos, now=here.now
        )
        requests[request] = payload
        here.do(name, effects)
    return requests


def payloads(here: World) -> Counter[bytes]:
    return Counter(each.payload for each in here.broker.published if isinstance(each, MqttPublish))


def received(here: World, name: str) -> list[bytes]:
    return [event.data for event in here.events[name] if isinstance(event, MqttSnMessage)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("clean_session", [False, True])
def test_no_acknowledged_publication_is_lost(seed: int, clean_session: bool) -> None:
    here = world(seed)
    here.add(client("a", clean_session=clean_session, retries_max=2))
    here.do("a", [*here.clients["a"].connect(now=here.now)])
    requests = publish_all(here, "a", qos=1)
    here.run(3600)
    done = {event.request for event in here.events["a"] if isinstance(event, MqttSnRequestDone)}
    assert done == set(requests)
    assert set(payloads(here)) == set(requests.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_qos_2_to_the_broker_is_exactly_once(seed: int) -> None:
    here = world(seed)
    here.add(client("a"))
    here.do("a", [*here.clients["a"].connect(now=here.now)])
    requests = publish_all(here, "a", qos=2)
    here.run(3600)
    assert {
        event.request for event in here.events["a"] if isinstance(event, MqttSnRequestDone)
    } == set(requests)
    assert payloads(here) == Counter(requests.values())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("topic", ["node/+/#", "node/a/0"])
def test_qos_2_to_a_subscriber_is_exactly_once_and_in_order(seed: int, topic: str) -> None:
    here = world(seed)
    here.add(client("s"))
    here.do("s", [*here.clients["s"].connect(now=here.now)])
    here.do("s", here.clients["s"].subscribe(topic, qos=2, now=here.now)[1])
    here.run(600)
    sent = [f"{number}".encode() for number in range(MESSAGES)]
    for payload in sent:
        here.mqtt(here.broker.publish("node/a/0", payload, 2))
    here.run(3600)
    assert received(here, "s") == sent


@pytest.mark.parametrize("seed", SEEDS)
def test_qos_1_to_a_subscriber_is_at_least_once(seed: int) -> None:
    here = world(seed)
    for name in ("s", "p"):
        here.add(client(name))
        here.do(name, [*here.clients[name].connect(now=here.now)])
    here.do("s", here.clients["s"].subscribe("node/#", qos=1, now=here.now)[1])
    here.run(600)
    requests = publish_all(here, "p", qos=1)
    here.run(3600)
    assert set(received(here, "s")) == set(requests.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sleeping_client_gets_everything_that_was_kept(seed: int) -> None:
    here = world(seed)
    sleeper = client("s")
    here.add(sleeper)
    here.do("s", [*sleeper.connect(now=here.now)])
    here.do("s", sleeper.subscribe("news/+", qos=2, now=here.now)[1])
    here.run(600)
    here.do("s", [*sleeper.sleep(3600, now=here.now)])
    here.run(120)
    assert sleeper.state is ClientState.ASLEEP
    sent = [f"{number}".encode() for number in range(10)]
    for payload in sent:
        here.mqtt(here.broker.publish("news/x", payload, 2))
    here.run(60)
    assert received(here, "s") == []
    for _ in range(10):
        here.do("s", [*sleeper.wake(now=here.now)])
        here.run(600)
    assert received(here, "s") == sent
    assert isinstance(here.events["s"][-1], MqttSnAsleep)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_gateway_that_forgot_everything_loses_nothing_that_it_acknowledged(seed: int) -> None:
    here = world(seed)
    here.add(client("a", clean_session=True, retries_max=3))
    here.do("a", [*here.clients["a"].connect(now=here.now)])
    requests = publish_all(here, "a", qos=1)
    for _ in range(3):
        here.run(70)
        here.restart_gateway()
    here.run(3600)
    assert {
        event.request for event in here.events["a"] if isinstance(event, MqttSnRequestDone)
    } == set(requests)
    assert set(payloads(here)) == set(requests.values())
    assert here.reconnects >= 1


def test_the_link_of_these_tests_is_bad() -> None:
    """Without repetitions nearly nothing would arrive."""
    here = world(1)
    here.add(client("a", retries_max=0))
    here.reconnect = False
    here.do("a", [*here.clients["a"].connect(now=here.now)])
    publish_all(here, "a", qos=1)
    here.run(3600)
    assert len(payloads(here)) < MESSAGES / 4
