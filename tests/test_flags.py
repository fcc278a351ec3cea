# SPDX-License-Identifier: BSD-3-Clause
"""Flags that stand for settings."""

import pytest

from pyaiot.cli.flags import COAP_GATEWAY, DOCTOR, MQTT_GATEWAY, RUN
from pyaiot.cli.options import SettingFlag, keys_of, load, options_of
from pyaiot.config import Config


def settings_with(flags: tuple[SettingFlag, ...], name: str, value: object) -> Config:
    """The settings of a command that was given one flag."""
    (parameter,) = (
        parameter
        for flag, parameter in zip(flags, options_of(flags), strict=True)
        if name in flag.names
    )
    return load(None, {parameter.name: value})[0]


@pytest.mark.parametrize("flags", [RUN, DOCTOR])
def test_the_silence_limit_of_a_service_with_all_gateways_is_that_of_each(
    flags: tuple[SettingFlag, ...],
) -> None:
    settings = settings_with(flags, "--max-time", 30.0)
    assert settings.coap.silence_limit_s == 30
    assert settings.mqtt.silence_limit_s == 30


def test_the_silence_limit_of_one_gateway_is_its_own() -> None:
    coap = settings_with(COAP_GATEWAY, "--max-time", 30.0)
    assert (coap.coap.silence_limit_s, coap.mqtt.silence_limit_s) == (30, 120)
    mqtt = settings_with(MQTT_GATEWAY, "--max-time", 30.0)
    assert (mqtt.coap.silence_limit_s, mqtt.mqtt.silence_limit_s) == (120, 30)


def test_every_flag_names_settings_that_exist() -> None:
    for flags in (RUN, DOCTOR, COAP_GATEWAY, MQTT_GATEWAY):
        for flag, parameter in zip(flags, options_of(flags), strict=True):
            assert keys_of(parameter.name) == [flag.key, *flag.also]
