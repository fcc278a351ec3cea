# SPDX-License-Identifier: BSD-3-Clause
"""The types of requests and responses about mappings of plain MQTT topics."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from pyaiot.model import ResourceType
from pyaiot.model.topic_mapping import Topic, TopicMapping


class SavedMapping(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping with its id."""

    id: str
    editable: Annotated[bool, Meta(description="False: it is in the settings file.")]
    mapping: TopicMapping


class Mappings(msgspec.Struct, frozen=True, kw_only=True):
    """All mappings, in the order in which a topic is compared with them."""

    mappings: list[SavedMapping]


class MappingTrial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping that is not saved, and a message to try it with."""

    mapping: TopicMapping
    topic: Topic
    payload: Annotated[str, Meta(max_length=65_536)] = ""


class MappedValue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A value that the message would give."""

    resource: str
    data: Any
    number: float | None = msgspec.field(name="value", default=None)
    """The number in `data`; absent if it has none."""
    unit: str = ""
    """SenML name of its unit; absent if it has none."""
    type: ResourceType
    command_topic: str = ""
    """Where commands would go; absent: it cannot be written."""


class MappedMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the mapping makes of the message. Nothing was changed."""

    uid: str = ""
    """The node; absent if the message gives no values."""
    name: str = ""
    """Its name."""
    values: list[MappedValue] = []
    problem: str = ""
    """Why the message gives no values."""
