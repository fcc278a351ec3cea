# SPDX-License-Identifier: BSD-3-Clause
"""`/api/devices`: administrators manage the credentials of devices of this process."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from aiohttp import web

from pyaiot.errors import OperatorError
from pyaiot.web.api.edits import read_json
from pyaiot.web.api.parameters import Query
from pyaiot.web.api.responses import json_response
from pyaiot.web.api.schemas import (
    DeviceEntry,
    DeviceProtocol,
    Devices,
    NewDeviceCredential,
    NewDeviceRequest,
    SummaryLanguage,
)
from pyaiot.web.auditing import note
from pyaiot.web.problems import ProblemError


class DeviceAdministration(Protocol):
    """The credentials of devices on this machine. Methods read and write a file: call them in a
    thread. They raise `OperatorError`."""

    def protocols(self) -> Sequence[DeviceProtocol]:
        """The protocols, in the order of their registration."""
        ...

    def devices(self) -> Sequence[DeviceEntry]:
        """The devices with credentials."""
        ...

    def add(self, uid: str, protocol: str, language: SummaryLanguage) -> NewDeviceCredential:
        """Give a device a credential. `language`: of the summary."""
        ...

    def remove(self, uid: str) -> int:
        """Remove the credentials of a device. Returns how many were removed."""
        ...


class DevicesApi:
    """The handlers of credentials of devices."""

    def __init__(self, devices: DeviceAdministration | None) -> None:
        """`devices` None: no gateway runs in this process."""
        self._devices = devices

    async def devices(self, _request: web.Request, _query: Query) -> web.StreamResponse:
        """`GET /api/devices`."""
        found = self._devices
        if found is None:
            return json_response(Devices(is_here=False, protocols=[], devices=[]))
        try:
            entries = await asyncio.to_thread(found.devices)
        except OperatorError as error:
            raise ProblemError(503, "devices-unavailable", str(error)) from error
        return json_response(
            Devices(is_here=True, protocols=[*found.protocols()], devices=[*entries])
        )

    async def add_device(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`POST /api/devices`."""
        found = self._here()
        body = await read_json(request, NewDeviceRequest)
        note(request, uids=[body.uid], detail=body.protocol)
        if body.protocol not in [it.name for it in found.protocols()]:
            raise ProblemError(400, "bad-request", f"there is no protocol {body.protocol!r}")
        try:
            added = await asyncio.to_thread(found.add, body.uid, body.protocol, body.language)
        except OperatorError as error:
            raise ProblemError(409, "device-refused", str(error)) from error
        response = json_response(added, status=201)
        # The response contains a secret.
        response.headers["Cache-Control"] = "no-store"
        return response

    async def remove_device(self, request: web.Request, _query: Query) -> web.StreamResponse:
        """`DELETE /api/devices/{uid}`."""
        try:
            removed = await asyncio.to_thread(self._here().remove, request.match_info["uid"])
        except OperatorError as error:
            raise ProblemError(503, "devices-unavailable", str(error)) from error
        if not removed:
            raise ProblemError(404, "unknown-device", "it has no credential")
        return web.Response(status=204)

    def _here(self) -> DeviceAdministration:
        if self._devices is None:
            raise ProblemError(
                404, "no-devices", "run aiot device add on the machine of the gateway"
            )
        return self._devices
