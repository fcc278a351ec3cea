# SPDX-License-Identifier: BSD-3-Clause
"""Commands to CoAP nodes: a PUT to where the node answers, then its value as it is now."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from pyaiot.errors import ProtocolError, Refused
from pyaiot.gateways.coap.aiocoap_adapter import Peer
from pyaiot.gateways.coap.notifications import Notifications
from pyaiot.gateways.coap.observer import Watching
from pyaiot.gateways.coap.peers import NodeAddress, Peers
from pyaiot.gateways.coap.requests import Requests, ResetReceived
from pyaiot.gateways.coap.sleeping_nodes import SleepingNodes
from pyaiot.gateways.gateway import Outcome
from pyaiot.protocols.coap.numbers import Code, code_text
from pyaiot.protocols.link_format import resource_name, resource_uri

READ_BACK_S: Final = 5.0


class Commands:
    """Writes resources of nodes."""

    def __init__(
        self,
        requests: Requests,
        peers: Peers[Peer],
        notifications: Notifications,
        watching: Watching,
        sleepers: SleepingNodes,
        time: Callable[[], float],
        *,
        candidates: Callable[[str, NodeAddress[Peer]], list[Peer]],
        start: Callable[[Coroutine[Any, Any, None], str], None],
    ) -> None:
        """`candidates`: where a node may answer that did not answer yet. `start` runs a task."""
        self._requests = requests
        self._peers = peers
        self._notifications = notifications
        self._watching = watching
        self._sleepers = sleepers
        self._time = time
        self._candidates = candidates
        self._start = start

    async def write(self, uid: str, resource: str, payload: str, deadline: float) -> Outcome:
        """See `DeviceSide.write`."""
        await self._sleepers.until_awake(uid)
        node = self._peers.get(uid)
        if node is None:
            return Outcome("unreachable", "no address is known")
        peer, *others = self._addressees(uid, node)
        uri = resource_uri(resource.removeprefix("/"))
        try:
            try:
                answer = await self._requests.put(peer, uri, payload.encode(), deadline)
            except TimeoutError:
                raise  # it is an OSError too
            except OSError:
                # Nobody listens there, so nobody did it: it may be said elsewhere.
                if not others:
                    raise
                peer = others[0]
                answer = await self._requests.put(peer, uri, payload.encode(), deadline)
        except TimeoutError:
            raise  # it is an OSError too
        except OSError as error:
            return Outcome("unreachable", error.strerror or str(error))
        except ResetReceived as error:
            # Anybody may have sent it, and the command may have been carried out before.
            return Outcome("timeout", str(error))
        except (ProtocolError, Refused, UnicodeEncodeError) as error:
            return Outcome("refused", str(error))
        said = code_text(answer.code)
        if answer.code >= Code.BAD_REQUEST:
            words = answer.payload[:100].decode(errors="replace")
            return Outcome("refused", f"{said} {words}".strip())
        reported, colon, value = answer.payload.decode(errors="replace").partition(":")
        if colon and reported == resource:
            # Real firmware answers `led:1`: what it is now.
            self._notifications.keep(uid, resource, value)
        else:
            self._start(self._read_back(uid, peer, uri), f"read back of {uid}")
        return Outcome("confirmed", said)

    def _addressees(self, uid: str, node: NodeAddress[Peer]) -> list[Peer]:
        """Where a command goes; where nobody listens there, to the next one."""
        if node.answers_at is not None:
            return [node.answers_at]
        return self._candidates(uid, node)

    async def _read_back(self, uid: str, peer: Peer, uri: str) -> None:
        deadline = self._time() + READ_BACK_S
        name = resource_name(uri)
        node = self._peers.get(uid)
        accept = None if node is None else node.accepts.get(name)
        await self._watching.read_once(uid, name, uri, peer, deadline, accept=accept)
