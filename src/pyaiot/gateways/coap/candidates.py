# SPDX-License-Identifier: BSD-3-Clause
"""The ports at which a node may answer requests, in order of preference. Pure."""

from collections.abc import Collection
from typing import Final

from pyaiot.protocols.coap.numbers import COAP_PORT

LOCAL_RESPONSE_S: Final = 1.0
"""How long a node on this machine may take to answer at the port that it posts from. Nothing is
lost there. Then the CoAP port is tried."""


def candidate_ports(
    source: int,
    *,
    answered: int | None = None,
    source_first: bool = False,
    taken: Collection[int] = (),
) -> list[int]:
    """The ports to try, the most likely first.

    `source`: the port that the node posts from, which is never in `taken`. `answered`: the port at
    which it answered before. `source_first`: several nodes or services share the address, so the
    CoAP port may belong to another one. `taken`: the ports of other nodes at the address, and of
    this gateway.
    """
    # RFC 7252 section 12.6: a node listens on the CoAP port, even if it posts from another one.
    ports = [source, COAP_PORT] if source_first else [COAP_PORT, source]
    if answered is not None:
        ports.insert(0, answered)
    return [port for port in dict.fromkeys(ports) if port == source or port not in taken]
