# SPDX-License-Identifier: BSD-3-Clause
"""The hosts of clients, each with its share of the memory of a gateway. Pure."""

from collections.abc import Hashable

from pyaiot.protocols.mqttsn.settings import HOST_SHARE
from pyaiot.protocols.mqttsn.shares import Budget


class Host:
    """What the clients of one host use."""

    __slots__ = ("clients", "messages", "offline_sessions", "topics")

    def __init__(self, topics: Budget, messages: Budget) -> None:
        self.topics = Budget(int(HOST_SHARE * topics.bytes_max), topics)
        self.messages = Budget(int(HOST_SHARE * messages.bytes_max), messages)
        self.clients = 0
        """Clients that are connected, connecting or asleep."""
        self.offline_sessions = 0
        """Sessions of offline clients."""


class Hosts:
    """All hosts with clients or with sessions of offline clients."""

    def __init__(self, *, topic_bytes: int, message_bytes: int) -> None:
        """`topic_bytes`, `message_bytes`: the limits for the clients of all hosts together."""
        self.topics = Budget(topic_bytes)
        self.messages = Budget(message_bytes)
        self._hosts: dict[Hashable, Host] = {}

    def __len__(self) -> int:
        return len(self._hosts)

    def get(self, name: Hashable) -> Host | None:
        return self._hosts.get(name)

    def get_or_add(self, name: Hashable) -> Host:
        """The host; it is created if it is unknown."""
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = Host(self.topics, self.messages)
        return host

    def remove_if_empty(self, name: Hashable) -> None:
        """Remove the host if it has no clients and no sessions."""
        host = self._hosts.get(name)
        if host is not None and not host.clients and not host.offline_sessions:
            del self._hosts[name]
