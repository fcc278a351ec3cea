# SPDX-License-Identifier: BSD-3-Clause
"""Uids for which gateways have credentials of devices. Pure.

All gateways refuse them to nodes without a credential, also while their own gateway is not
connected. They are not stored: after a restart of the broker, they take effect when their gateway
is linked again.
"""

from collections.abc import Iterable
from typing import Final

from pyaiot.broker.connected_gateway import ForeignNode
from pyaiot.errors import Refused
from pyaiot.messages import UidsSecured

UIDS_OF_GATEWAY_MAX: Final = 10_000
"""Largest number of uids of one link. Further ones are not protected until their device has
connected."""
UIDS_MAX: Final = 100_000
"""Largest number of uids of all gateways. Further ones are not protected until their device has
connected."""


class SecuredElsewhere(ForeignNode):
    """A gateway has a credential for the uid, and the claim was made without it."""

    def __init__(self, uid: str, owner: str) -> None:
        Refused.__init__(
            self, f"the node {uid} has a credential at the gateway {owner}, and this claim has none"
        )
        self.owner = owner


class SecuredUids:
    """`link`: the number of a gateway's link. `name`: the name of the gateway."""

    def __init__(self) -> None:
        self._uids: dict[int, set[str]] = {}
        self._names: dict[int, str] = {}
        self._links: dict[str, set[int]] = {}
        """The links that reported each uid."""
        self._lost: set[int] = set()

    def receive(self, link: int, name: str, message: UidsSecured) -> None:
        """Handle a report. Raises `Refused` beyond the limits: further uids are left out."""
        if not message.follows:
            self._begin(link, name)
        self._add(link, message.uids)

    def _begin(self, link: int, name: str) -> None:
        """A link begins its report. Uids from earlier links of its gateway are replaced."""
        for other in [it for it in self._lost if self._names[it] == name]:
            self._forget(other)
        self._forget(link)
        self._names[link] = name
        self._uids[link] = set()

    def _add(self, link: int, uids: Iterable[str]) -> None:
        own = self._uids.get(link)
        if own is None:
            raise Refused("the first `secured` of a link must not follow another one")
        for uid in uids:
            if uid in own:
                continue
            if len(own) >= UIDS_OF_GATEWAY_MAX:
                raise Refused(f"a gateway may protect at most {UIDS_OF_GATEWAY_MAX} uids")
            if len(self._links) >= UIDS_MAX:
                raise Refused(f"all gateways may protect at most {UIDS_MAX} uids")
            own.add(uid)
            self._links.setdefault(uid, set()).add(link)

    def lost(self, link: int) -> None:
        """The link is lost. Its uids stay refused until its gateway reports again."""
        if link in self._uids:
            self._lost.add(link)

    def release(self, link: int, uid: str) -> None:
        """The gateway no longer has a credential for this uid."""
        if uid in self._uids.get(link, ()):
            self._uids[link].discard(uid)
            self._release(link, uid)

    def check(self, uid: str) -> None:
        """Raise `SecuredElsewhere` if a claim without a credential is refused."""
        for link in self._links.get(uid, ()):
            raise SecuredElsewhere(uid, self._names[link])

    def _forget(self, link: int) -> None:
        for uid in self._uids.pop(link, ()):
            self._release(link, uid)
        self._names.pop(link, None)
        self._lost.discard(link)

    def _release(self, link: int, uid: str) -> None:
        links = self._links[uid]
        links.discard(link)
        if not links:
            del self._links[uid]
