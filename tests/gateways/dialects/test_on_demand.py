# SPDX-License-Identifier: BSD-3-Clause
"""Modules of dialects are imported with their first message."""

import subprocess
import sys

import pytest

from pyaiot.gateways.mqtt.base_topics import BaseTopics
from pyaiot.gateways.mqtt.dialects import DIALECTS, new_dialects
from pyaiot.gateways.mqtt.dialects.on_demand import DialectOnDemand

_OTHER_TOPICS = BaseTopics(
    tasmota=("home/%topic%/%prefix%", "%prefix%/%topic%/"),
    zigbee2mqtt=("home/zigbee", "z2m"),
    homie=("homie", "other"),
    sparkplug=("plant", "site"),
    homeassistant=("ha", "more/ha"),
)


@pytest.mark.parametrize("topics", [BaseTopics(), _OTHER_TOPICS], ids=["default", "others"])
@pytest.mark.parametrize("name", DIALECTS)
def test_topics_are_known_before_the_dialect(name: str, topics: BaseTopics) -> None:
    for before in new_dialects([name], lambda: 1.7e9, (), topics)[1:]:
        assert isinstance(before, DialectOnDemand)
        dialect = before.load()
        assert dialect.name == before.name == name
        assert dialect.title == before.title
        assert tuple(dialect.filters) == tuple(before.filters) != ()


_PROGRAM = """
import sys
from pyaiot.gateways.mqtt.dialects import DIALECTS, new_dialects

module = "pyaiot.gateways.mqtt.dialects.tasmota"
dialects = {it.name: it for it in new_dialects(DIALECTS, lambda: 1.7e9)}
print(module in sys.modules)
for _ in range(2):
    events = dialects["tasmota"].receive("tele/a/STATE", b'{"POWER":"ON"}', retained=False, now=1.0)
    print(module in sys.modules, bool(events))
print(dialects["tasmota"].describe("tasmota-a").details != {})
print(any(f"{module.rpartition('.')[0]}.{it}" in sys.modules for it in ("homie", "sparkplug")))
"""


def test_module_of_a_dialect_is_imported_with_its_first_message() -> None:
    found = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["False", "True", "True", "True", "True", "True", "False"]
