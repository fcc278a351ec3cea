# SPDX-License-Identifier: BSD-3-Clause
"""What simulated nodes of all protocols are and have."""

from typing import Annotated

import msgspec
from msgspec import Meta


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a simulated node's settings that is the same for every protocol."""

    uid: Annotated[
        str, Meta(max_length=64, description="Name of the node; empty: a random one.")
    ] = ""
    name: Annotated[str, Meta(max_length=64, description="Text of the resource `name`.")] = (
        "Simulated node"
    )
    version: Annotated[str, Meta(max_length=64, description="Text of the resource `version`.")] = (
        "2026.07"
    )
    board: Annotated[str, Meta(max_length=64, description="Text of the resource `board`.")] = (
        "native"
    )
    period_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=86400.0,
            description="Seconds between two readings of a sensor; `imu` is 25 times as fast, "
            "but posts at most 5 readings per second.",
        ),
    ] = 5.0
    temperature: Annotated[bool, Meta(description="Has a thermometer (°C).")] = False
    pressure: Annotated[bool, Meta(description="Has a barometer (hPa).")] = False
    humidity: Annotated[bool, Meta(description="Has a hygrometer (%).")] = False
    illuminance: Annotated[bool, Meta(description="Has a light meter (lx).")] = False
    position: Annotated[bool, Meta(description="Knows its position (degrees).")] = False
    imu: Annotated[bool, Meta(description="Has an accelerometer and a gyroscope.")] = False
    led: Annotated[bool, Meta(description="Has an LED that can be switched.")] = False
    robot: Annotated[bool, Meta(description="Is a robot, driven by u, l, r and s (stop).")] = False
    ribot: Annotated[bool, Meta(description="Is a robot, driven by a joystick.")] = False
    js: Annotated[bool, Meta(description="Takes scripts of up to 64 kB.")] = False
    updates: Annotated[
        bool, Meta(description="Its firmware updates itself over and over, and says how far it is.")
    ] = False
