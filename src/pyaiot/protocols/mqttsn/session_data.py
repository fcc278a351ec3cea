# SPDX-License-Identifier: BSD-3-Clause
"""The data of a client's session at a gateway, and its saved form. Pure."""

import itertools
import sys
from typing import Final

import msgspec

from pyaiot.protocols.mqttsn.delivery import DeliveryQueue
from pyaiot.protocols.mqttsn.mqtt import MqttMessage, Will
from pyaiot.protocols.mqttsn.publications import Publications
from pyaiot.protocols.mqttsn.settings import SessionConfig
from pyaiot.protocols.mqttsn.shares import Account, Budget
from pyaiot.protocols.mqttsn.states import CONNECTED_STATES, TRANSITIONS, Cause, State
from pyaiot.protocols.mqttsn.subscriptions import Subscriptions
from pyaiot.protocols.mqttsn.topics import TopicIds, has_spaces, is_topic

WILL_BYTES_MAX: Final = 4096
"""Bytes of the message of a will. A longer one is refused as not supported."""
SILENCE_FACTOR: Final = 1.5
"""A client is lost after this multiple of its duration without a packet (MQTT 3.1.1 section
3.1.2.10; 7.2 requires 1.1 to 1.5)."""
DURATION_S_MAX: Final = 65535
"""The duration used for a client that sends 0, so that every session ends at some time."""


class SavedSession(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a session that survives a restart of the gateway."""

    client_id: str
    state: State
    clean: bool
    duration_s: int
    will: Will | None
    topics: tuple[tuple[str, bool], ...]
    predefined: tuple[int, ...]
    filters: tuple[tuple[str, int], ...]
    messages: tuple[MqttMessage, ...] = ()
    """Messages that wait for the client, except commands."""


class SessionData:
    """State, will, topics, topic filters and messages of one client id."""

    def __init__(
        self,
        client_id: str,
        config: SessionConfig,
        *,
        topics: Account | None,
        messages: Account | None,
        now: float,
    ) -> None:
        """`topics`, `messages`: their shares of the gateway's memory; None: unlimited."""
        topics, messages = topics or _unlimited(), messages or _unlimited()
        self.client_id = client_id
        self.state = State.DISCONNECTED
        self.clean = True
        self._config = config
        self._changes = 0
        self._duration_s = 0.0
        self._received_at = now
        self._will: Will | None = None
        next_token = itertools.count(1).__next__
        self._topics = TopicIds(
            config.predefined,
            topics_max=config.topics_max,
            bytes_max=config.topic_bytes_max,
            account=topics,
        )
        self.publications = Publications(next_token)
        self.subscriptions = Subscriptions(
            self._topics, next_token, bytes_max=config.topic_bytes_max, account=topics
        )
        self.delivery = DeliveryQueue(
            self._topics,
            messages_max=config.messages_max,
            packet_bytes_max=config.packet_bytes_max,
            retry_s=config.retry_s,
            retries_max=config.retries_max,
            account=messages,
        )

    @property
    def changes(self) -> int:
        """A counter that grows whenever the result of `save` changes."""
        changes = self._changes + self._topics.changes + self.subscriptions.changes
        return changes + self.delivery.changes

    def save(self) -> SavedSession | None:
        """The session for the state file; None: it need not be saved."""
        state = State.ASLEEP if self.state is State.AWAKE else self.state
        if state not in CONNECTED_STATES:
            if self.clean or state is State.CONNECTING:
                return None
            state = State.DISCONNECTED
        names, predefined = self._topics.saved
        return SavedSession(
            client_id=self.client_id,
            state=state,
            clean=self.clean,
            duration_s=int(self._duration_s),
            will=self._will,
            topics=names,
            predefined=predefined,
            filters=self.subscriptions.saved,
            messages=self.delivery.saved,
        )

    @property
    def _lost_at(self) -> float:
        return self._received_at + SILENCE_FACTOR * (self._duration_s or DURATION_S_MAX)

    def _load(self, saved: SavedSession) -> None:
        """Load the result of `save`."""
        self.state = saved.state
        self.clean = saved.clean
        self._duration_s = saved.duration_s
        self._will = saved.will
        self._topics.restore(saved.topics, saved.predefined)
        self.subscriptions.restore(saved.filters)
        self.delivery.restore(saved.messages)

    @property
    def dropped(self) -> int:
        """Messages in both directions that were dropped, in total."""
        return self.publications.dropped + self.delivery.dropped

    def forget(self) -> None:
        """Release everything: the session has ended for good."""
        self.subscriptions.clear()
        self.delivery.clear()
        self._topics.clear()

    def _is_supported(self, topic: str) -> bool:
        """Whether the MQTT broker accepts publications to this topic."""
        return self._config.spaces_in_topics or not has_spaces(topic)

    def _may_have_will(self, topic: str) -> bool:
        return is_topic(topic) and self._is_supported(topic)

    def _transition(self, cause: Cause) -> None:
        self._changes += 1
        self.state = TRANSITIONS[self.state, cause]


def _unlimited() -> Account:
    return Account(Budget(sys.maxsize))
