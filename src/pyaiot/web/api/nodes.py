# SPDX-License-Identifier: BSD-3-Clause
"""`/api/info`, `/api/gateways`, `GET /api/nodes`: the registry and the current values."""

import asyncio
import hashlib
import secrets
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Final

import msgspec
from aiohttp import web
from msgspec import UNSET

from pyaiot import __version__
from pyaiot.accounts.scopes import EVERYTHING, PERSONAL_RESOURCES, Scope
from pyaiot.broker.broker import Broker
from pyaiot.broker.resource_types import stated_resources, type_of
from pyaiot.errors import ProtocolError
from pyaiot.messages import GatewayState, Ignored, LastValue, Reading
from pyaiot.model import ResourceType, TypedValue, decode
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
from pyaiot.web.readiness import Check

PAGE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Size, in bytes, at which a page of nodes ends after the current node."""
_number_of: Final = attrgetter("number")


class NodesApi:
    """The handlers that read nodes. They run on the broker's loop."""

    def __init__(
        self,
        broker: Broker,
        *,
        title: str,
        has_history: bool,
        checks: Mapping[str, Check] = MappingProxyType({}),
    ) -> None:
        self._broker = broker
        self._registry = broker.router.registry
        self._title = title
        self._has_history = has_history
        self._checks = checks
        self._run = secrets.token_hex(4)

    async def info(self, request: web.Request, _query: Query) -> web.StreamResponse:
        access = access_of(request)
        online, registered, waiting = await self._counts(access.scope)
        return json_response(
            BrokerInfo(
                title=self._title,
                version=__version__,
                history=self._has_history,
                history_problem=await self._history_problem() if access.may_command else "",
                may_command=access.may_command,
                may_add_devices=access.role == "admin",
                access=access.kind,
                role=access.role,
                user=access.name,
                scope=access.scope.text,
                scope_tags=access.scope.tags,
                scope_gateways=access.scope.gateways,
                nodes=online,
                registered=registered,
                waiting=waiting,
                gateways=len(self._gateways(access.scope)),
                clients=len(self._broker.fanout.clients),
                clients_behind=sum(it.waiting for it in self._broker.fanout.clients.values()),
                messages=self._broker.fanout.messages if access.scope == EVERYTHING else 0,
            )
        )

    async def _history_problem(self) -> str:
        check = self._checks.get("history")
        return await check() if check is not None else ""

    async def _counts(self, scope: Scope) -> tuple[int, int, int]:
        """Numbers of nodes that are online, registered, and waiting."""
        nodes = self._broker.router.nodes
        if scope.has_all_nodes:
            return len(nodes) - nodes.waiting, len(self._registry), self._registry.waiting
        states: Counter[str] = Counter()
        async for record in matching(self._broker, NodeFilter(states=None), scope):
            states[record.state] += 1
        return states["online"], states.total(), states["waiting"]

    def _gateways(self, scope: Scope) -> list[GatewayState]:
        return [
            state
            for state in self._broker.router.gateways.states(0.0)
            if not scope.gateways or state.name in scope.gateways
        ]

    async def gateways(self, request: web.Request, _query: Query) -> web.StreamResponse:
        scope = access_of(request).scope
        # The topic of a message that belongs to no node may contain the name of another client's
        # node.
        reports = self._broker.router.gateways.ignored() if scope == EVERYTHING else []
        sent: Counter[str] = Counter()
        brokers: dict[str, str] = {}
        for gateway in self._broker.router.gateways.values():
            sent[gateway.name] += gateway.readings
            brokers[gateway.name] = gateway.broker
        ignored_by = {ignored.gateway: ignored for ignored in reports}
        nothing = Ignored(count=0, topic="")
        body = encode(
            Gateways(
                gateways=[
                    GatewayInfo(
                        name=state.name,
                        protocol=state.protocol,
                        version=state.version,
                        broker=brokers.get(state.name, ""),
                        readings=sent[state.name],
                        ignored=ignored_by.get(state.name, nothing).count,
                        ignored_topic=ignored_by.get(state.name, nothing).topic,
                        ignored_topics=list(ignored_by.get(state.name, nothing).topics),
                        refused=ignored_by.get(state.name, nothing).refused,
                        refusal=ignored_by.get(state.name, nothing).refusal,
                        messages_refused=ignored_by.get(state.name, nothing).messages_refused,
                        refusals=list(ignored_by.get(state.name, nothing).refusals),
                        refusal_times=list(ignored_by.get(state.name, nothing).refusal_times),
                    )
                    for state in self._gateways(scope)
                ]
            )
        )
        return _tagged(request, body)

    async def nodes(self, request: web.Request, query: NodesQuery) -> web.StreamResponse:
        # The state changes only with a publication or with the registry. Values of newcomers are
        # not published.
        scope = access_of(request).scope
        etag = f"{self._run}-{self._broker.fanout.messages}-{self._registry.changes}"
        if scope != EVERYTHING:
            etag += f"-{version_of(repr(scope).encode())}"
        has_etag = query.state is None or "waiting" not in query.state
        if has_etag and matches_etag(request, etag):
            return not_modified(etag)
        after = 0 if query.cursor is None else cursor_number(query.cursor)
        parts: list[bytes] = []
        size = 0
        last = 0
        more = False
        async for record in matching(self._broker, query.node_filter(), scope, after):
            if len(parts) == query.limit or size >= PAGE_BYTES_MAX:
                more = True
                break
            part = encode(node_info(self._broker, record, scope))
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
        return node_response(self._broker, record, request, conditional=True)

    async def resource(self, request: web.Request, _query: Query) -> web.StreamResponse:
        return _tagged(request, encode(_reading(self._latest(request)[1])))

    async def value(self, request: web.Request, _query: Query) -> web.StreamResponse:
        return _tagged(request, encode(_value(*self._latest(request))))

    def _latest(self, request: web.Request) -> tuple[NodeRecord, Reading | LastValue]:
        """The node and the resource in the path of a request. Raises `ProblemError`."""
        record = find(self._broker, request)
        name = request.match_info["name"]
        for reading in _latest(self._broker, record, access_of(request).scope):
            if reading.resource == name:
                return record, reading
        raise ProblemError(
            404, "unknown-resource", f"the node {record.uid} has sent no reading of {name[:64]!r}"
        )


