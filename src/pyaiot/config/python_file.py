# SPDX-License-Identifier: BSD-3-Clause
"""Settings files of the older system: assignments in Python, not TOML. Pure."""

from typing import Final

OPTIONS: Final = frozenset(
    {
        *("broker_host", "broker_port", "broker_ssl", "coap_port", "mqtt_host", "mqtt_port"),
        *("gateway_port", "web_port", "key_file", "max_time", "map_api_key", "camera_url"),
        *("static_path", "title", "logo", "favicon", "debug", "interface"),
    }
)
"""Options that an older settings file could set."""


def is_python_file(text: str) -> bool:
    """Whether a text that was given as TOML assigns options of the older system."""
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    names = {line.partition("=")[0].strip() for line in lines if "=" in line}
    return not any(line.startswith("[") for line in lines) and bool(names & OPTIONS)
