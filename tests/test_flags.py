# SPDX-License-Identifier: BSD-3-Clause
"""Flags that stand for settings."""

import pytest

from pyaiot.app.protocols import plugins
from pyaiot.cli.flags import doctor_flags, gateway_flags, run_flags
from pyaiot.cli.options import keys_of, load, options_of
from pyaiot.config import Config, SettingFlag
from pyaiot.errors import OperatorError
from pyaiot.gateways.coap.plugin import PLUGIN as COAP
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.gateways.mqtt.plugin import PLUGIN as MQTT
from pyaiot.gateways.mqtt.settings import MqttSection


def settings_with(flags: tuple[SettingFlag, ...], name: str, value: object) -> Config:
    """The settings of a command that was given one flag."""
    (parameter,) = (
        parameter
        for flag, parameter in zip(flags, options_of(flags), strict=True)
        if name in flag.names
    )
    return load(None, {parameter.name: value})[0]


@pytest.mark.parametrize("flags", [run_flags(), doctor_flags()])
def test_max_time_of_aiot_run_is_the_offline_timeout_of_each_gateway(
    flags: tuple[SettingFlag, ...],
) -> None:
    settings = settings_with(flags, "--max-time", 30.0)
    assert settings.of(CoapSection).silence_limit_s == 30
    assert settings.of(MqttSection).silence_limit_s == 30


def timeouts(settings: Config) -> tuple[float, float]:
    coap, mqtt = settings.of(CoapSection), settings.of(MqttSection)
    return coap.silence_limit_s, mqtt.silence_limit_s


def test_max_time_of_one_gateway_leaves_the_others_unchanged() -> None:
    coap = settings_with(gateway_flags(COAP), "--max-time", 30.0)
    assert timeouts(coap) == (30, 120)
    mqtt = settings_with(gateway_flags(MQTT), "--max-time", 30.0)
    assert timeouts(mqtt) == (120, 30)


def test_every_flag_names_settings_that_exist() -> None:
    for flags in (run_flags(), doctor_flags(), *map(gateway_flags, plugins())):
        for flag, parameter in zip(flags, options_of(flags), strict=True):
            assert keys_of(parameter.name) == [flag.key, *flag.also]


@pytest.mark.parametrize("words", [["--coap-port", "99999"], ["--coap-port=99999"]])
def test_error_of_a_value_names_its_flag(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["aiot", "run", *words])
    with pytest.raises(OperatorError, match=r"^--coap-port: coap\.port is 99999, but it must"):
        settings_with(run_flags(), "--coap-port", 99999)
