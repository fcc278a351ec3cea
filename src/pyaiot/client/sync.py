# SPDX-License-Identifier: BSD-3-Clause
"""The client without `async`, for notebooks and short scripts."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from copy import copy
from typing import Any, Final, Self, TypeVar, Unpack

from pyaiot.client.administration import ClusterRow
from pyaiot.client.alerts import AlertRow, AlertRowState
from pyaiot.client.client import Client
from pyaiot.client.errors import ApiProblem, NoBroker
from pyaiot.client.history import AuditRow, ExportFormat, Moment
from pyaiot.client.mappings import MappingRow, TriedMapping
from pyaiot.client.records import Conditions, NodeEdit, RegistryEntry
from pyaiot.client.rows import Rows
from pyaiot.client.view import Event, Node
from pyaiot.errors import LinkLost
from pyaiot.messages import GatewayState, Reading, Receipt
from pyaiot.model import ResourceType
from pyaiot.model.topic_mapping import TopicMapping

T = TypeVar("T")


class SyncClient:
    """A synchronous `Client`: `client = SyncClient()`. Its event loop runs in a thread.

    It takes the same arguments, connects when it is created, and raises the same errors. Call
    `close`, or use it as a context manager. It also works in a notebook, where an event loop is
    already running.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Raises the errors of `Client.__aenter__`."""
        self._loop: Final = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="pyaiot client", daemon=True
        )
        self._thread.start()
        self._closed = False
        try:
            self._client = self._do(_entered(args, kwargs))
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and end the thread. Idempotent."""
        if not self._closed:
            try:
                self._do(self._client.__aexit__())
            finally:
                self._stop()

    @property
    def connected(self) -> bool:
        """See `Client.connected`."""
        return self._client.connected

    @property
    def nodes(self) -> Mapping[str, Node]:
        """A copy of the current nodes, by uid."""
        return self._do(_copied(self._client))

    @property
    def gateways(self) -> Mapping[str, GatewayState]:
        """See `Client.gateways`."""
        return dict(self._client.gateways)

    def get(self, uid: str, resource: str) -> Reading | None:
        """The latest reading of a resource of an online node; None if either is unknown.

        A unique label works in place of the uid.
        """
        if uid not in self._client.nodes:
            with contextlib.suppress(ApiProblem, NoBroker, LinkLost):
                uid = self._do(self._client.uid_of(uid))
        return self._client.get(uid, resource)

    def watch(
        self,
        uid: str | None = None,
        resource: str | None = None,
        *,
        known: bool = True,
        seconds: float | None = None,
    ) -> Iterator[Reading]:
        """See `Client.watch`. With `seconds`, it ends after that time."""

        async def begin() -> AsyncIterator[Reading]:
            return self._client.watch(uid, resource, known=known)

        return self._each(self._do(begin()), seconds)

    def events(self, uid: str | None = None, *, seconds: float | None = None) -> Iterator[Event]:
        """See `Client.events`. With `seconds`, it ends after that time."""

        async def begin() -> AsyncIterator[Event]:
            return self._client.events(uid)

        return self._each(self._do(begin()), seconds)

    def set(self, uid: str, resource: str, value: object, *, timeout_s: float = 5.0) -> Receipt:
        """See `Client.set`."""
        return self._do(self._client.set(uid, resource, value, timeout_s=timeout_s))

    def set_many(
        self,
        resource: str,
        value: object,
        *,
        timeout_s: float = 5.0,
        **conditions: Unpack[Conditions],
    ) -> dict[str, Receipt]:
        """See `Client.set_many`."""
        return self._do(self._client.set_many(resource, value, timeout_s=timeout_s, **conditions))

    def find_nodes(
        self, *, limit: int | None = None, **conditions: Unpack[Conditions]
    ) -> list[RegistryEntry]:
        """See `Client.find_nodes`."""
        return self._do(self._client.find_nodes(limit=limit, **conditions))

    def find_uids(self, uids: Iterable[str]) -> dict[str, RegistryEntry]:
        """See `Client.find_uids`."""
        return self._do(self._client.find_uids(uids))

    def node(self, name: str) -> RegistryEntry:
        """See `Client.node`."""
        return self._do(self._client.node(name))

    def uid_of(self, name: str) -> str:
        """See `Client.uid_of`."""
        return self._do(self._client.uid_of(name))

    def edit(
        self, name: str, *, revision: int | None = None, **changes: Unpack[NodeEdit]
    ) -> RegistryEntry:
        """See `Client.edit`."""
        return self._do(self._client.edit(name, revision=revision, **changes))

    def set_type(self, name: str, resource: str, **fields: Any) -> ResourceType:
        """See `Client.set_type`."""
        return self._do(self._client.set_type(name, resource, **fields))

    def clear_type(self, name: str, resource: str) -> ResourceType:
        """See `Client.clear_type`."""
        return self._do(self._client.clear_type(name, resource))

    def accept(self, name: str) -> RegistryEntry:
        """See `Client.accept`."""
        return self._do(self._client.accept(name))

    def ban(self, name: str) -> RegistryEntry:
        """See `Client.ban`."""
        return self._do(self._client.ban(name))

    def forget(self, name: str, *, revision: int | None = None) -> RegistryEntry:
        """See `Client.forget`."""
        return self._do(self._client.forget(name, revision=revision))

    def restore(self, uid: str) -> RegistryEntry:
        """See `Client.restore`."""
        return self._do(self._client.restore(uid))

    def register(self, nodes: Iterable[Mapping[str, Any]]) -> list[str]:
        """See `Client.register`."""
        return self._do(self._client.register(nodes))

    def alerts(self, *states: AlertRowState) -> list[AlertRow]:
        """See `Client.alerts`."""
        return self._do(self._client.alerts(*states))

    def acknowledge(self, *ids: str) -> list[AlertRow]:
        """See `Client.acknowledge`."""
        return self._do(self._client.acknowledge(*ids))

    def snooze(self, *ids: str, seconds: float) -> list[AlertRow]:
        """See `Client.snooze`."""
        return self._do(self._client.snooze(*ids, seconds=seconds))

    def cluster(self) -> ClusterRow:
        """See `Client.cluster`."""
        return self._do(self._client.cluster())

    def mappings(self) -> list[MappingRow]:
        """See `Client.mappings`."""
        return self._do(self._client.mappings())

    def try_mapping(self, mapping: TopicMapping, topic: str, payload: str) -> TriedMapping:
        """See `Client.try_mapping`."""
        return self._do(self._client.try_mapping(mapping, topic, payload))

    def put_mapping(self, name: str, mapping: TopicMapping) -> MappingRow:
        """See `Client.put_mapping`."""
        return self._do(self._client.put_mapping(name, mapping))

    def remove_mapping(self, name: str) -> None:
        """See `Client.remove_mapping`."""
        self._do(self._client.remove_mapping(name))

    def audit(
        self,
        *,
        who: str | None = None,
        uid: str | None = None,
        action: str | None = None,
        result: str | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        limit: int = 100,
    ) -> list[AuditRow]:
        """See `Client.audit`."""
        return self._do(
            self._client.audit(
                who=who, uid=uid, action=action, result=result, start=start, end=end, limit=limit
            )
        )

    def history(
        self,
        uid: str,
        resource: str,
        start: Moment | None = "-1h",
        end: Moment | None = None,
        *,
        every_s: int | None = None,
        agg: str | None = None,
        limit: int | None = None,
        tz: str | None = None,
    ) -> Rows:
        """See `Client.history`."""
        return self._do(
            self._client.history(
                uid, resource, start, end, every_s=every_s, agg=agg, limit=limit, tz=tz
            )
        )

    def export(
        self,
        form: ExportFormat = "csv",
        *,
        start: Moment | None = None,
        end: Moment | None = None,
        uid: str | None = None,
        resource: str | None = None,
    ) -> Iterator[bytes]:
        """See `Client.export`."""
        pieces = self._client.export(form, start=start, end=end, uid=uid, resource=resource)
        return self._each(pieces, None)

    def _each(self, items: AsyncIterator[T], seconds: float | None) -> Iterator[T]:
        until = None if seconds is None else self._loop.time() + seconds

        async def following() -> T:
            async with asyncio.timeout_at(until):
                return await anext(items)

        while True:
            try:
                # StopAsyncIteration or our TimeoutError: the iteration ends.
                item = self._do(following())
            except (StopAsyncIteration, TimeoutError):
                return
            yield item

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            work.close()
            raise LinkLost("this client is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl+C here cancels it there
            raise

    def _stop(self) -> None:
        self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _entered(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Client:
    return await Client(*args, **kwargs).__aenter__()


async def _copied(client: Client) -> dict[str, Node]:
    # Runs in the client's thread, so the nodes do not change meanwhile.
    copies = {uid: copy(node) for uid, node in client.nodes.items()}
    for node in copies.values():
        node.resources = dict(node.resources)
    return copies
