# SPDX-License-Identifier: BSD-3-Clause
"""The hosts of clients, each with its share of what a gateway keeps. Pure."""

from collections.abc import Hashable

from pyaiot.protocols.mqttsn.settings import HOST_SHARE
from pyaiot.protocols.mqttsn.shares import Budget


class Host:
    """What the clients of one host hold."""

    __slots__ = ("clients", "kept", "messages", "topics")

    def __init__(self, topics: Budget, messages: Budget) -> None:
        self.topics = Budget(int(HOST_SHARE * topics.bytes_max), topics)
        self.messages = Budget(int(HOST_SHARE * messages.bytes_max), messages)
        self.clients = 0
        """Connected, connecting or asleep."""
        self.kept = 0
        """Sessions of clients that are away."""


class Hosts:
    """Those with clients, or with sessions of clients that are away."""

    def __init__(self, *, topic_bytes: int, message_bytes: int) -> None:
        """Bytes for the clients of all hosts."""
        self.topics = Budget(topic_bytes)
        self.messages = Budget(message_bytes)
        self._hosts: dict[Hashable, Host] = {}

    def __len__(self) -> int:
        return len(self._hosts)

    def known(self, name: Hashable) -> Host | None:
        return self._hosts.get(name)

    def of(self, name: Hashable) -> Host:
        """The host, also one that has nothing yet."""
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = Host(self.topics, self.messages)
        return host

    def tidy(self, name: Hashable) -> None:
        """Forget a host without clients and sessions."""
        host = self._hosts.get(name)
        if host is not None and not host.clients and not host.kept:
            del self._hosts[name]
