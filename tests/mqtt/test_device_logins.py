# SPDX-License-Identifier: BSD-3-Clause
"""The answers to nats-server about devices that log in. Mostly without a socket."""

import asyncio
import base64
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from pyaiot.errors import ProtocolError
from pyaiot.mqtt.embedded.broker import EmbeddedBroker, EmbeddedConfig
from pyaiot.mqtt.embedded.device_logins import SERVED_LIMIT_S, DeviceLogins, subject_of
from pyaiot.mqtt.embedded.login_tokens import REQUEST_SIZE_MAX, TokenIssuer, read_request
from pyaiot.mqtt.embedded.nats_settings import SUBSCRIPTIONS_MAX
from tests.gateways.mqtt_servers import nats_server
from tests.mqtt.test_embedded_broker import mqtt_client, until


def is_password(uid: str, password: str) -> bool:
    return (uid, password) in {("lamp", "good"), ("a.b", "good"), ("homeassistant", "good")}


def decoded(part: bytes) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + b"==="))


def question(user: str = "", password: str = "", client_id: str = "lamp") -> bytes:
    claims = {
        "nats": {
            "server_id": {"id": "NSERVER", "name": "pyaiot"},
            "user_nkey": "UCLIENT",
            "client_info": {"host": "10.0.0.7", "mqtt_id": client_id, "type": "mqtt"},
            "connect_opts": {"user": user, "pass": password, "protocol": 0},
        }
    }
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    return b"header." + body + b".signature"


class Answer:
    """An answer whose signature is good."""

    def __init__(self, token: bytes | None, issuer: TokenIssuer) -> None:
        assert token is not None
        self.claims = self._verified(token, issuer)
        nats = self.claims["nats"]
        self.error = nats.get("error", "")
        self.user: Any = self._verified(nats["jwt"].encode(), issuer) if "jwt" in nats else None

    @staticmethod
    def _verified(token: bytes, issuer: TokenIssuer) -> Any:
        signed, _, signature = token.rpartition(b".")
        raw = base64.b32decode(issuer.public_key + "=" * (-len(issuer.public_key) % 8))[1:33]
        Ed25519PublicKey.from_public_bytes(raw).verify(
            base64.urlsafe_b64decode(signature + b"==="), signed
        )
        assert decoded(signed.partition(b".")[0]) == {"typ": "JWT", "alg": "ed25519-nkey"}
        claims = decoded(signed.partition(b".")[2])
        assert claims["iss"] == issuer.public_key
        return claims


async def answer(*words: str) -> Answer:
    logins = DeviceLogins(is_password)
    return Answer(logins.answer(question(*words)), logins.issuer)


async def test_a_device_with_its_password_gets_its_own_topics() -> None:
    user = (await answer("lamp", "good")).user
    assert (user["sub"], user["name"], user["aud"]) == ("UCLIENT", "lamp", "SECURED")
    permissions = user["nats"]
    assert permissions["pub"] == {"allow": ["node.lamp.>", "node.check"]}
    assert permissions["sub"] == {"allow": ["gateway.lamp", "gateway.lamp.>", "gateway.check"]}
    assert permissions["allowed_connection_types"] == ["MQTT"]
    assert permissions["subs"] == 256


async def test_a_dot_in_a_name_is_one_level() -> None:
    user = (await answer("a.b", "good", "a.b")).user
    assert user["nats"]["pub"]["allow"] == ["node.a//b.>", "node.check"]
    assert subject_of("x") == "x"


