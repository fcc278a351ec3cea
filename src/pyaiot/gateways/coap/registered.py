# SPDX-License-Identifier: BSD-3-Clause
"""What a registration in the resource directory means to the gateway: a node, while it lasts."""

from collections.abc import Callable

import aiocoap

from pyaiot.errors import ProtocolError, PyaiotError, Refused
from pyaiot.gateways.coap.endpoint import Peer
from pyaiot.gateways.coap.notifications import ACCEPTED, Notifications, as_message
from pyaiot.gateways.coap.peers import Claim, Peers
from pyaiot.gateways.coap.registrations import Registration
from pyaiot.gateways.gateway import Gateway
from pyaiot.messages import check_uid


class RegisteredNodes:
    """See `registrar.Nodes`."""

    def __init__(
        self,
        gateway: Gateway,
        peers: Peers[Peer],
        notifications: Notifications,
        *,
        discover: Callable[[str], None],
        forget: Callable[[str], None],
        time: Callable[[], float],
    ) -> None:
        self._gateway = gateway
        self._peers = peers
        self._notifications = notifications
        self._discover = discover
        self._forget = forget
        self._time = time

    def claim(self, uid: str, peer: Peer) -> aiocoap.Message | None:
        check_uid(uid)
        # As who says that it is alive.
        reply = self._notifications.claim(uid, peer.address, peer, rebooted=False)
        return None if reply is ACCEPTED else as_message(reply)

    def registered(self, registration: Registration, peer: Peer, *, anew: bool) -> None:
        uid = registration.uid
        # It said how long it may be silent.
        self._gateway.nodes.keep_until(uid, registration.expires_at)
        if self._peers.get(uid) is not None:
            self._peers.answers(uid, peer, peer.address)
        if anew:
            self._discover(uid)

    def restore(self, registration: Registration, sender: Peer) -> bool:
        uid = registration.uid
        try:
            check_uid(uid)
            claim = self._peers.claim(uid, sender.address, sender, now=self._time())
            if claim is not Claim.ACCEPTED:
                return False
            self._notifications.appeared(uid, sender.address, rebooted=False, known_before=True)
        except (ProtocolError, Refused):
            return False
        self.registered(registration, sender.at_port(registration.port), anew=True)
        return True

    def ended(self, registration: Registration, *, removed: bool) -> None:
        uid = registration.uid
        if removed:
            self._gateway.left(uid, "left")
        elif self._gateway.is_silent(uid):
            self._gateway.left(uid, "silent")
        else:
            return  # it is heard of by other means
        self._forget(uid)

    def refused(self, peer: Peer, problem: PyaiotError) -> aiocoap.Message:
        return as_message(self._notifications.refusal(problem, peer.address))
