# SPDX-License-Identifier: BSD-3-Clause
"""The settings that simulated nodes of all protocols have."""

from typing import Annotated

import msgspec
from msgspec import Meta


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a simulated node that do not depend on its protocol."""

    uid: Annotated[
        str, Meta(max_length=64, description="Unique name of the node; empty: a random one.")
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
            description="Seconds between two readings of a sensor. `imu` reads 25 times as "
            "often, at most 5 times per second.",
        ),
    ] = 5.0
    temperature: Annotated[bool, Meta(description="Has a thermometer (°C).")] = False
    pressure: Annotated[bool, Meta(description="Has a barometer (hPa).")] = False
    humidity: Annotated[bool, Meta(description="Has a hygrometer (%).")] = False
    illuminance: Annotated[bool, Meta(description="Has a light meter (lx).")] = False
    position: Annotated[bool, Meta(description="Has a position sensor (degrees).")] = False
    imu: Annotated[bool, Meta(description="Has an accelerometer and a gyroscope.")] = False
    led: Annotated[bool, Meta(description="Has an LED that clients can switch.")] = False
    robot: Annotated[bool, Meta(description="Is a robot: accepts u, l, r, s (stop).")] = False
    ribot: Annotated[bool, Meta(description="Is a robot: accepts joystick speeds.")] = False
    js: Annotated[bool, Meta(description="Accepts scripts of up to 64 kB.")] = False
    updates: Annotated[
        bool, Meta(description="Updates its firmware repeatedly and reports the progress.")
    ] = False
