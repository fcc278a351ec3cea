# SPDX-License-Identifier: BSD-3-Clause
"""Commands to CoAP nodes: a PUT, then the new value is read back."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from pyaiot.errors import ProtocolError, Refused
from pyaiot.gateways.coap.address_table import AddressTable, NodeEntry
from pyaiot.gateways.coap.observer import Observer
from pyaiot.gateways.coap.post_intake import PostIntake
from pyaiot.gateways.coap.requests import Requests, ResetReceived
from pyaiot.gateways.coap.sleeping_nodes import SleepingNodes
from pyaiot.gateways.gateway import Outcome
from pyaiot.protocols.coap.numbers import Code, code_text
from pyaiot.protocols.link_format import resource_name, resource_uri
from pyaiot.transport.peers import Peer

READ_BACK_S: Final = 5.0


class CommandWriter:
    """Writes resources of nodes."""

    def __init__(
        self,
        requests: Requests,
        table: AddressTable[Peer],
        posts: PostIntake,
        observer: Observer,
        sleeping: SleepingNodes,
        time: Callable[[], float],
        *,
        candidates: Callable[[str, NodeEntry[Peer]], list[Peer]],
        start: Callable[[Coroutine[Any, Any, None], str], None],
    ) -> None:
        """`candidates`: the addresses to try while the address of the node is unknown. `start` runs
        a coroutine as a task with a name."""
        self._requests = requests
        self._table = table
        self._posts = posts
        self._observer = observer
        self._sleeping = sleeping
        self._time = time
        self._candidates = candidates
        self._start = start

    async def write(self, uid: str, resource: str, payload: str, deadline: float) -> Outcome:
        """See `DeviceSide.write`."""
        await self._sleeping.until_awake(uid)
        node = self._table.get(uid)
        if node is None:
            return Outcome("unreachable", "no address is known")
        peer, *others = self._addressees(uid, node)
        uri = resource_uri(resource.removeprefix("/"))
        try:
            try:
                response = await self._requests.put(peer, uri, payload.encode(), deadline)
            except TimeoutError:
                raise  # a `TimeoutError` is an OSError too
            except OSError:
                # Nothing listens there, so the command was not carried out: try the next address.
                if not others:
                    raise
                peer = others[0]
                response = await self._requests.put(peer, uri, payload.encode(), deadline)
        except TimeoutError:
            raise  # a `TimeoutError` is an OSError too
        except OSError as error:
            return Outcome("unreachable", error.strerror or str(error))
        except ResetReceived as error:
            # A reset is easily forged, and the command may have been carried out before it.
            return Outcome("timeout", str(error))
        except (ProtocolError, Refused, UnicodeEncodeError) as error:
            return Outcome("refused", str(error))
        code = code_text(response.code)
        if response.code >= Code.BAD_REQUEST:
            words = response.payload[:100].decode(errors="replace")
            return Outcome("refused", f"{code} {words}".strip())
        reported, colon, value = response.payload.decode(errors="replace").partition(":")
        if colon and reported == resource:
            # Deployed firmware answers with the new value: `led:1`.
            self._posts.keep(uid, resource, value)
        else:
            self._start(self._read_back(uid, peer, uri), f"read back of {uid}")
        return Outcome("confirmed", code)

    def _addressees(self, uid: str, node: NodeEntry[Peer]) -> list[Peer]:
        """The addresses to send a command to. Each is used if nothing listens at the previous
        one."""
        if node.answers_at is not None:
            return [node.answers_at]
        return self._candidates(uid, node)

    async def _read_back(self, uid: str, peer: Peer, uri: str) -> None:
        deadline = self._time() + READ_BACK_S
        name = resource_name(uri)
        node = self._table.get(uid)
        accept = None if node is None else node.accepts.get(name)
        await self._observer.read_once(uid, name, uri, peer, deadline, accept=accept)
