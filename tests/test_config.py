# SPDX-License-Identifier: BSD-3-Clause
"""Settings: default < file < environment < flag, and a sentence for what is wrong."""

from pathlib import Path

import pytest

from pyaiot import config
from pyaiot.app import protocols as _protocols  # noqa: F401 - adds the settings of the protocols
from pyaiot.errors import OperatorError
from pyaiot.gateways.coap.settings import CoapSection
from pyaiot.gateways.mqttsn.settings import MqttsnSection


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


def test_defaults_are_loopback_and_the_ports_that_deployed_devices_know() -> None:
    it, origins = config.load(None, {}, {})
    assert (it.broker.host, it.broker.port) == ("127.0.0.1", 8000)
    coap = it.of(CoapSection)
    assert (coap.host, coap.port, coap.silence_limit_s) == ("127.0.0.1", 5683, 120.0)
    assert set(origins.values()) == {"default"}


def test_later_origins_win(tmp_path: Path) -> None:
    path = write(tmp_path, "[broker]\nport = 1\ntitle = 'file'\nflush_interval_ms = 5\n")
    environ = {"AIOT_BROKER_PORT": "2", "AIOT_BROKER_TITLE": "environment"}
    it, origins = config.load(path, environ, {"broker.port": 3})
    assert (it.broker.port, it.broker.title, it.broker.flush_interval_ms) == (3, "environment", 5)
    assert origins["broker.port"] == "flag"
    assert origins["broker.title"] == "AIOT_BROKER_TITLE"
    assert origins["broker.flush_interval_ms"] == str(path)
    assert origins["coap.port"] == "default"


def test_text_of_the_environment_becomes_the_type_of_the_setting() -> None:
    environ = {
        "AIOT_BROKER_INSECURE": "true",
        "AIOT_BROKER_ALLOWED_HOSTS": "a.example, b.example",
        "AIOT_COAP_SILENCE_LIMIT_S": "1.5",
        "AIOT_MQTTSN_PREDEFINED": "1=node/check, 65534 = a=b",
    }
    it, _ = config.load(None, environ, {})
    assert it.broker.insecure is True
    assert it.broker.allowed_hosts == ("a.example", "b.example")
    assert it.of(CoapSection).silence_limit_s == 1.5
    assert it.of(MqttsnSection).predefined == {1: "node/check", 65534: "a=b"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[broker]\nporrt = 1\n", "there is no setting broker.porrt"),
        ("[brokr]\nport = 1\n", "there is no setting brokr.port"),
        ("[brokr]\n", r"there is no section \[brokr\]"),
        ("port = 1\n", "outside of a"),
        ("[broker]\nport = 'x'\n", "broker.port"),
        ("[broker]\nport = 65536\n", "broker.port"),
        ("[coap]\nsilence_limit_s = 0\n", "coap.silence_limit_s"),
        ("[mqttsn.predefined]\n0 = 'x'\n", "mqttsn.predefined"),
        ("[mqttsn.predefined]\n1 = 2\n", "mqttsn.predefined"),
        ("[mqttsn]\nclient_prefix = 'a/'\n", "mqttsn.client_prefix"),
        ("[broker\n", "is not TOML"),
    ],
)
def test_wrong_file_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(OperatorError, match=words) as caught:
        config.load(write(tmp_path, text), {}, {})
    assert "\n" not in str(caught.value)


def test_missing_file_and_unknown_variable_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="cannot be read"):
        config.load(tmp_path / "none.toml", {}, {})
    with pytest.raises(OperatorError, match="AIOT_BROKER_PROT"):
        config.load(None, {"AIOT_BROKER_PROT": "1"}, {})


def test_every_setting_has_a_description() -> None:
    for setting in config.settings():
        assert setting.description.endswith("."), setting.key
        assert setting.variable == "AIOT_" + setting.key.upper().replace(".", "_")


def test_default_file_follows_the_desktop_standard() -> None:
    assert config.default_file({"XDG_CONFIG_HOME": "/x"}) == Path("/x/pyaiot/config.toml")
    assert config.default_file({"HOME": "/h"}) == Path("/h/.config/pyaiot/config.toml")


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf[broker]\r\nport = 9000\r\n")
    assert config.load(path, {}, {})[0].broker.port == 9000


def test_a_value_that_is_no_choice_is_reported_with_the_choices() -> None:
    with pytest.raises(OperatorError, match=r"is 'admin', but it must be 'none' or 'viewer'\."):
        config.load(None, {"AIOT_BROKER_ANONYMOUS": "admin"}, {})


def test_a_list_flag_with_an_empty_value_is_an_empty_list() -> None:
    flags = {"broker.allowed_hosts": [""], "broker.legacy_protocols": ["", "CoAP "]}
    it, _ = config.load(None, {}, flags, {"broker.allowed_hosts": "--allowed-host"})
    assert it.broker.allowed_hosts == ()
    assert it.broker.legacy_protocols == ("CoAP",)


def test_a_relative_folder_in_a_variable_is_ignored() -> None:
    for relative in ("", "data", "./data"):
        environ = {"XDG_DATA_HOME": relative, "HOME": "/h"}
        assert config.data_folder(environ) == Path("/h/.local/share/pyaiot")
    assert config.data_folder({"XDG_DATA_HOME": "/data", "HOME": "/x"}) == Path("/data/pyaiot")
