# SPDX-License-Identifier: BSD-3-Clause
"""The identity of a gateway: its token, the key file (`legacy`) or this process (`local`). Pure.

A gateway with a token owns its nodes by its name: other gateways cannot claim them, even while it
is away, until it reports that a node left.
"""

from typing import Final

import msgspec

from pyaiot.registry.record import NodeRecord

LEGACY_GATEWAY: Final = "legacy"
"""The identity of each gateway with the key file, and the name of a gateway without `hello`."""
LOCAL_GATEWAY: Final = "local"
"""The identity of gateways in the process of the broker."""
_GIVEN_UP: Final = frozenset({"left", "silent"})
"""Reasons with which a gateway releases a node. After that, another gateway may claim it."""


class GatewayIdentity(msgspec.Struct, frozen=True):
    """The principal that a gateway authenticated as."""

    name: str
    has_token: bool = False
    """Whether it has its own token, and owns its nodes by `name`."""
    protocols: frozenset[str] = frozenset()
    """Protocols of the nodes that it may report, in lower case; empty: all."""


LOCAL: Final = GatewayIdentity(LOCAL_GATEWAY)
LEGACY: Final = GatewayIdentity(LEGACY_GATEWAY)


class GatewayNames:
    """The names of gateways with tokens, and the nodes that they hold while they are away."""

    def __init__(self) -> None:
        self.with_tokens: frozenset[str] = frozenset()
        """Names of all gateways that have a token, connected or not."""

    def named(self, identity: GatewayIdentity, name: str) -> str:
        """The name of a gateway whose `hello` has this name. A gateway with a token has the name of
        its token, and others cannot take that name."""
        return identity.name if identity.has_token or name in self.with_tokens else name

    def holder_of(self, record: NodeRecord | None, claiming: GatewayIdentity) -> str:
        """The gateway with a token that holds an offline node; empty if the node may be claimed.
        `claiming` never holds a node against itself."""
        if (
            record is None
            or record.gateway not in self.with_tokens
            or record.reason in _GIVEN_UP
            or (claiming.has_token and claiming.name == record.gateway)
        ):
            return ""
        return record.gateway
