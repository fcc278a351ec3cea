# SPDX-License-Identifier: BSD-3-Clause
"""When a simulated node reads which of its sensors. Pure: `now` is in seconds, on any clock."""

import random
from collections.abc import Callable
from typing import Final

from pyaiot.devices.firmware import Firmware
from pyaiot.devices.node_config import NodeConfig
from pyaiot.devices.sensors import SENSORS, Sensor

IMU_PERIOD_MIN_S: Final = 0.2
IMU_READINGS_PER_READING: Final = 25  # five per second at the default period of five seconds


class Schedule:
    """The sensors that a config enables. Call `start` first, and again for a reboot."""

    def __init__(self, config: NodeConfig, rng: random.Random) -> None:
        self._rng = rng
        self._sensors = [
            _ScheduledSensor(_read_one(name, make_sensor(rng)), _period_s(config, name))
            for name, make_sensor in SENSORS.items()
            if getattr(config, name)
        ]
        if config.updates:
            self._sensors.append(
                _ScheduledSensor(Firmware(config.version, rng).read, config.period_s)
            )

    def read_all(self) -> dict[str, str]:
        """Texts of all sensors by resource, due or not: the initial values of a node."""
        texts: dict[str, str] = {}
        for sensor in self._sensors:
            texts |= sensor.read()
        return texts

    def start(self, *, now: float) -> None:
        for sensor in self._sensors:
            # Spreads the readings of nodes that start together.
            sensor.due = now + self._rng.uniform(0.0, sensor.period_s)

    def get_timer(self) -> float | None:
        """When to call `read_due`; None if the node has no sensors."""
        return min((sensor.due for sensor in self._sensors), default=None)

    def read_due(self, *, now: float) -> dict[str, str]:
        """Read the sensors that are due. Their texts, by resource."""
        texts: dict[str, str] = {}
        for sensor in self._sensors:
            if now >= sensor.due:
                sensor.due = next_occurrence(sensor.due, sensor.period_s, now)
                texts |= sensor.read()
        return texts


class _ScheduledSensor:
    __slots__ = ("due", "period_s", "read")

    def __init__(self, read: Callable[[], dict[str, str]], period_s: float) -> None:
        self.read = read
        self.period_s = period_s
        self.due = 0.0


def _read_one(resource: str, sensor: Sensor) -> Callable[[], dict[str, str]]:
    return lambda: {resource: sensor()}


def _period_s(config: NodeConfig, resource: str) -> float:
    if resource == "imu":
        return max(IMU_PERIOD_MIN_S, config.period_s / IMU_READINGS_PER_READING)
    return config.period_s


def next_occurrence(due: float, period_s: float, now: float) -> float:
    """When a periodic event is due next. Occurrences missed during a suspend are skipped."""
    return due + period_s if due + period_s > now else now + period_s
