# SPDX-License-Identifier: BSD-3-Clause
"""At which ports a node is asked, and in which order. Pure."""

from collections.abc import Collection
from typing import Final

from pyaiot.protocols.coap.numbers import COAP_PORT

LOCAL_ANSWER_S: Final = 1.0
"""How long a node of this machine may take to answer at the port that it posts from, where nothing
is lost. Then its CoAP port is asked."""


def candidate_ports(
    source: int,
    *,
    answered: int | None = None,
    source_first: bool = False,
    taken: Collection[int] = (),
) -> list[int]:
    """The ports to ask, the likeliest first.

    `source` is the port that the node posts from, and always its own. `answered` is where it
    answered before. `source_first`: the CoAP port of that address may well be another's, because
    several nodes or services share the address. `taken` are the ports of other nodes there, and of
    ourselves: what answers there is not this node.
    """
    # RFC 7252 section 12.6: a node listens at the CoAP port, wherever it posts from.
    ports = [source, COAP_PORT] if source_first else [COAP_PORT, source]
    if answered is not None:
        ports.insert(0, answered)
    return [port for port in dict.fromkeys(ports) if port == source or port not in taken]
