# SPDX-License-Identifier: BSD-3-Clause
"""A session alone, for tests that act as both its client and its MQTT broker."""

from collections.abc import Sequence

import msgspec

from pyaiot.protocols.mqttsn.mqtt import (
    MqttConnected,
    MqttPublish,
    MqttSubscribe,
    MqttSubscribed,
    MqttUnsubscribe,
)
from pyaiot.protocols.mqttsn.packets import Connect, Disconnect, Packet, Subscribe
from pyaiot.protocols.mqttsn.publications import Effect
from pyaiot.protocols.mqttsn.session import Session
from pyaiot.protocols.mqttsn.settings import SessionConfig
from pyaiot.protocols.mqttsn.shares import Account
from pyaiot.protocols.mqttsn.states import State

CONNECT = Connect("node", 360)


class Harness:
    """A session on a clock that the test advances."""

    def __init__(self, **config: object) -> None:
        """`config` as in the settings, and `account` for the messages."""
        account = config.pop("account", None)
        assert account is None or isinstance(account, Account)
        self.now = 1000.0
        self.deadline_s = float("inf")
        """How long messages that arrive from now on may be sent."""
        self.session = Session(
            "node",
            msgspec.convert({"predefined": {7: "alarm"}, **config}, SessionConfig),
            now=1e3,
            messages=account,
            deadline_of=lambda _message, now: now + self.deadline_s,
        )

    def receive(self, *packets: Packet) -> list[Effect]:
        return [e for packet in packets for e in self.session.receive_packet(packet, now=self.now)]

    def receive_event(self, *events: object) -> list[Effect]:
        return [e for event in events for e in self.session.receive_mqtt_event(event, now=self.now)]  # type: ignore[arg-type]

    def wait(self) -> list[Effect]:
        """Advance the clock to the next timer of the session."""
        timer_at = self.session.get_timer()
        assert timer_at is not None
        self.now = timer_at
        return self.session.handle_timer(now=self.now)

    def connected(self, packet: Connect = CONNECT) -> "Harness":
        self.receive(packet)
        self.receive_event(MqttConnected())
        assert self.state_is(State.ACTIVE)
        return self

    def subscribed(self, topic: str = "news/+", qos: int = 2) -> "Harness":
        (action,) = self.receive(Subscribe(topic, 1000, qos))
        assert isinstance(action, MqttSubscribe)
        self.receive_event(MqttSubscribed(action.token, qos))
        return self

    def asleep(self) -> "Harness":
        assert self.receive(Disconnect(60)) == [Disconnect()]
        assert self.state_is(State.ASLEEP)
        return self

    def state_is(self, state: State) -> bool:
        return self.session.state is state


def tokens(effects: Sequence[Effect]) -> list[int]:
    return [
        e.token for e in effects if isinstance(e, MqttPublish | MqttSubscribe | MqttUnsubscribe)
    ]
