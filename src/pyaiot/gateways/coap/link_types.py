# SPDX-License-Identifier: BSD-3-Clause
"""The types of resources according to the links of a node."""

from pyaiot.errors import ProtocolError, Refused
from pyaiot.gateways.gateway import Gateway
from pyaiot.model import type_of_link
from pyaiot.protocols.link_format import CoreLink


def describe_by_link(gateway: Gateway, uid: str, resource: str, link: CoreLink) -> None:
    """Report the type of a resource according to the attributes of its link. Does nothing if the
    node has left."""
    it = type_of_link(
        rt=link.values("rt"),
        interfaces=link.values("if"),
        content_formats=link.values("ct"),
        title=link.text("title"),
    )
    try:
        events = gateway.nodes.describe(uid, {resource: it})
    except (KeyError, ProtocolError, Refused):
        return  # the node left, or its types are at their limit: its values are read all the same
    gateway.report_nodes(events)
