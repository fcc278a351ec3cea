# SPDX-License-Identifier: BSD-3-Clause
"""Baseline of the CoAP fast path: the same gateway, with every datagram through aiocoap."""

import argparse
import asyncio
import time
from pathlib import Path

import aiohttp
import uvloop

from pyaiot.broker.keys import load_keys, mint_token
from pyaiot.gateways.coap.gateway import CoapGateway
from pyaiot.gateways.gateway import Gateway, GatewayLink
from pyaiot.gateways.live_nodes import LiveNodes
from pyaiot.links.connecting import connect_gateway


async def serve(host: str, port: int, broker_port: int, key_file: Path) -> None:
    """Run the gateway like `aiot coap-gateway`, until cancelled."""
    keys = load_keys(key_file)
    gateway = Gateway(
        name="aiocoap",
        protocol="CoAP",
        nodes=LiveNodes(silence_limit_s=120.0, nodes_max=100_000),
        loop=asyncio.get_running_loop(),
        unix_time=time.time,
    )
    coap = await CoapGateway.open(gateway, host, port, fast_path=False)
    async with aiohttp.ClientSession() as session:

        async def connect() -> GatewayLink:
            url = f"ws://{host}:{broker_port}/gw"
            return await connect_gateway(session, url, mint_token(keys))

        await coap.run(connect)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--broker-port", type=int, required=True)
    parser.add_argument("--key-file", type=Path, required=True)
    options = parser.parse_args()
    uvloop.run(serve("127.0.0.1", options.port, options.broker_port, options.key_file))


if __name__ == "__main__":
    main()
