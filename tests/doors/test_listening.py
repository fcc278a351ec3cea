# SPDX-License-Identifier: BSD-3-Clause
"""Under which address a door can be opened from elsewhere."""

import socket

import pytest
from aiohttp import web

from pyaiot.doors.listening import Door, own_address
from pyaiot.doors.server_log import ServerLog

pytestmark = pytest.mark.sockets


async def opened(host: str) -> Door:
    log = ServerLog(lambda _: None)
    return await Door.open(web.Application(), host, 0, who="It", flag="--port", server_log=log)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_a_door_to_every_network_is_told_under_an_address_that_others_reach(
    host: str,
) -> None:
    door = await opened(host)
    try:
        told = door.url_for_others.removeprefix("http://").rpartition(":")[0].strip("[]")
        assert told == (own_address() or socket.gethostname())
        assert door.url.startswith(("http://127.0.0.1:", "http://[::1]:"))
    finally:
        await door.close()


async def test_a_door_on_loopback_is_told_under_that_address() -> None:
    door = await opened("127.0.0.1")
    try:
        assert door.url_for_others == door.url
    finally:
        await door.close()


def test_the_own_address_is_one_of_this_machine() -> None:
    address = own_address()
    if address:  # a machine without a network has none
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
