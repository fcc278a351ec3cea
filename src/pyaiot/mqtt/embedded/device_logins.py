# SPDX-License-Identifier: BSD-3-Clause
"""Decides which devices may connect to the embedded MQTT broker with a user name and a password.

nats-server requests the decision for each of them. They are in a separate account: a client
without a credential sees none of their messages, and cannot take over their sessions.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from pyaiot.errors import LinkLost, ProtocolError, Refused
from pyaiot.mqtt.embedded.foreign_topics import DeviceRights, subjects_of
from pyaiot.mqtt.embedded.login_tokens import LoginRequest, TokenIssuer, read_request
from pyaiot.mqtt.embedded.nats_connection import NatsConnection
from pyaiot.mqtt.embedded.nats_settings import (
    HOME,
    HOME_ASSISTANT_SUBSCRIPTIONS_MAX,
    LOGINS,
    SECURED,
    SUBSCRIPTIONS_MAX,
    SYSTEM,
)
from pyaiot.transport.rate_limit import RateLimitedLog

SUBJECT: Final = "$SYS.REQ.USER.AUTH"
RETRY_S: Final = 0.5
"""Pause before the connection to nats-server is opened again. Meanwhile no device can connect."""
SERVED_LIMIT_S: Final = 5.0
"""How long the first device waits for the gateway to subscribe. Then it is let in nevertheless."""
LOOK_AGAIN_S: Final = 1.0
"""Interval before the second search for connections of a removed device: one may just have been
made."""
_SHOWN_MAX: Final = 64
HOME_ASSISTANT_USER: Final = "homeassistant"
"""The user name of Home Assistant itself, which no node can have."""
_GENERATED: Final = re.compile(r"[0-9A-Za-z]{22}")
"""A client id that nats-server made up for a client that sent none."""

log = logging.getLogger(__name__)

IsPassword: TypeAlias = Callable[[str, str], bool | DeviceRights]
"""Whether a device with this user name has this password: True for a node, its rights for a foreign
device."""


class DeviceLogins:
    """Answers the requests of nats-server during all runs of the child process."""

    def __init__(self, is_password: IsPassword) -> None:
        self._is_password = is_password
        self.issuer = TokenIssuer()
        self.refused = 0
        """Clients that were refused, since the start."""
        self.before_login: list[Callable[[], Awaitable[object]]] = []
        """Awaited before a device is let in, at most `SERVED_LIMIT_S`: what it publishes before the
        gateway has subscribed would be acknowledged and lost."""
        self.report_refused: Callable[[str], None] | None = None
        """Called with each client that is refused, and the reason."""
        self._log = RateLimitedLog(log)
        self._loop = asyncio.get_running_loop()
        self.serving = asyncio.Event()
        """Set while requests are answered."""

    async def run(self, port: int, password: str) -> None:
        """Answer until cancelled. `port`: of nats-server, for its own protocol."""
        reported = ""
        while True:
            try:
                async with NatsConnection.open(port, LOGINS, password) as connection:
                    self.serving.set()
                    reported = ""
                    await connection.serve(SUBJECT, self.answer_when_served)
            except LinkLost as error:
                if str(error) != reported:
                    reported = str(error)
                    log.warning("devices cannot log in at the MQTT broker: %s", error)
            finally:
                self.serving.clear()
            await asyncio.sleep(RETRY_S)

    async def answer_when_served(self, token: bytes) -> bytes | None:
        """As `answer`, once the gateway receives what devices with a credential publish."""
        answer = self.answer(token)
        try:
            async with asyncio.timeout(SERVED_LIMIT_S):
                for wait in self.before_login:
                    await wait()
        except TimeoutError:
            # The gateway cannot connect, which its log reports. Do not delay other logins again.
            self.before_login.clear()
        return answer

    def answer(self, token: bytes) -> bytes | None:
        """The answer to a request; None if it cannot be read, so that the client is refused."""
        now = time.time()
        try:
            request = read_request(token)
        except ProtocolError as error:
            self._refused("a device", "", str(error))
            return None
        user = request.login.user
        rights = bool(user) and self._is_password(user, request.login.password)
        problem = self._problem(request, rights)
        if problem:
            client = request.client
            self._refused(f"device {_shown(client.mqtt_id)}", client.host, problem)
            return self.issuer.refuse(request, problem, now=now)
        if request.login.user == HOME_ASSISTANT_USER:
            return self.issuer.accept(
                request,
                account=HOME,
                publish=["homeassistant.>", "pyaiot.>"],
                subscribe=[">"],
                subscriptions_max=HOME_ASSISTANT_SUBSCRIPTIONS_MAX,
                now=now,
            )
        if isinstance(rights, DeviceRights):
            return self.issuer.accept(
                request,
                account=SECURED,
                publish=subjects_of(rights.publish),
                subscribe=subjects_of(rights.subscribe),
                subscriptions_max=SUBSCRIPTIONS_MAX,
                now=now,
            )
        name = subject_of(request.login.user)
        return self.issuer.accept(
            request,
            account=SECURED,
            publish=[f"node.{name}.>", "node.check"],
            # A filter `gateway/…/#` also matches the level before (MQTT 3.1.1 section 4.7.1.2).
            subscribe=[f"gateway.{name}", f"gateway.{name}.>", "gateway.check"],
            subscriptions_max=SUBSCRIPTIONS_MAX,
            now=now,
        )

    def _problem(self, request: LoginRequest, rights: bool | DeviceRights) -> str:
        login, client_id = request.login, request.client.mqtt_id
        if not login.user:
            return "it sends no user name; aiot device add gives it one and a password"
        if not client_id:
            return "only MQTT is served here"
        if rights is False:
            return f"the user name {_shown(login.user)} or its password is wrong"
        # A client that connects with the id of another one replaces it (MQTT 3.1.1 section
        # 3.1.4-2), so each device has its own ids.
        ids = rights.client_ids if isinstance(rights, DeviceRights) else (login.user,)
        if _GENERATED.fullmatch(client_id) or any(
            f"{client_id}/".startswith(f"{it}/") for it in ids
        ):
            return ""
        return (
            f"the client id of the device {login.user} must be {ids[-1]}, or begin with {ids[-1]}/"
        )

    def _refused(self, device: str, host: str, problem: str) -> None:
        self.refused += 1
        at = f" at {host}" if host else ""
        text = f"{device}{at} was refused: {problem}"
        if self.report_refused is not None:
            self.report_refused(text)
        self._log.warning("MQTT: %s", text, now=self._loop.time())


async def disconnect(port: int, system_password: str, users: Sequence[str]) -> None:
    """Close the connections of devices, whose credentials were removed."""
    try:
        async with NatsConnection.open(port, SYSTEM, system_password) as system:
            for pause_s in (0.0, LOOK_AGAIN_S):
                await asyncio.sleep(pause_s)
                for user in users:
                    await _disconnect_one(system, user)
    except (LinkLost, Refused) as error:
        log.warning("removed devices were not disconnected from the MQTT broker: %s", error)


async def _disconnect_one(system: NatsConnection, user: str) -> None:
    found = await system.request_of_server(
        "CONNZ",
        {
            "auth": True,
            "acc": HOME if user == HOME_ASSISTANT_USER else SECURED,
            "user": user,
        },
    )
    subject = f"$SYS.REQ.SERVER.{found['server']['id']}.KICK"
    for connection in found["data"].get("connections") or ():
        if connection.get("type") == "mqtt":
            await system.request(subject, {"cid": connection["cid"]})
            log.info("MQTT: %s was disconnected: its credential was removed", user)


def _shown(text: str) -> str:
    """Text of a peer, short and on one line."""
    cut = text[:_SHOWN_MAX]
    return "".join(it if it.isprintable() else "\N{REPLACEMENT CHARACTER}" for it in cut)


def subject_of(level: str) -> str:
    """A level of a topic as nats-server writes it in a subject: a dot becomes two slashes."""
    return level.replace(".", "//")
