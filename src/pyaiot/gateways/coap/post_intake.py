# SPDX-License-Identifier: BSD-3-Clause
"""Passes posts from aiocoap, claims and values of responses to the intake.

It adds the current time to the calls of `posts`.
"""

from collections.abc import Callable

import aiocoap
from aiocoap.resource import Resource

from pyaiot.errors import PyaiotError
from pyaiot.gateways.coap.address_table import AddressTable
from pyaiot.gateways.coap.bodies import BlockwiseBodies, acknowledged
from pyaiot.gateways.coap.intake_events import Reply
from pyaiot.gateways.coap.posts import Posts
from pyaiot.transport.peers import Peer, PeerAddress


def as_message(reply: Reply) -> aiocoap.Message:
    """A reply as a message of aiocoap."""
    response = aiocoap.Message(code=aiocoap.Code(reply.code), payload=reply.words.encode()[:64])
    if reply.max_age_s is not None:
        response.opt.max_age = reply.max_age_s
    return response


class PostIntake:
    """See `Posts`. The events of each call are applied before it returns."""

    def __init__(
        self,
        posts: Posts,
        table: AddressTable[Peer],
        apply_events: Callable[[], None],
        *,
        time: Callable[[], float],
        unix_time: Callable[[], float],
    ) -> None:
        self._posts = posts
        self._table = table
        self._apply_events = apply_events
        self._time = time
        self._unix_time = unix_time

    def is_node(self, address: PeerAddress) -> bool:
        """Whether a known node uses this host, at any port."""
        return self._table.has_node_on(address)

    def receive_post(self, path: str, peer: Peer, body: bytes, format_: int | None = None) -> Reply:
        """The response to a post that is known not to be a duplicate."""
        try:
            return self._posts.receive_body(
                path, peer, body, format_, now=self._time(), ts=self._unix_time()
            )
        finally:
            self._apply_events()

    def claim(self, uid: str, peer: Peer, *, rebooted: bool) -> Reply:
        """The response to a peer that claims this uid. Raises `TooFast`, `Refused`."""
        try:
            return self._posts.claim(
                uid, peer, rebooted=rebooted, now=self._time(), ts=self._unix_time()
            )
        finally:
            self._apply_events()

    def appeared(
        self, uid: str, address: PeerAddress, *, rebooted: bool, known_before: bool = False
    ) -> None:
        """The node at this address is alive. Raises `Refused`, `TooFast`."""
        try:
            self._posts.appeared(
                uid,
                address,
                rebooted=rebooted,
                known_before=known_before,
                now=self._time(),
                ts=self._unix_time(),
            )
        finally:
            self._apply_events()

    def receive_values(
        self, uid: str, resource: str, payload: bytes, format_: int | None, notified: bool
    ) -> None:
        """The payload of a response to a GET, or of a notification (`notified`).

        Raises `TooFast` for notifications above the rate limit.
        """
        try:
            self._posts.receive_values(
                uid,
                resource,
                payload,
                format_,
                notified=notified,
                now=self._time(),
                ts=self._unix_time(),
            )
        finally:
            self._apply_events()

    def keep(self, uid: str, resource: str, data: object) -> None:
        """Record a reading that needs no response. A refused one is counted."""
        self._posts.keep(uid, resource, data, now=self._time(), ts=self._unix_time())
        self._apply_events()

    def refuse(self, text: str, *details: object) -> None:
        """Count a refusal, and log it at a limited rate."""
        self._posts.refuse(text, *details)
        self._apply_events()

    def refusal(self, problem: PyaiotError, address: PeerAddress) -> Reply:
        """Count a refusal. Returns the response, with a short reason."""
        reply = self._posts.refusal(problem, address)
        self._apply_events()
        return reply


class PostResource(Resource):  # type: ignore[misc]  # aiocoap has no types
    """A resource for posts in blocks, or in a form that the fast path does not handle."""

    def __init__(self, path: str, posts: PostIntake, bodies: BlockwiseBodies) -> None:
        super().__init__()
        self._bodies = bodies
        self._path = path
        self._posts = posts

    async def needs_blockwise_assembly(self, _request: aiocoap.Message) -> bool:
        return False

    async def render_post(self, request: aiocoap.Message) -> aiocoap.Message:
        body = self._bodies.complete_body(request)
        if isinstance(body, aiocoap.Message):
            return body
        found = request.opt.content_format
        format_ = None if found is None else int(found)
        reply = self._posts.receive_post(self._path, request.remote.peer, body, format_)
        return acknowledged(request, as_message(reply))
