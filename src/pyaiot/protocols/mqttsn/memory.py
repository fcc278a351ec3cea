# SPDX-License-Identifier: BSD-3-Clause
"""What a gateway remembers of a client, and what of it survives a restart. Pure."""

import itertools
import sys
from typing import Final

import msgspec

from pyaiot.protocols.mqttsn.delivery import Delivery
from pyaiot.protocols.mqttsn.mqtt import Will
from pyaiot.protocols.mqttsn.publications import Publications
from pyaiot.protocols.mqttsn.settings import SessionConfig
from pyaiot.protocols.mqttsn.shares import Account, Budget
from pyaiot.protocols.mqttsn.states import HERE, TRANSITIONS, Cause, State
from pyaiot.protocols.mqttsn.subscriptions import Subscriptions
from pyaiot.protocols.mqttsn.topics import TopicIds, has_spaces, is_topic

WILL_BYTES_MAX: Final = 4096
"""Bytes of the message of a will. More: refused as not supported."""
SILENCE_FACTOR: Final = 1.5
"""A client is lost after so many of its durations without a packet (MQTT 3.1.1 section 3.1.2.10;
7.2 asks for 1.1 to 1.5)."""
DURATION_S_MAX: Final = 65535
"""What counts for a client that names the duration 0: nobody is waited for endlessly."""


class SavedSession(msgspec.Struct, frozen=True, kw_only=True):
    """What of a session survives a restart of its gateway. Messages on their way do not."""

    client_id: str
    state: State
    clean: bool
    duration_s: int
    will: Will | None
    topics: tuple[tuple[str, bool], ...]
    predefined: tuple[int, ...]
    filters: tuple[tuple[str, int], ...]


class Memory:
    """State, will, topics, filters and messages of one client id."""

    def __init__(
        self,
        client_id: str,
        config: SessionConfig,
        *,
        topics: Account | None,
        messages: Account | None,
        now: float,
    ) -> None:
        """`topics`, `messages`: what they count for in the gateway; None: there is no limit."""
        topics, messages = topics or _unlimited(), messages or _unlimited()
        self.client_id = client_id
        self.state = State.DISCONNECTED
        self.clean = True
        self._config = config
        self._changes = 0
        self._duration_s = 0.0
        self._heard_at = now
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
        self.delivery = Delivery(
            self._topics,
            messages_max=config.messages_max,
            packet_bytes_max=config.packet_bytes_max,
            retry_s=config.retry_s,
            retries_max=config.retries_max,
            account=messages,
        )

    @property
    def changes(self) -> int:
        """Grows with each change of what `save` tells."""
        return self._changes + self._topics.changes + self.subscriptions.changes

    def save(self) -> SavedSession | None:
        """What a gateway that starts again must know; None: nothing."""
        state = State.ASLEEP if self.state is State.AWAKE else self.state
        if state not in HERE:
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
        )

    @property
    def _lost_at(self) -> float:
        return self._heard_at + SILENCE_FACTOR * (self._duration_s or DURATION_S_MAX)

    def _recall(self, saved: SavedSession) -> None:
        """What `save` told."""
        self.state = saved.state
        self.clean = saved.clean
        self._duration_s = saved.duration_s
        self._will = saved.will
        self._topics.restore(saved.topics, saved.predefined)
        self.subscriptions.restore(saved.filters)

    @property
    def dropped(self) -> int:
        """Messages of either direction that were dropped, ever."""
        return self.publications.dropped + self.delivery.dropped

    def forget(self) -> None:
        """The session is over for good: it holds nothing any more."""
        self.subscriptions.clear()
        self.delivery.clear()
        self._topics.clear()

    def _is_supported(self, topic: str) -> bool:
        """Whether the MQTT broker takes what is published there."""
        return self._config.spaces_in_topics or not has_spaces(topic)

    def _may_have_will(self, topic: str) -> bool:
        return is_topic(topic) and self._is_supported(topic)

    def _go(self, cause: Cause) -> None:
        self._changes += 1
        self.state = TRANSITIONS[self.state, cause]


def _unlimited() -> Account:
    return Account(Budget(sys.maxsize))
