# SPDX-License-Identifier: BSD-3-Clause
"""`--lan`, `--free-ports` and what `aiot setup` writes."""

import itertools
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot import config
from pyaiot.app.accounts import needs_sign_in
from pyaiot.app.broker_web import check_web
from pyaiot.app.network import demo_settings, free_ports, lan_settings, listen_settings
from pyaiot.app.protocols import plugins
from pyaiot.app.setup_text import Reach, SetupAnswers, settings_text
from pyaiot.cli.flags import run_flags
from pyaiot.config import Config
from pyaiot.transport.addresses import is_loopback

PROTOCOLS = ("coap", "websocket", "mqtt", "mqttsn")


def hosts(settings: Config) -> set[str]:
    """The addresses of all listeners that devices connect to."""
    return {port.host for plugin in plugins() for port in plugin.ports(settings)}


def test_lan_opens_every_listener_and_people_sign_in() -> None:
    before, origins = config.load(None, {}, {})
    settings, _ = config.load(None, {}, lan_settings(before, origins))
    assert hosts(settings) == {"::"}
    assert settings.broker.host == "::"
    assert needs_sign_in(settings.broker)
    check_web(settings)  # raises if it must not be opened


def test_lan_changes_nothing_that_somebody_set() -> None:
    before, origins = config.load(None, {}, {"coap.host": "192.0.2.7", "broker.host": "127.0.0.1"})
    new = lan_settings(before, origins)
    assert not {"coap.host", "broker.host"} & set(new)
    assert new["mqtt.listen"] == "::"


def test_lan_with_tls_or_a_proxy_allows_no_plain_http() -> None:
    for flags in ({"tls.cert_file": "c.pem"}, {"broker.behind_proxy": True}):
        assert "broker.insecure" not in lan_settings(*config.load(None, {}, flags))


def test_every_protocol_names_the_setting_of_its_listener() -> None:
    known = {setting.key for setting in config.settings()}
    assert len(listen_settings()) == len(plugins())
    assert set(listen_settings()) <= known


def test_demo_stays_on_this_machine_whatever_a_file_opens(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    for reach in ("network", "proxy"):
        path.write_text(settings_text(SetupAnswers(reach, PROTOCOLS)), "utf-8")
        _, origins = config.load(path, {}, {})
        settings, _ = config.load(path, {}, demo_settings(origins))
        assert hosts(settings) == {"127.0.0.1"}
        assert not needs_sign_in(settings.broker)
    _, origins = config.load(None, {}, {"broker.host": "::"})
    assert demo_settings(origins) == {}


def test_free_ports_leave_no_port_at_its_number() -> None:
    settings, _ = config.load(None, {}, free_ports(Config(), run_flags()))
    assert {port.port for plugin in plugins() for port in plugin.ports(settings)} == {0}
    assert settings.broker.port == 0


@pytest.mark.parametrize("reach", ["machine", "network", "proxy"])
def test_settings_of_setup_are_valid_and_do_what_was_answered(reach: Reach, tmp_path: Path) -> None:
    for count in range(len(PROTOCOLS) + 1):
        for chosen in itertools.combinations(PROTOCOLS, count):
            path = tmp_path / "c.toml"
            path.write_text(
                settings_text(SetupAnswers(reach, chosen, "pyaiot.example.org")), "utf-8"
            )
            settings, _ = config.load(path, {}, {})
            check_web(settings)
            assert needs_sign_in(settings.broker) is (reach != "machine")
            is_open = {
                plugin.section.table
                for plugin in plugins()
                for port in plugin.ports(settings)
                if not is_loopback(port.host)
            }
            assert is_open == (set() if reach == "machine" else set(chosen))
            assert is_loopback(settings.broker.host) is (reach != "network")


@given(st.from_regex(r"[a-z0-9.-]{1,63}", fullmatch=True))
def test_name_behind_a_proxy_is_an_allowed_host(name: str) -> None:
    table = tomllib.loads(settings_text(SetupAnswers("proxy", (), name)))
    assert table["broker"]["allowed_hosts"] == [name]


def test_every_setting_has_a_comment() -> None:
    lines = settings_text(SetupAnswers("network", PROTOCOLS)).splitlines()
    for before, line in itertools.pairwise(lines):
        if "=" in line and not line.startswith("#"):
            assert before.startswith("#") or "=" in before, line
