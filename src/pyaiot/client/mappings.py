# SPDX-License-Identifier: BSD-3-Clause
"""Mappings of plain MQTT topics, over the HTTP API of a broker."""

from typing import Any, Final

import msgspec

from pyaiot.client.address import path
from pyaiot.client.api import HttpApi
from pyaiot.model import ResourceType
from pyaiot.model.topic_mapping import TopicMapping


class MappingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping of the broker."""

    id: str
    editable: bool = True
    """False: it is in the settings file."""
    mapping: TopicMapping


class MappedResource(msgspec.Struct, frozen=True, kw_only=True):
    """A value that a message would give."""

    resource: str
    data: Any = None
    number: float | None = msgspec.field(name="value", default=None)
    unit: str = ""
    type: ResourceType
    command_topic: str = ""
    """Where commands would go; empty: it cannot be written."""


class TriedMapping(msgspec.Struct, frozen=True, kw_only=True):
    """What a mapping makes of a message."""

    uid: str = ""
    name: str = ""
    values: list[MappedResource] = []
    problem: str = ""
    """Why the message gives no values; empty if it does."""


class _Mappings(msgspec.Struct, frozen=True):
    mappings: list[MappingRow]


_mappings: Final = msgspec.json.Decoder(_Mappings)
_mapping: Final = msgspec.json.Decoder(MappingRow)
_tried: Final = msgspec.json.Decoder(TriedMapping)


async def mapping_rows(api: HttpApi) -> list[MappingRow]:
    """All mappings. Raises `ApiProblem` or `LinkLost`."""
    return api.decode(_mappings, await api.read("GET", path("mappings")), "mappings").mappings


async def try_mapping(
    api: HttpApi, mapping: TopicMapping, topic: str, payload: str
) -> TriedMapping:
    """What a message becomes. Raises `ApiProblem` or `LinkLost`."""
    body = {"mapping": msgspec.to_builtins(mapping), "topic": topic, "payload": payload}
    answer = await api.read("POST", path("mapping-trials"), body=body)
    return api.decode(_tried, answer, "a tried mapping")


async def put_mapping(api: HttpApi, name: str, mapping: TopicMapping) -> MappingRow:
    """Add or replace a mapping. Raises `ApiProblem` or `LinkLost`."""
    body = msgspec.to_builtins(mapping)
    answer = await api.read("PUT", path("mappings", name), body=body)
    return api.decode(_mapping, answer, "a mapping")


async def remove_mapping(api: HttpApi, name: str) -> None:
    """Raises `ApiProblem` or `LinkLost`."""
    await api.read("DELETE", path("mappings", name))
