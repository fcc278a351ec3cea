# SPDX-License-Identifier: BSD-3-Clause
"""The saved mappings of plain MQTT topics, stored with the registry and sent to MQTT gateways."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta

from pyaiot.broker.broker import Broker
from pyaiot.errors import Refused
from pyaiot.messages import Reading, TopicMappings
from pyaiot.model import ResourceType
from pyaiot.model.topic_mapping import (
    MAPPING_SIZE_MAX,
    MAPPINGS_MAX,
    TopicMapping,
    mapping_size,
)
from pyaiot.registry.service import RegistryService

MAPPING: Final = "topic-mapping"
"""Kind of the documents."""
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

MappingId = Annotated[str, Meta(pattern=f"^{_ID.pattern}$")]

log = logging.getLogger(__name__)


class UnknownMapping(Refused):
    """The mapping does not exist."""


class TrialValue(Protocol):
    """A value of a message."""

    @property
    def reading(self) -> Reading: ...
    @property
    def type(self) -> ResourceType: ...
    @property
    def command_topic(self) -> str:
        """Where commands are sent; empty if it cannot be written."""
        ...


class TrialOutcome(Protocol):
    """The result of applying a mapping to a message."""

    @property
    def uid(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def values(self) -> Sequence[TrialValue]: ...


class MappingRules(Protocol):
    """Checks and applies mappings, as the MQTT gateways do."""

    def check(self, mapping: TopicMapping) -> None:
        """Raises `OperatorError` for an invalid mapping."""
        ...

    def try_message(self, mapping: TopicMapping, topic: str, payload: str) -> TrialOutcome:
        """Raises `ProtocolError` with the reason if the message gives no values, and
        `OperatorError`."""
        ...


class MappingBook:
    """The saved mappings. A mapping is on disk before it takes effect."""

    def __init__(
        self,
        broker: Broker,
        registry: RegistryService,
        rules: MappingRules,
        of_settings: Sequence[TopicMapping] = (),
    ) -> None:
        """`of_settings`: the mappings of the settings file, which cannot be edited here."""
        self._broker = broker
        self._registry = registry
        self.rules = rules
        self.of_settings = of_settings
        registry.documents.changed_elsewhere.append(self._changed_elsewhere)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send the mappings to the gateways, after they were read."""
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self._start(), name="mappings of topics")
            try:
                yield
            finally:
                task.cancel()

    def saved(self) -> Mapping[str, TopicMapping]:
        """The saved mappings by id, in the order of the ids."""
        found = {}
        for name, body in sorted(self._registry.documents.of(MAPPING).items()):
            try:
                found[name] = msgspec.json.decode(body, type=TopicMapping)
            except msgspec.MsgspecError as error:
                log.warning("the stored mapping %s is left out: %s", name, error)
        return found

    async def put(self, name: str, mapping: TopicMapping) -> None:
        """Add or replace a mapping. It is on disk when this returns. Raises `OperatorError` for an
        invalid mapping, `Refused`, `NotStored`."""
        self.rules.check(mapping)
        saved = self.saved()
        if name not in saved and len(saved) >= MAPPINGS_MAX:
            raise Refused(f"there are {MAPPINGS_MAX} saved mappings already")
        if mapping_size(mapping) > MAPPING_SIZE_MAX:
            raise Refused(f"a saved mapping has at most {MAPPING_SIZE_MAX} bytes")
        body = msgspec.json.encode(mapping).decode()
        await self._registry.put_documents([(MAPPING, name, body)])
        self._publish()

    async def remove(self, name: str) -> None:
        """Raises `UnknownMapping`, `NotStored`."""
        if name not in self._registry.documents.of(MAPPING):
            raise UnknownMapping(f"there is no saved mapping {name[:64]!r}")
        await self._registry.put_documents([(MAPPING, name, None)])
        self._publish()

    async def _start(self) -> None:
        await self._registry.loaded.wait()
        self._publish()

    def _changed_elsewhere(self, kinds: frozenset[str]) -> None:
        if MAPPING in kinds:
            self._publish()

    def _publish(self) -> None:
        self._broker.map_topics(TopicMappings(mappings=tuple(self.saved().values())))
