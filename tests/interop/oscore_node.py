# SPDX-License-Identifier: BSD-3-Clause
"""A program: a node of aiocoap with OSCORE, which a test controls through its standard input.

Arguments: a folder with the security context, the gateway as `host:port`, the address to listen on.
A line of input is a JSON array: `["post", path, text]`, `["plain", path, text]` (unprotected) or
`["set", text]`, a new value of the temperature. A line of output is what it received: the code of
an answer, or a request with its protection.
"""

import asyncio
import json
import sys
from typing import Any

import aiocoap
from aiocoap.credentials import CredentialsMap
from aiocoap.oscore import FilesystemSecurityContext
from aiocoap.oscore_sitewrapper import OscoreSiteWrapper
from aiocoap.resource import ObservableResource, Resource, Site, WKCResource
from aiocoap.transports.oscore import OSCOREAddress


def write_line(*words: object) -> None:
    print(*words, flush=True)


def check(request: Any) -> None:
    """Refuse unprotected requests, as a node with a credential should."""
    if not isinstance(request.remote, OSCOREAddress):
        raise aiocoap.error.Unauthorized


class Led(Resource):  # type: ignore[misc]  # aiocoap has no types
    value = b"0"

    async def render_get(self, request: Any) -> Any:
        check(request)
        return aiocoap.Message(payload=self.value)

    async def render_put(self, request: Any) -> Any:
        check(request)
        self.value = request.payload
        write_line("PUT", len(self.value))
        return aiocoap.Message(code=aiocoap.CHANGED)


class Temperature(ObservableResource):  # type: ignore[misc]
    value = "20°C"

    async def render_get(self, request: Any) -> Any:
        check(request)
        return aiocoap.Message(payload=self.value.encode(), observe=0)


class Story(Resource):  # type: ignore[misc]
    """A value that does not fit into one block."""

    async def render_get(self, request: Any) -> Any:
        check(request)
        return aiocoap.Message(payload=b"once " * 400)


async def main() -> None:
    folder, gateway, host = sys.argv[1:]
    security = FilesystemSecurityContext(folder)
    site = Site()
    temperature = Temperature()
    site.add_resource(["led"], Led())
    site.add_resource(["temperature"], temperature)
    site.add_resource(["story"], Story())
    site.add_resource(
        [".well-known", "core"], WKCResource(site.get_resources_as_linkheader, impl_info=None)
    )
    accepted = CredentialsMap()
    accepted[":gateway"] = security
    context = await aiocoap.Context.create_server_context(
        OscoreSiteWrapper(site, accepted), bind=(host, 5683), transports=["oscore", "udp6"]
    )
    context.client_credentials[f"coap://{gateway}/*"] = security
    plain = await aiocoap.Context.create_client_context(transports=["udp6"])
    write_line("ready")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, *words = json.loads(line)
        if command == "set":
            temperature.value = words[0]
            temperature.updated_state()
            write_line("set")
            continue
        request = aiocoap.Message(
            code=aiocoap.POST, uri=f"coap://{gateway}/{words[0]}", payload=words[1].encode()
        )
        sender = plain if command == "plain" else context
        try:
            answer = await sender.request(request).response
        except Exception as error:  # noqa: BLE001 - the test decides what it means
            write_line(type(error).__name__)
        else:
            write_line(answer.code.dotted)
    await context.shutdown()
    await plain.shutdown()
    security._destroy()


asyncio.run(main())
