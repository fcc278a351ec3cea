# SPDX-License-Identifier: BSD-3-Clause
"""`/api/info`, `/api/gateways`, `/api/nodes`: the current state of the broker."""

import hashlib
import secrets
from typing import Final

import msgspec
from aiohttp import web

from pyaiot import __version__
from pyaiot.broker.broker import Broker
from pyaiot.broker.state import KnownNode
from pyaiot.messages import Ignored, Reading
from pyaiot.web.api.parameters import NodesQuery, Query
from pyaiot.web.api.responses import encode, json_response, matches_etag, not_modified
from pyaiot.web.api.schemas import (
    BrokerInfo,
    GatewayInfo,
    Gateways,
    LatestReading,
    NodeState,
)
from pyaiot.web.problems import ProblemError
from pyaiot.web.sign_in import MAY_COMMAND

PAGE_BYTES_MAX: Final = 4 * 1024 * 1024
"""A page of nodes ends after the node with which it reaches this size."""


class NodesApi:
    """The handlers of the current state. They run on the broker's loop."""

    def __init__(self, broker: Broker, *, title: str, has_history: bool) -> None:
        self._broker = broker
        self._title = title
        self._has_history = has_history
        self._run = secrets.token_hex(4)

    async def info(self, request: web.Request, _query: Query) -> web.StreamResponse:
        return json_response(
            BrokerInfo(
                title=self._title,
                version=__version__,
                history=self._has_history,
                may_command=request.get(MAY_COMMAND, True),
                nodes=len(self._broker.router.nodes),
                gateways=len(self._broker.router.gateways(0.0)),
            )
        )

    async def gateways(self, request: web.Request, _query: Query) -> web.StreamResponse:
        ignored_by = {ignored.gateway: ignored for ignored in self._broker.router.ignored()}
        nothing = Ignored(count=0, topic="")
        body = encode(
            Gateways(
                gateways=[
                    GatewayInfo(
                        name=state.name,
                        protocol=state.protocol,
                        version=state.version,
                        ignored=ignored_by.get(state.name, nothing).count,
                        ignored_topic=ignored_by.get(state.name, nothing).topic,
                    )
                    for state in self._broker.router.gateways(0.0)
                ]
            )
        )
        return _tagged(request, body)

    async def nodes(self, request: web.Request, query: NodesQuery) -> web.StreamResponse:
        # The state only changes with a publication.
        etag = f"{self._run}-{self._broker.fanout.messages}"
        if matches_etag(request, etag):
            return not_modified(etag)
        after = 0 if query.cursor is None else _sequence(query.cursor)
        wanted = None if query.uid is None else frozenset(query.uid)
        parts: list[bytes] = []
        size = 0
        last = 0
        more = False
        for node in self._broker.router.nodes:
            if node.sequence <= after or (wanted is not None and node.uid not in wanted):
                continue
            if len(parts) == query.limit or size >= PAGE_BYTES_MAX:
                more = True
                break
            part = encode(_node(node))
            parts.append(part)
            size += len(part)
            last = node.sequence
        cursor = str(last) if more else None
        body = b'{"nodes":[%b],"next":%b}' % (b",".join(parts), encode(cursor))
        response = json_response(body)
        response.etag = etag
        return response

    async def node(self, request: web.Request, _query: Query) -> web.StreamResponse:
        return _tagged(request, encode(_node(self._find(request))))

    async def resource(self, request: web.Request, _query: Query) -> web.StreamResponse:
        node = self._find(request)
        name = request.match_info["name"]
        reading = node.readings.get(name)
        if reading is None:
            raise ProblemError(
                404, "unknown-resource", f"the node {node.uid} has sent no reading of {name[:64]!r}"
            )
        return _tagged(request, encode(_latest(reading)))

    def _find(self, request: web.Request) -> KnownNode:
        uid = request.match_info["uid"]
        node = self._broker.router.nodes.get(uid)
        if node is None:
            raise ProblemError(404, "unknown-node", f"there is no node {uid[:64]!r}")
        return node


def _tagged(request: web.Request, body: bytes) -> web.Response:
    """A response whose `ETag` is a hash of its body."""
    etag = hashlib.blake2b(body, digest_size=8).hexdigest()
    if matches_etag(request, etag):
        return not_modified(etag)
    response = json_response(body)
    response.etag = etag
    return response


def _node(node: KnownNode) -> NodeState:
    return NodeState(
        uid=node.uid,
        gateway=node.appeared.gateway,
        ts=node.appeared.ts,
        resources=[_latest(reading) for reading in node.readings.values()],
    )


def _latest(reading: Reading) -> LatestReading:
    return LatestReading(
        name=reading.resource,
        data=reading.data,
        value=reading.number,
        unit=reading.unit,
        retained=reading.retained,
        ts=reading.ts,
    )


def _sequence(cursor: str) -> int:
    try:
        return msgspec.convert(cursor, int, strict=False)
    except msgspec.ValidationError as error:
        raise ProblemError(400, "bad-request", "the cursor is not valid") from error
