# SPDX-License-Identifier: BSD-3-Clause
"""Packets that a broker of a cluster receives from the others."""

from pyaiot.broker.router import Router
from pyaiot.cluster.member import ClusterMember
from pyaiot.cluster.owned_nodes import OwnedNodes
from pyaiot.cluster.packets import decode_items, decode_packet, encode_items
from pyaiot.errors import ProtocolError

SENDER = "0123456789abcdef"
BEACON = b'{"type":"beacon","sender":"0123456789abcdef","name":"b","clock":1.5,"nodes":2}'
GATEWAY = b'{"type":"gateway","number":1,"name":"g","protocol":"CoAP"}'
CLAIM = b'{"type":"claim","uid":"A","gateway":1,"term":1}'
READING = (
    b'{"type":"update","uid":"A","endpoint":"t","data":"23.5\xc2\xb0C","value":23.5,"unit":"Cel"}'
)
HEAD = b'{"type":"frame","sender":"0123456789abcdef","generation":1,"number":0}\n'

CORPUS: list[bytes] = [
    BEACON,
    BEACON[:-1] + b',"streams":{"fedcba9876543210":[1,2]},"leaves":true}',
    b'{"type":"stream","sender":"0123456789abcdef","generation":3}',
    HEAD + b"[" + GATEWAY + b"," + CLAIM + b"," + READING + b"]",
    HEAD + b'[{"type":"interest","number":1,"uids":["A"]},{"type":"end"}]',
    HEAD + b"[" + GATEWAY + b',{"type":"values","uid":"A","readings":[' + READING + b"]}]",
    HEAD + b'[{"type":"order","id":"1","uid":"A","endpoint":"led","payload":"1","timeout_s":2}]',
    HEAD + b'[{"type":"edited","uid":"A","row":["accepted",1,"L","",null,null,"[]","",0,0,"{}"]}]',
    HEAD + b'[{"type":"receipt","id":"1","state":"confirmed"},{"type":"release","uid":"A"}]',
    b"",
]


def fuzz_one(data: bytes) -> None:
    """Invalid packets raise one error, items survive, and a member takes anything."""
    try:
        _, body = decode_packet(data)
        items = decode_items(body)
    except ProtocolError:
        pass
    else:
        assert decode_items(encode_items(items)) == items
    nodes = OwnedNodes()
    member = ClusterMember("fedcba9876543210", "us", Router(nodes=nodes), nodes, 0.0)
    member.receive_packet(BEACON, 1.0, 1.0)
    member.packets_to_send()
    for now in (1.1, 1.2):
        member.receive_packet(data, now, now)
        member.handle_timer(now, now)
        for _, packet in member.packets_to_send():
            decode_packet(packet)
