# SPDX-License-Identifier: BSD-3-Clause
"""Simulated sensors. Each call returns the next reading, as the text that a board sends."""

import random
from collections.abc import Callable
from typing import Final, TypeAlias

Sensor: TypeAlias = Callable[[], str]


def _walk(
    rng: random.Random, *, start: float, step: float, low: float, high: float
) -> Callable[[], float]:
    """A bounded random walk. `step` is the standard deviation of one step."""
    value = start

    def move() -> float:
        nonlocal value
        value = min(high, max(low, value + rng.gauss(0.0, step)))
        return value

    return move


def temperature(rng: random.Random) -> Sensor:
    celsius = _walk(rng, start=rng.uniform(19.0, 25.0), step=0.15, low=-10.0, high=45.0)
    return lambda: f"{celsius():.1f}°C"


def pressure(rng: random.Random) -> Sensor:
    hectopascal = _walk(rng, start=rng.uniform(995.0, 1025.0), step=0.08, low=950.0, high=1050.0)
    return lambda: f"{hectopascal():.2f}hPa"


def humidity(rng: random.Random) -> Sensor:
    percent = _walk(rng, start=rng.uniform(35.0, 55.0), step=0.3, low=5.0, high=95.0)
    return lambda: f"{percent():.2f}%"


def illuminance(rng: random.Random) -> Sensor:
    lux = _walk(rng, start=rng.uniform(150.0, 500.0), step=8.0, low=0.0, high=2000.0)
    return lambda: f"{lux():.0f}lx"


def position(rng: random.Random) -> Sensor:
    """Degrees, as JSON text; a step is about two metres."""
    latitude = _walk(rng, start=rng.uniform(48.710, 48.720), step=2e-5, low=48.70, high=48.73)
    longitude = _walk(rng, start=rng.uniform(2.195, 2.215), step=2e-5, low=2.19, high=2.22)
    return lambda: f'{{"lat":{latitude():.6f},"lng":{longitude():.6f}}}'


def imu(rng: random.Random) -> Sensor:
    """Acceleration and rotation, in raw units of the chip, as JSON text."""
    acc = [_walk(rng, start=at, step=12.0, low=-1024.0, high=1024.0) for at in (0.0, 0.0, 1000.0)]
    gyro = [_walk(rng, start=0.0, step=2.0, low=-40.0, high=40.0) for _ in range(3)]

    def read() -> str:
        a, g = (",".join(f"{round(axis())}" for axis in axes) for axes in (acc, gyro))
        return f'[{{"type":"acc","values":[{a}]}},{{"type":"gyro","values":[{g}]}}]'

    return read


# By the name of the resource, in the order in which a node starts them.
SENSORS: Final[dict[str, Callable[[random.Random], Sensor]]] = {
    "temperature": temperature,
    "pressure": pressure,
    "humidity": humidity,
    "illuminance": illuminance,
    "position": position,
    "imu": imu,
}
