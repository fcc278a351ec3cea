# SPDX-License-Identifier: BSD-3-Clause
"""Protected messages that cannot be accepted: they cost little, and get few answers. Pure."""

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from pyaiot.gateways.coap.oscore.device import keep
from pyaiot.protocols.coap.message import CoapMessage, build_options
from pyaiot.protocols.coap.numbers import Code, ContentFormat, MessageType, OptionNumber
from pyaiot.protocols.coap.post import answer_id
from pyaiot.protocols.oscore.messages import Unacceptable
from pyaiot.transport.host_rate_limit import HostRateLimit, Rate
from pyaiot.transport.rate_limit import RateLimitedLog

HOST_FAILURES_PER_S: Final = 10.0
HOST_FAILURES_BURST: Final = 50.0
"""Protected messages of one host that cannot be accepted, sustained and at once. Above: not
answered, and further ones of the host are dropped unread for `MUTED_S`, unless a device has proved
its uid there."""
FAILURES_PER_S: Final = 100.0
FAILURES_BURST: Final = 500.0
"""The same of all hosts together. Above: not answered."""
MUTED_S: Final = 1.0
"""How long the protected messages of a host are dropped."""
MUTED_HOSTS_MAX: Final = 4096
"""Hosts whose messages are dropped. Beyond that, those of the oldest are read again."""
PROVED_HOSTS_MAX: Final = 16_384
"""Hosts of devices that are remembered. Beyond that, the oldest counts as any other host."""


log = logging.getLogger(__name__)


class OscoreRefusals:
    """Counts and limits refusals. `now` is the loop's time in seconds."""

    def __init__(self, report: Callable[..., None] = lambda _text, *_details: None) -> None:
        """`report` gets a text as in the log, with the address and the reason, of each request
        that is not accepted."""
        self._report = report
        self.refused = 0
        """Protected messages that were not accepted, since the start."""
        self.replayed = 0
        """Those of them that were received before."""
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
        """Count a request that is not accepted. Returns its answer, which is not protected
        (RFC 8613 section 8.2); b"": none."""
        self.refused += 1
        self._lines.warning("OSCORE message from %s refused: %s", host, problem, now=now)
        self._report("OSCORE message from %s refused: %s", host, problem)
        wait_s = self._failures.take(host, now=now)
        if wait_s == 0:
            if problem.edhoc_error:
                format_ = OptionNumber.CONTENT_FORMAT, ContentFormat.EDHOC
                return build_answer(datagram, problem.code, format_, payload=problem.edhoc_error)
            # Section 8.2: a cache must not keep 4.01.
            no_cache = OptionNumber.MAX_AGE, 0
            return build_answer(datagram, problem.code, no_cache, payload=str(problem).encode())
        if wait_s is not None:
            keep(self._muted, host, now + MUTED_S, MUTED_HOSTS_MAX)
        return b""


def build_answer(
    datagram: bytes, code: Code, option: tuple[int, bytes | int], *, payload: bytes = b""
) -> bytes:
    """An answer to the request in a datagram, not protected."""
    token = datagram[4 : 4 + (datagram[0] & 0x0F)]
    message_id = datagram[2] << 8 | datagram[3]
    confirmable = datagram[0] >> 4 & 3 == MessageType.CON
    return CoapMessage(
        MessageType.ACK if confirmable else MessageType.NON,
        code,
        message_id if confirmable else answer_id(message_id),
        token,
        build_options(option),
        payload,
    ).to_bytes()