def find(broker: Broker, request: web.Request) -> NodeRecord:
    """The node in the path of a request. Raises `ProblemError`, also if it is not in the scope."""
    uid = request.match_info["uid"]
    record = broker.router.registry.get(uid)
    if record is None or not includes(access_of(request).scope, record):
        raise ProblemError(404, "unknown-node", f"there is no node {uid[:64]!r}")
    return record


def includes(scope: Scope, record: NodeRecord) -> bool:
    """Whether a node is in a scope."""
    return scope.includes(record.annotations.tags, record.gateway)


def sees(broker: Broker, request: web.Request, uid: str) -> bool:
    """Whether the client of a request may see a node. A node that is not registered is visible only
    to a scope with all nodes."""
    scope = access_of(request).scope
    if scope.has_all_nodes:
        return True
    record = broker.router.registry.get(uid)
    return record is not None and includes(scope, record)


async def matching(
    broker: Broker, wanted: NodeFilter, scope: Scope, after: int = 0
) -> AsyncIterator[NodeRecord]:
    """The nodes of a scope that a filter selects, with their numbers, above `after`. Yields to
    other tasks."""
    registry = broker.router.registry
    if scope.hides_personal:
        wanted = msgspec.structs.replace(wanted, searches_notes=False)
    if wanted.uids is not None:
        found = (registry.get(uid) for uid in wanted.uids)
        some = [it for it in found if it is not None and it.number > after]
        for record in wanted.select(sorted(some, key=_number_of)):
            if includes(scope, record):
                yield record
        return
    # They are sorted by their numbers.
    records = list(registry.records.values())
    start = bisect_right(records, after, key=_number_of)
    while start < len(records):
        first = records[start].number // BLOCK_NODES * BLOCK_NODES
        end = bisect_left(records, first + BLOCK_NODES, lo=start, key=_number_of)
        block = records[bisect_left(records, first, hi=start, key=_number_of) : end]
        if not wanted.words or registry.texts.may_have(wanted.words, block):
            for record in wanted.select(records[start:end]):
                # It may have been forgotten in the meantime.
                if registry.get(record.uid) is record and includes(scope, record):
                    yield record
        start = end
        await asyncio.sleep(0)