@pytest.mark.parametrize(
    ("user", "password", "client_id", "words"),
    [
        ("", "", "lamp", "it sends no user name"),
        ("lamp", "bad", "lamp", "the user name lamp or its password is wrong"),
        ("lamp", "", "lamp", "is wrong"),
        ("desk", "good", "desk", "the user name desk or its password is wrong"),
        ("gateway", "good", "gateway", "is wrong"),
        ("lamp", "good", "desk", "the client id of the device lamp must be lamp, or begin with"),
        ("lamp", "good", "lamp-2", "must be lamp, or begin with lamp/"),
        ("lamp", "good", "", "only MQTT is served here"),
    ],
)
async def test_another_client_is_refused_with_the_reason(
    user: str, password: str, client_id: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    logins = DeviceLogins(is_password)
    refused = Answer(logins.answer(question(user, password, client_id)), logins.issuer)
    assert words in refused.error
    assert refused.user is None
    assert (refused.claims["sub"], refused.claims["aud"]) == ("UCLIENT", "NSERVER")
    assert logins.refused == 1
    assert f"device {client_id} at 10.0.0.7 was refused" in caplog.text
    if len(password) > 3:
        assert password not in caplog.text.replace("wrong", "")


async def test_text_of_a_client_is_short_and_on_one_line_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logins = DeviceLogins(is_password)
    logins.answer(question("evil\nuser" + "x" * 1000, "bad", "evil\nid" + "y" * 1000))
    (line,) = [record.getMessage() for record in caplog.records]
    assert "\n" not in line
    assert len(line) < 300


async def test_first_device_waits_until_the_gateway_receives_what_it_publishes() -> None:
    logins = DeviceLogins(is_password)
    served = asyncio.Event()
    logins.before_login.append(served.wait)
    waiting = asyncio.create_task(logins.answer_when_served(question("lamp", "good")))
    await asyncio.sleep(SERVED_LIMIT_S / 2)
    assert not waiting.done()
    served.set()
    assert Answer(await waiting, logins.issuer).user is not None


async def test_gateway_that_cannot_connect_delays_one_device_and_no_other() -> None:
    logins = DeviceLogins(is_password)
    logins.before_login.append(asyncio.Event().wait)
    started_at = asyncio.get_running_loop().time()
    for _ in range(3):
        answer = await logins.answer_when_served(question("lamp", "good"))
        assert Answer(answer, logins.issuer).user is not None
    assert asyncio.get_running_loop().time() - started_at == SERVED_LIMIT_S


@pytest.mark.parametrize("client_id", ["lamp", "lamp/2", "lamp/", "0123456789abcdefABCDEF"])
async def test_client_ids_of_a_device(client_id: str) -> None:
    assert (await answer("lamp", "good", client_id)).user is not None


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"a.b",
        b"a.!.c",
        b"a.e30.c",
        question().replace(b".", b"", 1),
        b"a." + base64.urlsafe_b64encode(b'{"nats":[]}') + b".c",
        b"a." + base64.urlsafe_b64encode(b'{"nats":' + b"[" * 100_000) + b".c",
        question("x" * REQUEST_SIZE_MAX),
    ],
)
async def test_an_unreadable_question_gets_no_answer(token: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_request(token)
    logins = DeviceLogins(is_password)
    assert logins.answer(token) is None
    assert logins.refused == 1


@given(st.text(), st.text(), st.text(min_size=1))
def test_any_text_in_a_login_is_answered(user: str, password: str, client_id: str) -> None:
    request = read_request(question(user, password, client_id))
    issuer = TokenIssuer()
    assert Answer(issuer.refuse(request, user, now=1.0), issuer).user is None
    accepted = issuer.accept(
        *(request,), account="A", publish=[user], subscribe=[], subscriptions_max=1, now=1.0
    )
    assert Answer(accepted, issuer).user["name"] == user


@given(st.binary())
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for token in (data, b"a." + base64.urlsafe_b64encode(data) + b".c"):
        try:
            read_request(token)
        except ProtocolError:
            continue


def test_a_password_is_not_in_the_repr_of_a_request() -> None:
    assert "good" not in repr(read_request(question("lamp", "good")))


@pytest.mark.sockets
async def test_a_device_logs_in_again_after_the_mqtt_broker_was_killed(tmp_path: Path) -> None:
    nats_server()
    config = EmbeddedConfig(tmp_path, port=0)
    async with EmbeddedBroker.running(config, is_password) as broker:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="lamp", protocol=paho.MQTTv311)
        client.username_pw_set("lamp", "good")
        client.reconnect_delay_set(1, 1)
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        try:
            await until(client.is_connected)
            os.kill(broker.pid, signal.SIGKILL)
            await until(lambda: not client.is_connected())
            await until(client.is_connected)
            assert broker.starts == 2
        finally:
            client.disconnect()
            client.loop_stop()


@contextlib.asynccontextmanager
async def logged_in(port: int, user: str) -> AsyncIterator[tuple[paho.Client, list[str]]]:
    """A client with its password, and the topics that it receives."""
    topics: list[str] = []
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=f"{user}/test", protocol=paho.MQTTv311
    )
    client.username_pw_set(user, "good")
    client.on_message = lambda _client, _data, message: topics.append(message.topic)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        await until(client.is_connected)
        yield client, topics
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.sockets
async def test_home_assistant_sees_its_own_topics_and_nothing_of_devices(tmp_path: Path) -> None:
    nats_server()
    async with (
        EmbeddedBroker.running(EmbeddedConfig(tmp_path, port=0), is_password) as broker,
        logged_in(broker.port, "homeassistant") as (home, seen),
        logged_in(broker.port, "lamp") as (lamp, seen_by_lamp),
    ):
        for topic in ("#", "node/#", "gateway/#", "$JS/#", "pyaiot/#", "homeassistant/#"):
            home.subscribe(topic)
        for topic in ("#", "pyaiot/#", "gateway/lamp/#"):
            lamp.subscribe(topic)
        for topic in ("node/lamp/x", "pyaiot/pyaiot_lamp/led/set", "homeassistant/status"):
            lamp.publish(topic, "1")
        for topic in ("gateway/lamp/led/set", "pyaiot/test"):
            home.publish(topic, "1")
        await until(lambda: "pyaiot/test" in seen)
        assert set(seen) == {"pyaiot/test"}
        assert seen_by_lamp == []


async def accepted_subscriptions(client: paho.Client, topic: str, count: int) -> int:
    """How many of as many subscriptions the MQTT broker accepts."""
    answers: list[bool] = []
    client.on_subscribe = lambda *answer: answers.append(not answer[3][0].is_failure)
    for number in range(count):
        client.subscribe(f"{topic}{number}")
    await until(lambda: len(answers) == count)
    return sum(answers)


@pytest.mark.sockets
async def test_home_assistant_may_have_more_subscriptions_than_a_device(tmp_path: Path) -> None:
    nats_server()
    async with (
        EmbeddedBroker.running(EmbeddedConfig(tmp_path, port=0), is_password) as broker,
        logged_in(broker.port, "homeassistant") as (home, seen),
        logged_in(broker.port, "lamp") as (lamp, _),
        mqtt_client(broker.port, "a") as anonymous,
        mqtt_client(broker.port, "b") as other,
    ):
        assert await accepted_subscriptions(home, "pyaiot/pyaiot_a/r", 2000) == 2000
        home.publish("pyaiot/pyaiot_a/r1999", "1")
        await until(lambda: seen == ["pyaiot/pyaiot_a/r1999"])
        for device in (lamp, anonymous, other):
            topic = "gateway/lamp/r"
            assert await accepted_subscriptions(device, topic, 300) == SUBSCRIPTIONS_MAX
