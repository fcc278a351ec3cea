# SPDX-License-Identifier: BSD-3-Clause
"""`aiot fleet` with authentication: a sign-in link, TLS, an MQTT broker with users."""

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.authority import new_authority
from tests.end_to_end.test_fleet import result
from tests.end_to_end.test_processes import complaint
from tests.gateways.mqtt_servers import server
from tests.programs import ANY_PORTS, Programs, fleet_flags
from tests.relay import tcp_relay

pytestmark = pytest.mark.sockets

SHORT = ("--rate", "5", "--seconds", "1", "--commands-per-s", "2", "--grace-s", "5", "--json")


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """mosquitto's file with the user `us`, whose password is `right`."""
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed (apt install mosquitto)")
    path = tmp_path / "users"
    subprocess.run([program, "-b", "-c", path, "us", "right"], check=True)
    return path


async def test_fleet_signs_in_with_a_link_through_a_tls_proxy(
    programs: Programs, tmp_path: Path
) -> None:
    made = new_authority(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made.certificate("server"), made.key("server"))
    service = programs.aiot("run", *ANY_PORTS, "--behind-proxy")
    output = service.startup_text()
    path = output.split()[7].partition("/login?")[2]
    flags = fleet_flags(output.partition("\n")[2])
    knows = {"SSL_CERT_FILE": str(made.ca)}
    async with tcp_relay(int(flags[1]), tls=tls) as proxy:
        fleet = (
            *("fleet", "--coap", "2", "--mqtt", "0", "--mqttsn", "0", "--ws", "2", *SHORT, *flags),
            *("--broker-port", str(proxy.port), "--broker-ssl"),
        )
        link = ("--login-link", f"https://127.0.0.1:{proxy.port}/login?{path}")
        unauthorized = programs.aiot(*fleet, **knows)
        assert await asyncio.to_thread(unauthorized.exit_code, 20) == 2
        assert "--login-link" in unauthorized.stderr
        report = await asyncio.to_thread(result, programs.aiot(*fleet, *link, **knows), 20)
        assert report["total"]["seen"] == report["total"]["sent"] > 0
        assert report["commands"]["ended"] == {"confirmed": report["commands"]["sent"]}
        again = programs.aiot(*fleet, *link, **knows)
        assert await asyncio.to_thread(again.exit_code, 20) == 2
        assert "is not valid, or was used" in again.stderr


async def test_fleet_trusts_a_ca_file_and_names_it_otherwise(
    programs: Programs, tmp_path: Path
) -> None:
    made = new_authority(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made.certificate("server"), made.key("server"))
    output = programs.aiot("run", *ANY_PORTS).startup_text()
    flags = fleet_flags(output)
    async with tcp_relay(int(flags[1]), tls=tls) as proxy:
        fleet = (
            *("fleet", "--coap", "2", "--mqtt", "0", "--mqttsn", "0", "--ws", "0", *SHORT, *flags),
            *("--broker-port", str(proxy.port), "--broker-ssl"),
        )
        run = programs.aiot(*fleet, "--ca-file", str(made.ca))
        report = await asyncio.to_thread(result, run, 20)
        assert report["total"]["seen"] == report["total"]["sent"] > 0
        for more, hint in (((), "is not trusted"), (("--ca-file", "absent.pem"), "set --ca-file")):
            refused = programs.aiot(*fleet, *more)
            assert await asyncio.to_thread(refused.exit_code, 20) == 2
            (sentence,) = refused.stderr.splitlines()
            assert hint in sentence
            assert "--ca-file" in sentence


async def test_fleet_sends_user_and_password_to_the_mqtt_broker(
    programs: Programs, users: Path, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("right\n")
    more = ("allow_anonymous false", f"password_file {users}", "user root")
    with server("mosquitto", tmp_path, *more) as locked:
        locked.start()
        output = programs.aiot(
            *("run", *ANY_PORTS, "--mqtt-host", "127.0.0.1", "--mqtt-port", str(locked.port)),
            AIOT_MQTT_USER="us",
            AIOT_MQTT_PASSWORD_FILE=str(password),
        ).startup_text()
        fleet = (
            *("fleet", "--coap", "0", "--mqtt", "3", "--mqttsn", "2", "--ws", "0", *SHORT),
            *(*fleet_flags(output), "--mqtt-port", str(locked.port)),
        )
        shows = ("--mqtt-user", "us", "--mqtt-password-file", str(password))
        report = await asyncio.to_thread(result, programs.aiot(*fleet, *shows), 25)
        assert report["total"]["seen"] == report["total"]["sent"] > 0
        assert set(report["protocols"]) == {"MQTT", "MQTT-SN"}
        password.write_text("wrong\n")
        refused = await asyncio.to_thread(programs.run, *fleet, *shows)
        assert "MQTT broker" in complaint(refused)
