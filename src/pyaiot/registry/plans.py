# SPDX-License-Identifier: BSD-3-Clause
"""Floor plans: an image for each room, and the positions of nodes on it.

Plans are stored as documents beside the registry, so that backups and PostgreSQL include them. A
plan takes effect when it is on disk.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pyaiot.errors import Refused
from pyaiot.messages import NAME_LENGTH_MAX, check_name
from pyaiot.registry.documents import Document, Documents
from pyaiot.registry.images import ImageType, read_image_head
from pyaiot.registry.refusals import StaleRevision

PLAN: Final = "plan"
"""Kind of the documents that contain a plan; their key is the room."""
PART: Final = "plan-image"
"""Kind of the documents that contain a part of an image."""
IMAGE_SIZE_MAX: Final = 1024 * 1024
"""Largest size of one image in bytes. Larger ones are refused."""
IMAGES_SIZE_MAX: Final = 16 * 1024 * 1024
"""Largest total size of all images in bytes, because they are kept in memory. Further ones are
refused.
"""
PLANS_MAX: Final = 100
"""Largest number of plans. Further ones are refused."""
PLACES_MAX: Final = 500
"""Largest number of nodes on one plan. Further ones are refused."""
_PART_SIZE: Final = 48_000
"""Bytes of an image per document: in base64 they fit into `DOCUMENT_SIZE_MAX`."""
_DIGITS: Final = 4

_Share = Annotated[float, Meta(ge=0, le=1)]
_Uid = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]

log = logging.getLogger(__name__)


class UnknownPlan(Refused):
    """The room has no plan."""


class PlanPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A position on a plan."""

    x: Annotated[_Share, Meta(description="Share of the width, from the left: 0 to 1.")]
    y: Annotated[_Share, Meta(description="Share of the height, from the top: 0 to 1.")]


class PlanEdit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes to the positions of nodes on a plan."""

    places: Annotated[dict[_Uid, PlanPlace | None], Meta(max_length=PLACES_MAX)]
    """Positions by uid. Null removes the node from the plan; absent nodes keep their position."""


class FloorPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a room."""

    room: str
    revision: Annotated[int, Meta(ge=1)]
    """Incremented by each edit."""
    image: str
    """Hash of the image."""
    type: ImageType
    size: Annotated[int, Meta(ge=1)]
    """Size of the image in bytes."""
    width: Annotated[int, Meta(ge=1)]
    """Width and height of the image in pixels."""
    height: Annotated[int, Meta(ge=1)]
    places: dict[str, PlanPlace]
    """Positions of nodes, by uid."""


class PlanBook:
    """All floor plans. Must be used on the broker's event loop."""

    def __init__(
        self,
        documents: Documents,
        put_documents: Callable[[Sequence[Document]], Awaitable[None]],
    ) -> None:
        self._documents = documents
        self._put_documents = put_documents
        self._edit = asyncio.Lock()

    def all(self) -> list[FloorPlan]:
        """All plans by room. Invalid documents are skipped and logged."""
        return [found for it in sorted(self._documents.of(PLAN)) if (found := self.find(it))]

    def find(self, room: str) -> FloorPlan | None:
        body = self._documents.of(PLAN).get(room)
        if body is None:
            return None
        try:
            return msgspec.json.decode(body, type=FloorPlan)
        except msgspec.MsgspecError as error:
            log.warning("a stored floor plan is left out: %s", error)
            return None

    def image(self, plan: FloorPlan) -> bytes:
        """The bytes of the image."""
        parts = self._documents.of(PART)
        return b"".join(msgspec.json.decode(parts[key], type=bytes) for key in _keys(plan))

    async def put_image(self, room: str, data: bytes, revision: int | None = None) -> FloorPlan:
        """Add the plan of a room, or replace its image; positions are kept. The plan is on disk
        when this returns.

        `revision`: the revision that the author has read; 0: there must be no plan; None: any.
        Raises `ProtocolError`, `Refused`, `StaleRevision`, `NotStored`.
        """
        check_name(room, "room")
        if len(data) > IMAGE_SIZE_MAX:
            raise Refused(f"the image has more than {IMAGE_SIZE_MAX} bytes")
        head = read_image_head(data)
        # Not shared between rooms: removing one plan must not remove the image of another.
        image = hashlib.sha256(room.encode() + b"\0" + data).hexdigest()[:32]
        async with self._edit:
            before = self.find(room)
            _check_revision(before, revision)
            others = [it for it in self.all() if it.room != room]
            if len(others) >= PLANS_MAX:
                raise Refused(f"there are {PLANS_MAX} floor plans already")
            if sum(it.size for it in others) + len(data) > IMAGES_SIZE_MAX:
                raise Refused(f"all floor plans together have more than {IMAGES_SIZE_MAX} bytes")
            plan = FloorPlan(
                room=room,
                revision=1 if before is None else before.revision + 1,
                image=image,
                type=head.type,
                size=len(data),
                width=head.width,
                height=head.height,
                places={} if before is None else before.places,
            )
            parts = {
                key: msgspec.json.encode(data[at : at + _PART_SIZE]).decode()
                for key, at in zip(_keys(plan), range(0, len(data), _PART_SIZE), strict=True)
            }
            gone = [] if before is None else [key for key in _keys(before) if key not in parts]
            await self._put_documents(
                [
                    *((PART, key, None) for key in gone),
                    *((PART, key, body) for key, body in parts.items()),
                    _document(plan),
                ]
            )
        return plan

    async def place(
        self,
        room: str,
        places: Mapping[str, PlanPlace | None],
        revision: int | None = None,
        *,
        is_known: Callable[[str], bool] = lambda _: True,
    ) -> FloorPlan:
        """Set positions of nodes on a plan. Nodes that no longer exist are removed from it. Raises
        `UnknownPlan`, `Refused`, `StaleRevision`, `NotStored`.
        """
        async with self._edit:
            before = self.find(room)
            if before is None:
                raise UnknownPlan(f"the room {room[:64]!r} has no floor plan")
            _check_revision(before, revision)
            merged = {**before.places, **places}
            kept = {
                uid: PlanPlace(round(place.x, _DIGITS), round(place.y, _DIGITS))
                for uid, place in merged.items()
                if place is not None and is_known(uid)
            }
            if len(kept) > PLACES_MAX:
                raise Refused(f"a floor plan has places for {PLACES_MAX} nodes")
            plan = msgspec.structs.replace(before, revision=before.revision + 1, places=kept)
            await self._put_documents([_document(plan)])
        return plan

    async def remove(self, room: str, revision: int | None = None) -> None:
        """Raises `UnknownPlan`, `StaleRevision`, `NotStored`."""
        async with self._edit:
            before = self.find(room)
            if before is None:
                raise UnknownPlan(f"the room {room[:64]!r} has no floor plan")
            _check_revision(before, revision)
            await self._put_documents(
                [(PLAN, room, None), *((PART, key, None) for key in _keys(before))]
            )


def _keys(plan: FloorPlan) -> list[str]:
    """The keys of the documents with the parts of the image, in order."""
    return [f"{plan.image}/{number}" for number in range(-(-plan.size // _PART_SIZE))]


def _document(plan: FloorPlan) -> Document:
    return (PLAN, plan.room, msgspec.json.encode(plan).decode())


def _check_revision(before: FloorPlan | None, revision: int | None) -> None:
    current = 0 if before is None else before.revision
    if revision is not None and revision != current:
        raise StaleRevision("somebody else edited the floor plan")
