# SPDX-License-Identifier: BSD-3-Clause
"""Limits the cost of protected messages that cannot be accepted, and of their responses. Pure."""

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from pyaiot.gateways.coap.oscore.device import keep
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, ContentFormat, MessageType, OptionNumber
from pyaiot.protocols.coap.post import response_id
from pyaiot.protocols.oscore.messages import Unacceptable
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from pyaiot.transport.rate_limit import RateLimitedLog

HOST_FAILURES_PER_S: Final = 10.0
HOST_FAILURES_BURST: Final = 50.0
"""Rate limit and burst of unacceptable protected messages of one host. Above it they are not
answered, and further ones of the host are dropped unread for `MUTED_S`, unless a device has proved
its uid there."""
FAILURES_PER_S: Final = 100.0
FAILURES_BURST: Final = 500.0
"""The same for all hosts together. Above it they are not answered."""
MUTED_S: Final = 1.0
"""How long the protected messages of a host are dropped."""
MUTED_HOSTS_MAX: Final = 4096
"""Largest number of hosts whose messages are dropped. Beyond it the messages of the oldest are read
again."""
PROVED_HOSTS_MAX: Final = 16_384
"""Largest number of remembered hosts of devices. Beyond it the oldest counts as any other host."""


log = logging.getLogger(__name__)


class OscoreRefusals:
    """Counts and limits refusals. `now` is the loop's time in seconds."""

    def __init__(self, report: Callable[..., None] = lambda _text, *_details: None) -> None:
        """`report` is called with a log text, with the address and the reason, for each request
        that is not accepted."""
        self._report = report
        self.refused = 0
        """Number of protected messages that were not accepted."""
        self.replayed = 0
        """Number of those that were replays."""
        self._failures = HostRateLimit(
            Rate(HOST_FAILURES_PER_S, HOST_FAILURES_BURST), Rate(FAILURES_PER_S, FAILURES_BURST)
        )
        self._lines = RateLimitedLog(log)
        self._muted: OrderedDict[str, float] = OrderedDict()
        self._proved: OrderedDict[str, None] = OrderedDict()

    def is_muted(self, host: str, now: float) -> bool:
        """Whether protected messages of this host are dropped."""
        return host in self._muted and now < self._muted[host] and host not in self._proved

    def has_proved(self, host: str) -> None:
        """A device at this host has proved its uid."""
        if host not in self._proved:
            keep(self._proved, host, None, PROVED_HOSTS_MAX)

    def refuse(self, datagram: bytes, host: str, problem: Unacceptable, *, now: float) -> bytes:
        """Count a request that is not accepted. Returns its response, which is not protected (RFC
        8613 section 8.2); empty: none."""
        self.refused += 1
        self._lines.warning("OSCORE message from %s refused: %s", host, problem, now=now)
        self._report("OSCORE message from %s refused: %s", host, problem)
        wait_s = self._failures.take(host, now=now)
        if wait_s == 0:
            if problem.edhoc_error:
                format_ = OptionNumber.CONTENT_FORMAT, ContentFormat.EDHOC
                return build_response(datagram, problem.code, format_, payload=problem.edhoc_error)
            # Section 8.2: a cache must not keep 4.01.
            no_cache = OptionNumber.MAX_AGE, 0
            return build_response(datagram, problem.code, no_cache, payload=str(problem).encode())
        if wait_s is not None:
            keep(self._muted, host, now + MUTED_S, MUTED_HOSTS_MAX)
        return b""


def build_response(
    datagram: bytes, code: Code, option: tuple[int, bytes | int], *, payload: bytes = b""
) -> bytes:
    """An unprotected response to the request in a datagram."""
    token = datagram[4 : 4 + (datagram[0] & 0x0F)]
    message_id = datagram[2] << 8 | datagram[3]
    confirmable = datagram[0] >> 4 & 3 == MessageType.CON
    return CoapMessage(
        MessageType.ACK if confirmable else MessageType.NON,
        code,
        message_id if confirmable else response_id(message_id),
        token,
        build_options(option),
        payload,
    ).to_bytes()
