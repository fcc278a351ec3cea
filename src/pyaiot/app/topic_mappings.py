# SPDX-License-Identifier: BSD-3-Clause
"""The mappings of plain MQTT topics of a broker."""

from pyaiot.broker.broker import Broker
from pyaiot.broker.mappings import MappingBook, TrialOutcome
from pyaiot.config import Config
from pyaiot.gateways.mqtt.settings import MqttSection
from pyaiot.model.topic_mapping import TopicMapping
from pyaiot.registry.service import RegistryService


class _Rules:
    """See `MappingRules`. Dialects are imported at the first use: most brokers have no mappings."""

    def check(self, mapping: TopicMapping) -> None:
        from pyaiot.gateways.mqtt.dialects import mapping_trial  # noqa: PLC0415

        mapping_trial.check_mapping(mapping)

    def try_message(self, mapping: TopicMapping, topic: str, payload: str) -> TrialOutcome:
        from pyaiot.gateways.mqtt.dialects import mapping_trial  # noqa: PLC0415

        return mapping_trial.try_mapping(mapping, topic, payload)


def open_mappings(config: Config, broker: Broker, registry: RegistryService) -> MappingBook:
    """The mappings of a broker. Nothing is started."""
    return MappingBook(broker, registry, _Rules(), config.of(MqttSection).mapping)