def node_response(
    broker: Broker, record: NodeRecord, request: web.Request, *, conditional: bool = False
) -> web.Response:
    """A node, with an `ETag` that begins with its revision. `conditional`: answer 304 if the client
    has this version."""
    body = encode(node_info(broker, record, access_of(request).scope, typed=True))
    etag = f"{record.revision}-{version_of(body)}"
    if conditional and matches_etag(request, etag):
        return not_modified(etag)
    response = json_response(body)
    response.etag = etag
    return response


def node_info(broker: Broker, record: NodeRecord, scope: Scope, *, typed: bool = False) -> NodeInfo:
    """`typed`: with the types of its resources."""
    node = broker.router.nodes.get(record.uid)
    added = record.annotations
    latest = _latest(broker, record, scope)
    return NodeInfo(
        uid=record.uid,
        state=record.state,
        label=added.label,
        room=added.room,
        latitude=added.latitude,
        longitude=added.longitude,
        tags=added.tags,
        notes="" if scope.hides_personal else added.notes,
        interval_s=added.interval_s,
        offline_after_s=added.offline_after_s,
        types=added.types,
        revision=record.revision,
        protocol=record.protocol,
        gateway=record.gateway,
        ts=0.0 if node is None else node.appeared.ts,
        first_seen=record.first_seen,
        last_seen=record.last_seen,
        boots=record.boots,
        reason=record.reason,
        resources=[_reading(reading) for reading in latest],
        resource_types=_types(record, latest) if typed else UNSET,
    )


def _value(record: NodeRecord, reading: Reading | LastValue) -> TypedValue:
    """The value alone, in the form of the resource type; as the device sent it if it does not fit
    the type."""
    try:
        return decode(type_of(record, reading.resource, reading), reading.data)
    except ProtocolError:
        return reading.data


def types_of_node(broker: Broker, record: NodeRecord, scope: Scope) -> dict[str, ResourceType]:
    """The types of the resources that are visible to a client with this scope, by name."""
    return _types(record, _latest(broker, record, scope))


def _types(record: NodeRecord, latest: Iterable[Reading | LastValue]) -> dict[str, ResourceType]:
    values = {it.resource: it for it in latest}
    names = sorted({*values, *stated_resources(record)})
    return {name: type_of(record, name, values.get(name)) for name in names}


def _latest(broker: Broker, record: NodeRecord, scope: Scope) -> list[Reading | LastValue]:
    node = broker.router.nodes.get(record.uid)
    found: list[Reading | LastValue]
    if node is not None:
        found = [*node.readings.values()]
    else:
        found = [*decode_values(broker.router.registry.values_of(record))]
    if scope.hides_personal:
        return [it for it in found if it.resource not in PERSONAL_RESOURCES]
    return found


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
    etag = version_of(body)
    if matches_etag(request, etag):
        return not_modified(etag)
    response = json_response(body)
    response.etag = etag
    return response


def version_of(body: bytes) -> str:
    """The `ETag` of a response."""
    return hashlib.blake2b(body, digest_size=8).hexdigest()


def cursor_number(cursor: str) -> int:
    """The number of the last node before a page, from its cursor. Raises `ProblemError`."""
    try:
        return msgspec.convert(cursor, int, strict=False)
    except msgspec.ValidationError as error:
        raise ProblemError(400, "bad-request", "the cursor is not valid") from error
