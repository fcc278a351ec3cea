# SPDX-License-Identifier: BSD-3-Clause
"""`/api/info`, `/api/gateways`, `GET /api/nodes`: the registry and the current values."""

import asyncio
import hashlib
import secrets
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Iterable
from operator import attrgetter
from typing import Final

import msgspec
from aiohttp import web

from pyaiot import __version__
from pyaiot.broker.broker import Broker
from pyaiot.messages import Ignored, LastValue, Reading
from pyaiot.registry.last_values import decode_values
from pyaiot.registry.node_filter import NodeFilter
from pyaiot.registry.record import NodeRecord
from pyaiot.registry.search_texts import BLOCK_NODES
from pyaiot.web.api.parameters import NodesQuery, Query
from pyaiot.web.api.responses import encode, json_response, matches_etag, not_modified
from pyaiot.web.api.schemas import (
    BrokerInfo,
    GatewayInfo,
    Gateways,
    LatestReading,
    NodeInfo,
)
from pyaiot.web.client_access import access_of
from pyaiot.web.problems import ProblemError

PAGE_BYTES_MAX: Final = 4 * 1024 * 1024
"""A page of nodes ends after the node with which it reaches this size."""
_number_of: Final = attrgetter("number")


class NodesApi:
    """The handlers that read nodes. They run on the broker's loop."""

    def __init__(self, broker: Broker, *, title: str, has_history: bool) -> None:
        self._broker = broker
        self._registry = broker.router.registry
        self._title = title
        self._has_history = has_history
        self._run = secrets.token_hex(4)

    async def info(self, request: web.Request, _query: Query) -> web.StreamResponse:
        nodes = self._broker.router.nodes
        return json_response(
            BrokerInfo(
                title=self._title,
                version=__version__,
                history=self._has_history,
                may_command=access_of(request).may_command,
                may_add_devices=access_of(request).role == "admin",
                nodes=len(nodes) - nodes.waiting,
                registered=len(self._registry),
                waiting=self._registry.waiting,
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
        # The state only changes with a publication, or with the registry. The values of newcomers
        # are not published.
        etag = f"{self._run}-{self._broker.fanout.messages}-{self._registry.changes}"
        has_etag = query.state is None or "waiting" not in query.state
        if has_etag and matches_etag(request, etag):
            return not_modified(etag)
        after = 0 if query.cursor is None else _number(query.cursor)
        parts: list[bytes] = []
        size = 0
        last = 0
        more = False
        async for record in matching(self._broker, query.node_filter(), after):
            if len(parts) == query.limit or size >= PAGE_BYTES_MAX:
                more = True
                break
            part = encode(node_info(self._broker, record))
            parts.append(part)
            size += len(part)
            last = record.number
        cursor = str(last) if more else None
        body = b'{"nodes":[%b],"next":%b}' % (b",".join(parts), encode(cursor))
        response = json_response(body)
        if has_etag:
            response.etag = etag
        return response

    async def node(self, request: web.Request, _query: Query) -> web.StreamResponse:
        record = find(self._broker, request)
        return node_response(self._broker, record, request)

    async def resource(self, request: web.Request, _query: Query) -> web.StreamResponse:
        record = find(self._broker, request)
        name = request.match_info["name"]
        for reading in _latest(self._broker, record):
            if reading.resource == name:
                return _tagged(request, encode(_reading(reading)))
        raise ProblemError(
            404, "unknown-resource", f"the node {record.uid} has sent no reading of {name[:64]!r}"
        )


def find(broker: Broker, request: web.Request) -> NodeRecord:
    """The node in the path of a request. Raises `ProblemError`."""
    uid = request.match_info["uid"]
    record = broker.router.registry.get(uid)
    if record is None:
        raise ProblemError(404, "unknown-node", f"there is no node {uid[:64]!r}")
    return record


async def matching(broker: Broker, wanted: NodeFilter, after: int = 0) -> AsyncIterator[NodeRecord]:
    """The nodes that a filter selects, with a number above `after`. Others get turns meanwhile."""
    registry = broker.router.registry
    if wanted.uids is not None:
        found = (registry.get(uid) for uid in wanted.uids)
        some = [it for it in found if it is not None and it.number > after]
        for record in wanted.select(sorted(some, key=_number_of)):
            yield record
        return
    # They are in the order of their numbers.
    records = list(registry.records.values())
    start = bisect_right(records, after, key=_number_of)
    while start < len(records):
        first = records[start].number // BLOCK_NODES * BLOCK_NODES
        end = bisect_left(records, first + BLOCK_NODES, lo=start, key=_number_of)
        block = records[bisect_left(records, first, hi=start, key=_number_of) : end]
        if not wanted.words or registry.texts.may_have(wanted.words, block):
            for record in wanted.select(records[start:end]):
                # It may have been forgotten meanwhile.
                if registry.get(record.uid) is record:
                    yield record
        start = end
        await asyncio.sleep(0)


def node_response(
    broker: Broker, record: NodeRecord, request: web.Request | None = None
) -> web.Response:
    """A node, with an `ETag` that begins with its revision; 304 if the client has it."""
    body = encode(node_info(broker, record))
    etag = f"{record.revision}-{_hash(body)}"
    if request is not None and matches_etag(request, etag):
        return not_modified(etag)
    response = json_response(body)
    response.etag = etag
    return response


def node_info(broker: Broker, record: NodeRecord) -> NodeInfo:
    node = broker.router.nodes.get(record.uid)
    added = record.annotations
    return NodeInfo(
        uid=record.uid,
        state=record.state,
        label=added.label,
        room=added.room,
        latitude=added.latitude,
        longitude=added.longitude,
        tags=added.tags,
        notes=added.notes,
        interval_s=added.interval_s,
        offline_after_s=added.offline_after_s,
        revision=record.revision,
        protocol=record.protocol,
        gateway=record.gateway,
        ts=0.0 if node is None else node.appeared.ts,
        first_seen=record.first_seen,
        last_seen=record.last_seen,
        boots=record.boots,
        reason=record.reason,
        resources=[_reading(reading) for reading in _latest(broker, record)],
    )


def _latest(broker: Broker, record: NodeRecord) -> Iterable[Reading | LastValue]:
    node = broker.router.nodes.get(record.uid)
    if node is not None:
        return node.readings.values()
    return decode_values(broker.router.registry.values_of(record))


def _reading(reading: Reading | LastValue) -> LatestReading:
    return LatestReading(
        name=reading.resource,
        data=reading.data,
        value=reading.number,
        unit=reading.unit,
        retained=reading.retained,
        ts=reading.ts,
    )


def _tagged(request: web.Request, body: bytes) -> web.Response:
    """A response whose `ETag` is a hash of its body."""
    etag = _hash(body)
    if matches_etag(request, etag):
        return not_modified(etag)
    response = json_response(body)
    response.etag = etag
    return response


def _hash(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=8).hexdigest()


def _number(cursor: str) -> int:
    try:
        return msgspec.convert(cursor, int, strict=False)
    except msgspec.ValidationError as error:
        raise ProblemError(400, "bad-request", "the cursor is not valid") from error
