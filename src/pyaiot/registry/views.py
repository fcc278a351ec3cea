# SPDX-License-Identifier: BSD-3-Clause
"""Saved views of the dashboard: which nodes, in which layout, order and range.

They are documents beside the registry. A view is on disk before it counts.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from pyaiot.errors import ProtocolError, Refused
from pyaiot.messages import NAME_LENGTH_MAX, check_name
from pyaiot.registry.documents import Document, Documents
from pyaiot.registry.refusals import StaleRevision

VIEW: Final = "view"
"""The kind of the documents."""
VIEWS_MAX: Final = 200
"""Saved views of one system. Further ones are refused."""
VIEW_QUERY_LENGTH_MAX: Final = 1000
"""Characters of the filter of a view. More are refused."""
VIEW_PINS_MAX: Final = 100
"""Nodes that one view pins. More are refused."""
VIEW_ORDER_MAX: Final = 500
"""Nodes in the order that one view defines. More are refused."""

ViewId: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9-]{0,63}$",
        description="Lower-case letters, digits and hyphens, at most 64 characters.",
    ),
]
_Uid = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]

log = logging.getLogger(__name__)


class UnknownView(Refused):
    """There is no such view."""


class DashboardView(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A saved view."""

    title: Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
    """For people."""
    screen: Literal["nodes", "fleet", "table", "map"] = "nodes"
    query: Annotated[str, Meta(max_length=VIEW_QUERY_LENGTH_MAX)] = ""
    """The filter, in the search language of the dashboard."""
    group: Literal["", "room", "tag", "gateway"] = ""
    pins: Annotated[tuple[_Uid, ...], Meta(max_length=VIEW_PINS_MAX)] = ()
    """Nodes that come first."""
    order: Annotated[tuple[_Uid, ...], Meta(max_length=VIEW_ORDER_MAX)] = ()
    """Nodes that people put in this order; all others follow by name."""
    value: Annotated[str, Meta(max_length=NAME_LENGTH_MAX)] = ""
    """The resource that the fleet shows; empty: the first number of each node."""
    range: Annotated[str, Meta(pattern=r"^([1-9][0-9]{0,2}[mhd])?$")] = ""
    """The range of charts, such as `24h`; empty: that of the reader."""
    start: bool = False
    """It is the start page. At most one view is."""


class SavedView(msgspec.Struct, frozen=True, kw_only=True):
    """A view with its id and its revision."""

    id: str
    revision: Annotated[int, Meta(ge=1)]
    """Incremented with each edit."""
    view: DashboardView


class _Stored(msgspec.Struct, frozen=True):
    revision: int
    view: DashboardView


ViewCheck: TypeAlias = Callable[[str, DashboardView | None], None]
"""Called with the id of a view and the new view (None: removed). Raises `Refused` to prevent it.
"""


class ViewBook:
    """The saved views. Must be used on the event loop of the broker."""

    def __init__(
        self,
        documents: Documents,
        put_documents: Callable[[Sequence[Document]], Awaitable[None]],
    ) -> None:
        self._documents = documents
        self._put_documents = put_documents
        self._edit = asyncio.Lock()
        self.version = 0
        """Incremented with each change."""
        self.checks: list[ViewCheck] = []
        """Called before a view is changed. Each may raise."""
        documents.changed_elsewhere.append(lambda kinds: self._changed() if VIEW in kinds else None)
        self.observers: list[Callable[[], None]] = []
        """Called after views have changed."""

    def all(self) -> list[SavedView]:
        """All views by id. One that is not valid is left out, with a line in the log."""
        return [found for it in sorted(self._documents.of(VIEW)) if (found := self.find(it))]

    def find(self, view_id: str) -> SavedView | None:
        body = self._documents.of(VIEW).get(view_id)
        if body is None:
            return None
        try:
            stored = msgspec.json.decode(body, type=_Stored)
        except msgspec.MsgspecError as error:
            log.warning("a stored view is left out: %s", error)
            return None
        return SavedView(id=view_id, revision=stored.revision, view=stored.view)

    async def put(
        self, view_id: str, view: DashboardView, revision: int | None = None
    ) -> SavedView:
        """Add or replace a view. It is on disk when this returns.

        `revision`: the one that the author has read; 0: there must be none; None: any.
        Raises `Refused`, `StaleRevision`, `NotStored`.
        """
        try:
            check_name(view.title, "title")
        except ProtocolError as error:
            raise Refused(str(error)) from error
        async with self._edit:
            before = self.find(view_id)
            _check_revision(before, revision)
            stored = self._documents.of(VIEW)
            if view_id not in stored and len(stored) >= VIEWS_MAX:
                raise Refused(f"there are {VIEWS_MAX} saved views already")
            for check in self.checks:
                check(view_id, view)
            changed = [self._next(view_id, before, view)]
            if view.start:
                # There is one start page.
                changed += [
                    self._next(it.id, it, msgspec.structs.replace(it.view, start=False))
                    for it in self.all()
                    if it.view.start and it.id != view_id
                ]
            await self._put_documents([(VIEW, it.id, _body(it)) for it in changed])
        self._changed()
        return changed[0]

    async def remove(self, view_id: str, revision: int | None = None) -> None:
        """Raises `UnknownView`, `Refused`, `StaleRevision`, `NotStored`."""
        async with self._edit:
            if view_id not in self._documents.of(VIEW):
                raise UnknownView(f"there is no view {view_id[:64]!r}")
            _check_revision(self.find(view_id), revision)
            for check in self.checks:
                check(view_id, None)
            await self._put_documents([(VIEW, view_id, None)])
        self._changed()

    @staticmethod
    def _next(view_id: str, before: SavedView | None, view: DashboardView) -> SavedView:
        revision = 1 if before is None else before.revision + 1
        return SavedView(id=view_id, revision=revision, view=view)

    def _changed(self) -> None:
        self.version += 1
        for observer in self.observers:
            observer()


def _check_revision(before: SavedView | None, revision: int | None) -> None:
    current = 0 if before is None else before.revision
    if revision is not None and revision != current:
        raise StaleRevision("somebody else edited the view")


def _body(saved: SavedView) -> str:
    return msgspec.json.encode(_Stored(saved.revision, saved.view)).decode()
