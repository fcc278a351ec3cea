# SPDX-License-Identifier: BSD-3-Clause
"""Who a gateway is: the name of its token, `legacy` with the key file, `local` in this process.

Pure. A gateway with a token owns its nodes by its name: another one cannot claim them, also while
it is away, until it reports that a node left.
"""

from typing import Final

import msgspec

from pyaiot.registry.record import NodeRecord

LEGACY_GATEWAY: Final = "legacy"
"""The identity of every gateway with the key file, and the name of one that sends no `hello`."""
LOCAL_GATEWAY: Final = "local"
"""The identity of the gateways in the process of the broker."""
_GIVEN_UP: Final = frozenset({"left", "silent"})
"""Reasons with which a gateway gives a node up. Another gateway may claim it then."""


class GatewayIdentity(msgspec.Struct, frozen=True):
    """The principal as which a gateway has authenticated."""

    name: str
    has_token: bool = False
    """It has a token of its own, and owns its nodes by `name`."""
    protocols: frozenset[str] = frozenset()
    """Protocols of whose nodes it may report, in lower case; empty: all."""


LOCAL: Final = GatewayIdentity(LOCAL_GATEWAY)
LEGACY: Final = GatewayIdentity(LEGACY_GATEWAY)


class GatewayNames:
    """Which names belong to gateways with tokens, and which nodes they hold while away."""

    def __init__(self) -> None:
        self.with_tokens: frozenset[str] = frozenset()
        """Names of all gateways that have a token, connected or not."""

    def named(self, identity: GatewayIdentity, name: str) -> str:
        """The name of a gateway that introduces itself as `name`.

        One with a token has the name of its token. Another one cannot take that name.
        """
        return identity.name if identity.has_token or name in self.with_tokens else name

    def holder_of(self, record: NodeRecord | None, claiming: GatewayIdentity) -> str:
        """The gateway with a token that has a node which is not online; empty if it may be claimed.

        `claiming` never holds a node against itself.
        """
        if (
            record is None
            or record.gateway not in self.with_tokens
            or record.reason in _GIVEN_UP
            or (claiming.has_token and claiming.name == record.gateway)
        ):
            return ""
        return record.gateway
