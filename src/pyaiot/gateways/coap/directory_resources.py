# SPDX-License-Identifier: BSD-3-Clause
"""The resources of the resource directory (RFC 9176). Any standard node can register.

`/rd` accepts registrations, `/rd-lookup/ep` and `/rd-lookup/res` list them, and `POST
/.well-known/rd` (simple registration) makes the gateway read the links from the node.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

import aiocoap
from aiocoap.resource import PathCapable, Resource, Site

from pyaiot.errors import ProtocolError, PyaiotError, Refused
from pyaiot.gateways.coap.address_table import AddressTable, Claim
from pyaiot.gateways.coap.bodies import BlockwiseBodies, acknowledged
from pyaiot.gateways.coap.intake_events import ACCEPTED
from pyaiot.gateways.coap.lookups import Find, Lookups, endpoints, resources
from pyaiot.gateways.coap.post_intake import PostIntake, as_message
from pyaiot.gateways.coap.registrations import LINK_BYTES_MAX, Directory, Registration, uid_of
from pyaiot.gateways.gateway import Gateway
from pyaiot.messages import check_uid
from pyaiot.protocols.coap.numbers import ContentFormat
from pyaiot.protocols.coap.resource_directory import (
    RegistrationParameters,
    matches,
    read_parameters,
    values_of,
)
from pyaiot.protocols.link_format import CoreLink, format_links, parse_links
from pyaiot.transport.peers import Peer, PeerAddress

RD: Final = "rd"
LOOKUP: Final = "rd-lookup"
_PATH: Final = f"/{RD}"
_CT: Final = ("ct", str(int(ContentFormat.LINK_FORMAT)))
OFFERED: Final = (
    CoreLink("/alive"),
    CoreLink("/server"),
    CoreLink(_PATH, (("rt", "core.rd"), _CT)),
    CoreLink(f"/{LOOKUP}/ep", (("rt", "core.rd-lookup-ep"), _CT)),
    CoreLink(f"/{LOOKUP}/res", (("rt", "core.rd-lookup-res"), _CT)),
)
"""The response to `GET /.well-known/core` (RFC 9176 section 4)."""

log = logging.getLogger(__name__)

Render: TypeAlias = Callable[[aiocoap.Message], Awaitable[aiocoap.Message] | aiocoap.Message]


class RegisteredNodes:
    """Registered endpoints as nodes of the gateway."""

    def __init__(
        self,
        gateway: Gateway,
        table: AddressTable[Peer],
        posts: PostIntake,
        *,
        discover: Callable[[str], None],
        forget: Callable[[str], None],
        time: Callable[[], float],
    ) -> None:
        self._gateway = gateway
        self._table = table
        self._posts = posts
        self._discover = discover
        self._forget = forget
        self._time = time

    def claim(self, uid: str, peer: Peer) -> aiocoap.Message | None:
        """Admit the address that registers a uid. None: admitted; else the response.

        Raises `ProtocolError`, `Refused`.
        """
        check_uid(uid)
        reply = self._posts.claim(uid, peer, rebooted=False)
        return None if reply is ACCEPTED else as_message(reply)

    def registered(self, registration: Registration, peer: Peer, *, changed: bool) -> None:
        """The resources of the node can be read at `peer`. `changed`: they may have changed."""
        uid = registration.uid
        # The lifetime replaces the offline timeout.
        self._gateway.nodes.keep_until(uid, registration.expires_at)
        if self._table.get(uid) is not None:
            self._table.answers(uid, peer, peer.address)
            self._table.sends_from_here(uid)
        if changed:
            self._discover(uid)

    def restore(self, registration: Registration, sender: Peer) -> bool:
        """Restore a registration from before a restart. False: the node was not admitted."""
        uid = registration.uid
        try:
            check_uid(uid)
            claim = self._table.claim(uid, sender.address, sender, now=self._time())
            if claim is not Claim.ACCEPTED:
                return False
            self._posts.appeared(uid, sender.address, rebooted=False, known_before=True)
        except (ProtocolError, Refused):
            return False
        self.registered(registration, sender.at_port(registration.port), changed=True)
        return True

    def ended(self, registration: Registration, *, removed: bool) -> None:
        """The node removed its registration, or let it expire."""
        uid = registration.uid
        if removed:
            self._gateway.left(uid, "left")
        elif self._gateway.is_offline(uid):
            self._gateway.left(uid, "silent")
        else:
            return  # still online without a registration
        self._forget(uid)

    def proved_uid(self, registration: Registration) -> str:
        """The uid that the node proved with a credential; "": it proved none."""
        node = self._table.get(registration.uid)
        return "" if node is None else node.address.uid

    def refused(self, peer: Peer, problem: PyaiotError) -> aiocoap.Message:
        """Count a refusal. Returns the response."""
        return as_message(self._posts.refusal(problem, peer.address))


class DirectoryServer:
    """The directory and its CoAP resources."""

    def __init__(
        self,
        site: Site,
        bodies: BlockwiseBodies,
        nodes: RegisteredNodes,
        time: Callable[[], float],
        directory: Directory,
    ) -> None:
        self.directory = directory
        self._lookups = Lookups(self.directory, _PATH)
        self._bodies = bodies
        self._nodes = nodes
        self._time = time
        self._changed = asyncio.Event()
        site.add_resource([RD], _Handlers(post=self._register))
        site.add_resource([RD], _Locations(self._register, self._update, self._remove))
        site.add_resource([LOOKUP, "ep"], _Handlers(get=self._endpoints))
        site.add_resource([LOOKUP, "res"], _Handlers(get=self._resources))
        site.add_resource([".well-known", "core"], _Handlers(get=self._offered))
        site.add_resource([".well-known", RD], _Handlers(post=self._register_simply))

    async def run(self) -> None:
        """Remove expired registrations, until cancelled."""
        while True:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                # Until the next expiry, or until a registration changes it.
                async with asyncio.timeout_at(self.directory.next_expiry()):
                    await self._changed.wait()
            for registration in self.directory.expired(now=self._time()):
                log.info("%s: registration expired", registration.uid)
                self._nodes.ended(registration, removed=False)

    def forget(self, uid: str) -> None:
        """The node left in another way: remove its registration."""
        registration = self.directory.of(uid)
        if registration is not None:
            self.directory.remove(registration)

    def restore(self, registration: Registration, sender: Peer) -> bool:
        """Restore a registration from before a restart. False: it was refused."""
        if not self.directory.restore(registration):
            return False
        if not self._nodes.restore(registration, sender):
            self.directory.remove(registration)
            return False
        self._changed.set()
        return True

    # -- registrations --------------------------------------------------------------------------

    def _register(self, request: aiocoap.Message) -> aiocoap.Message:
        """Section 5."""
        body = self._bodies.complete_body(request)
        if isinstance(body, aiocoap.Message):
            return body
        return acknowledged(request, self._or_refusal(request, lambda: self._take(request, body)))

    def _take(self, request: aiocoap.Message, body: bytes) -> aiocoap.Message:
        format_ = request.opt.content_format
        if format_ is not None and int(format_) != ContentFormat.LINK_FORMAT:
            return aiocoap.Message(code=aiocoap.UNSUPPORTED_CONTENT_FORMAT)
        if len(body) > LINK_BYTES_MAX:
            return aiocoap.Message(code=aiocoap.REQUEST_ENTITY_TOO_LARGE, size1=LINK_BYTES_MAX)
        parameters = read_parameters(request.opt.uri_query)
        response, location = self._accept(request, parameters, parse_links(body).links)
        if response is None:
            response = aiocoap.Message(code=aiocoap.CREATED)
            response.opt.location_path = (RD, location)
        return response

    def _register_simply(self, request: aiocoap.Message) -> aiocoap.Message:
        """Section 5.1: without links. The gateway reads them from the node."""

        def take() -> aiocoap.Message:
            parameters = read_parameters(request.opt.uri_query)
            if parameters.base is not None:
                raise ProtocolError("a simple registration must not have base")
            response, _ = self._accept(request, parameters, ())
            return response or aiocoap.Message(code=aiocoap.CHANGED)

        return self._or_refusal(request, take)

    def _accept(
        self,
        request: aiocoap.Message,
        parameters: RegistrationParameters,
        links: Sequence[CoreLink],
    ) -> tuple[aiocoap.Message | None, str]:
        peer = _target_peer(request.remote.peer, parameters)
        uid = uid_of(parameters)
        refusal = self._nodes.claim(uid, request.remote.peer)
        if refusal is not None:
            return refusal, ""
        address = peer.address
        registration = self.directory.register(
            parameters, links, address.host, address.port, now=self._time()
        )
        registration.secured = peer.security == "dtls-psk"
        self._changed.set()
        self._nodes.registered(registration, peer, changed=True)
        return None, registration.location

    def _update(self, request: aiocoap.Message, location: str) -> aiocoap.Message:
        """Section 5.3.1."""

        def take() -> aiocoap.Message:
            registration = self._at(location)
            if request.payload:
                raise ProtocolError("an update must not have a payload")
            parameters = read_parameters(request.opt.uri_query)
            if parameters.endpoint is not None or parameters.sector:
                raise ProtocolError("an update must not name the endpoint")
            peer = _target_peer(request.remote.peer, parameters)
            refusal = self._nodes.claim(registration.uid, request.remote.peer)
            if refusal is not None:
                return refusal
            address = peer.address
            moved = (registration.host, registration.port) != (address.host, address.port)
            self.directory.update(
                registration, parameters, address.host, address.port, now=self._time()
            )
            self._changed.set()
            self._nodes.registered(registration, peer, changed=moved)
            return aiocoap.Message(code=aiocoap.CHANGED)

        return self._or_refusal(request, take)

    def _remove(self, request: aiocoap.Message, location: str) -> aiocoap.Message:
        """Section 5.3.2. Only from the registering host, because locations are easily guessed."""

        def take() -> aiocoap.Message:
            registration = self._at(location)
            sender: PeerAddress = request.remote.peer.address
            if sender.host != registration.host:
                raise Refused("registered from another address")
            if sender.uid != self._nodes.proved_uid(registration):
                raise Refused("registered with another credential")
            self.directory.remove(registration)
            self._nodes.ended(registration, removed=True)
            return aiocoap.Message(code=aiocoap.DELETED)

        return self._or_refusal(request, take)

    def _at(self, location: str) -> Registration:
        registration = self.directory.at(location)
        if registration is None:
            raise aiocoap.error.NotFound
        return registration

    def _or_refusal(
        self, request: aiocoap.Message, take: Callable[[], aiocoap.Message]
    ) -> aiocoap.Message:
        try:
            return take()
        except (ProtocolError, Refused) as problem:
            return self._nodes.refused(request.remote.peer, problem)

    # -- lookups --------------------------------------------------------------------------------

    def _endpoints(self, request: aiocoap.Message) -> aiocoap.Message:
        return self._found(request, endpoints)

    def _resources(self, request: aiocoap.Message) -> aiocoap.Message:
        return self._found(request, resources)

    def _found(self, request: aiocoap.Message, find: Find) -> aiocoap.Message:
        try:
            body = self._lookups.answer(find, tuple(request.opt.uri_query), now=self._time())
        except (ProtocolError, Refused) as problem:
            return self._nodes.refused(request.remote.peer, problem)
        return self._content(request, body)

    def _offered(self, request: aiocoap.Message) -> aiocoap.Message:
        """RFC 6690 section 4.1: each filter must match."""
        filters = [argument.partition("=") for argument in request.opt.uri_query]
        links = (
            link
            for link in OFFERED
            if all(matches(value, values_of(link, name)) for name, _, value in filters)
        )
        return self._content(request, format_links(links))

    def _content(self, request: aiocoap.Message, body: bytes) -> aiocoap.Message:
        accept = request.opt.accept
        if accept is not None and int(accept) != ContentFormat.LINK_FORMAT:
            return aiocoap.Message(code=aiocoap.NOT_ACCEPTABLE)
        return self._bodies.respond(request, body, ContentFormat.LINK_FORMAT)


def _target_peer(peer: Peer, parameters: RegistrationParameters) -> Peer:
    """The peer to send requests to: `base`, or the sender of the registration (section 5).

    `base` must name the host of the sender: else the gateway could be aimed at any other host.
    """
    if parameters.base is None:
        return peer
    host, port = parameters.base
    if host != peer.address.host:
        raise Refused("base is not the host of the sender")
    if peer.security == "dtls-psk" and port != peer.address.port:
        raise Refused("base leads out of the session")
    return peer.at_port(port)


class _Handlers(Resource):  # type: ignore[misc]  # aiocoap has no types
    """A resource that is rendered by functions."""

    def __init__(
        self,
        *,
        get: Callable[[aiocoap.Message], aiocoap.Message] | None = None,
        post: Callable[[aiocoap.Message], aiocoap.Message] | None = None,
    ) -> None:
        super().__init__()
        self._methods = {aiocoap.GET: get, aiocoap.POST: post}

    async def needs_blockwise_assembly(self, _request: aiocoap.Message) -> bool:
        return False

    async def render(self, request: aiocoap.Message) -> aiocoap.Message:
        method = self._methods.get(request.code)
        if method is None:
            return aiocoap.Message(code=aiocoap.METHOD_NOT_ALLOWED)
        return method(request)


class _Locations(Resource, PathCapable):  # type: ignore[misc]  # aiocoap has no types
    """The paths below `/rd`: `/rd/` itself, and one for each registration."""

    def __init__(
        self,
        register: Callable[[aiocoap.Message], aiocoap.Message],
        update: Callable[[aiocoap.Message, str], aiocoap.Message],
        remove: Callable[[aiocoap.Message, str], aiocoap.Message],
    ) -> None:
        super().__init__()
        self._register = register
        self._update = update
        self._remove = remove

    async def needs_blockwise_assembly(self, _request: aiocoap.Message) -> bool:
        return False

    async def render(self, request: aiocoap.Message) -> aiocoap.Message:
        match tuple(request.opt.uri_path), request.code:
            case (), aiocoap.POST:
                return self._register(request)
            case (location,), aiocoap.POST:
                return self._update(request, location)
            case (location,), aiocoap.DELETE:
                return self._remove(request, location)
            case ((() | (_,)), _):
                return aiocoap.Message(code=aiocoap.METHOD_NOT_ALLOWED)
        return aiocoap.Message(code=aiocoap.NOT_FOUND)
