# SPDX-License-Identifier: BSD-3-Clause
"""The state machine of a simulated CoAP node: posts, timers and answers."""

import itertools
import json
import random
import re
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.devices.actuators import ACTUATORS
from pyaiot.devices.coap_node import Datagram, SimulatedCoapNode
from pyaiot.devices.coap_node_config import CoapNodeConfig
from pyaiot.devices.coap_node_server import (
    REQUEST_BYTES_MAX,
    RESPONSES_MAX,
    SCRIPT_BYTES_MAX,
    UPLOADS_MAX,
)
from pyaiot.devices.coap_posts import UNACKNOWLEDGED_MAX
from pyaiot.devices.schedule import IMU_PERIOD_MIN_S
from pyaiot.devices.sensors import SENSORS
from pyaiot.protocols.coap.message import Block, CoapMessage, build_options
from pyaiot.protocols.coap.numbers import (
    MAX_RETRANSMIT,
    Code,
    ContentFormat,
    MessageType,
    OptionNumber,
)

CON, NON, ACK, RST = MessageType
PEER = ("127.0.0.1", 40000)
UID = "2C5A0B4F9D31E7A"
message_ids = itertools.count(1)


def booted(*, now: float = 0.0, seed: int = 1, **config: Any) -> SimulatedCoapNode:
    node = SimulatedCoapNode(CoapNodeConfig(uid=UID, **config), rng=random.Random(seed))
    node.boot(now=now)
    return node


def transmit(node: SimulatedCoapNode, now: float) -> list[Datagram]:
    """The datagrams that the node sends at `now`."""
    node.handle_timer(now=now)
    return node.datagrams_to_send()


def sent(node: SimulatedCoapNode, now: float) -> list[CoapMessage]:
    return [CoapMessage.from_bytes(data) for data, _ in transmit(node, now)]


def quiet(**config: Any) -> SimulatedCoapNode:
    """A booted node that posts nothing for a day."""
    node = booted(period_s=86400.0, alive_period_s=86400.0, **config)
    transmit(node, 0.0)
    return node


def send_request(
    node: SimulatedCoapNode,
    code: int,
    path: str,
    payload: bytes = b"",
    *options: tuple[int, bytes | str | int],
    mid: int | None = None,
    mtype: MessageType = CON,
    peer: tuple[str, int] = PEER,
    now: float = 0.5,
) -> list[CoapMessage]:
    """The messages that the node sends because of this request."""
    mid = next(message_ids) if mid is None else mid
    segments = [(int(OptionNumber.URI_PATH), segment) for segment in path.split("/")]
    request = CoapMessage(
        mtype, code, mid & 0xFFFF, b"tok", build_options(*segments, *options), payload
    )
    node.receive_datagram(request.to_bytes(), peer, now=now)
    return sent(node, now)


def block2(num: int, szx: int) -> tuple[int, bytes]:
    return OptionNumber.BLOCK2, Block(num, False, szx).to_bytes()


def block1(num: int, szx: int, *, more: bool) -> tuple[int, bytes]:
    return OptionNumber.BLOCK1, Block(num, more, szx).to_bytes()


def block_of(message: CoapMessage, number: OptionNumber) -> Block:
    value = message.option(number)
    assert value is not None
    return Block.from_bytes(value)


def upload(
    node: SimulatedCoapNode, path: str, body: bytes, szx: int, *, now: float = 0.5
) -> Iterable[CoapMessage]:
    """Write the body in blocks. Yields each answer."""
    size = 16 << szx
    for num, at in enumerate(range(0, len(body), size)):
        option = block1(num, szx, more=at + size < len(body))
        yield send_request(node, Code.PUT, path, body[at : at + size], option, now=now)[0]


def download(node: SimulatedCoapNode, path: str, first: Block | None) -> tuple[bytes, list[Block]]:
    body = b""
    blocks: list[Block] = []
    options = [block2(first.num, first.szx)] if first else []
    while True:
        [answer] = send_request(node, Code.GET, path, b"", *options)
        assert answer.code == Code.CONTENT
        body += answer.payload
        if answer.option(OptionNumber.BLOCK2) is None:
            return body, blocks
        blocks.append(block_of(answer, OptionNumber.BLOCK2))
        if not blocks[-1].more:
            return body, blocks
        options = [block2(blocks[-1].num + 1, blocks[-1].szx)]


def test_every_field_of_the_config_has_a_description() -> None:
    kind = msgspec.inspect.type_info(CoapNodeConfig)
    assert isinstance(kind, msgspec.inspect.StructType)
    for field in kind.fields:
        assert isinstance(field.type, msgspec.inspect.Metadata), field.name
        description = (field.type.extra_json_schema or {})["description"]
        assert description[0].isupper()
        assert description.endswith(".")


@pytest.mark.parametrize(
    "wrong", [{"period_s": 0}, {"port": 65536}, {"gateway_port": 0}, {"uid": "x" * 65}]
)
def test_a_config_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, CoapNodeConfig)


# Posts of the node


def test_a_boot_posts_reset_and_then_alive() -> None:
    node = booted(now=5.0)
    datagrams = transmit(node, 5.0)
    assert [datagram.peer for datagram in datagrams] == [None, None]
    for (data, _), word in zip(datagrams, ("reset", "alive"), strict=True):
        # version 1, NON, token of 2 bytes; POST; then message id and token; Uri-Path "alive";
        # Content-Format 0 without a byte; payload without trailing NUL
        payload = f"{word}:{UID}".encode()
        assert data[:2] == b"\x52\x02"
        assert data[6:] == b"\xb5alive" + b"\x10" + b"\xff" + payload
    first, second = (CoapMessage.from_bytes(data) for data, _ in datagrams)
    assert second.message_id == (first.message_id + 1) & 0xFFFF
    assert first.token != second.token


def test_message_ids_wrap_after_65535() -> None:
    node = booted(alive_period_s=1.0)
    ids = [message.message_id for t in range(70_000) for message in sent(node, float(t))]
    assert ids[0] == ids[65536]
    assert {(b - a) % 65536 for a, b in itertools.pairwise(ids)} == {1}


def test_alive_is_posted_every_30_seconds() -> None:
    node = booted()
    sent(node, 0.0)
    for expected in (30.0, 60.0, 90.0):
        assert node.get_timer() == expected
        assert sent(node, expected - 0.001) == []
        [alive] = sent(node, expected)
        assert (alive.uri_path, alive.payload) == (("alive",), f"alive:{UID}".encode())


def test_a_reading_is_posted_in_each_period_of_its_sensor() -> None:
    node = booted(temperature=True, pressure=True, period_s=5.0)
    sent(node, 0.0)
    posts: dict[str, list[float]] = {}
    while node.get_timer() < 29.0:
        now = node.get_timer()
        for message in sent(node, now):
            assert message.mtype == NON
            assert message.uri_path == ("server",)
            assert message.options[1:] == ((OptionNumber.CONTENT_FORMAT, b""),)
            name, _, value = message.payload.decode().partition(":")
            assert node.values[name] == value
            posts.setdefault(name, []).append(now)
    assert set(posts) == {"temperature", "pressure"}
    for times in posts.values():
        assert 0.0 <= times[0] <= 5.0
        assert len(times) in (5, 6)
        gaps = {round(b - a, 6) for a, b in itertools.pairwise(times)}
        assert gaps == {5.0}


def test_the_bytes_of_a_reading_are_those_of_real_firmware() -> None:
    node = booted(temperature=True)
    sent(node, 0.0)
    [(data, peer)] = transmit(node, node.get_timer())
    assert peer is None
    assert data[:2] == b"\x52\x02"
    assert data[6:27] == b"\xb6server" + b"\x10" + b"\xff" + b"temperature:"
    assert re.fullmatch(rb"-?\d+\.\d\xc2\xb0C", data[27:])


def test_the_imu_posts_five_times_a_second_and_never_more_often() -> None:
    for period_s in (5.0, 0.01):
        node = booted(imu=True, period_s=period_s)
        sent(node, 0.0)
        count = 0
        while node.get_timer() < 10.0:
            count += len(sent(node, node.get_timer()))
        assert count == pytest.approx(10.0 / IMU_PERIOD_MIN_S, abs=1)


def test_readings_missed_during_a_suspend_are_skipped() -> None:
    node = booted(temperature=True)
    sent(node, 0.0)
    assert len(sent(node, 3600.0)) == 2  # one alive, one reading
    assert node.get_timer() == pytest.approx(3605.0)


def test_values_have_the_form_of_real_readings_and_move_slowly() -> None:
    forms = {
        "temperature": r"-?\d+\.\d°C",
        "pressure": r"\d+\.\d\dhPa",
        "humidity": r"\d+\.\d\d%",
        "illuminance": r"\d+lx",
    }
    config = dict.fromkeys((*forms, "position", "imu"), True)
    node = booted(**config)
    seen: dict[str, list[str]] = {}
    for _ in range(20_000):
        for message in sent(node, node.get_timer()):
            if message.uri_path == ("server",):
                name, _, value = message.payload.decode().partition(":")
                seen.setdefault(name, []).append(value)
    for name, form in forms.items():
        assert all(re.fullmatch(form, value) for value in seen[name])
        numbers = [float(re.sub(r"[^\d.-]", "", value)) for value in seen[name]]
        assert len(set(numbers)) > 10
        assert max(abs(b - a) for a, b in itertools.pairwise(numbers)) < 50
    for value in seen["position"]:
        place = json.loads(value)
        assert 48.7 <= place["lat"] <= 48.73
        assert 2.19 <= place["lng"] <= 2.22
        assert len(value) < 64
    for value in seen["imu"]:
        acc, gyro = json.loads(value)
        assert (acc["type"], gyro["type"]) == ("acc", "gyro")
        assert all(isinstance(axis, int) for axis in acc["values"] + gyro["values"])
        assert " " not in value


def test_a_board_without_a_random_generator_reboots_with_the_same_ids_and_tokens() -> None:
    first, second = booted(seed=3), booted(seed=3)
    assert transmit(first, 0.0) == transmit(second, 9.0)
    assert transmit(first, 0.0) != transmit(booted(seed=4), 0.0)


def test_a_node_without_uid_gets_15_upper_case_hex_digits() -> None:
    uids = {SimulatedCoapNode(CoapNodeConfig(), rng=random.Random(n)).uid for n in range(200)}
    assert len(uids) == 200
    assert all(re.fullmatch(r"[0-9A-F]{15}", uid) for uid in uids)


# CON posts


def con_sends(node: SimulatedCoapNode, until: float) -> dict[bytes, list[float]]:
    sends: dict[bytes, list[float]] = {}
    now = 0.0
    while now < until:
        for data, peer in transmit(node, now):
            assert peer is None
            sends.setdefault(data, []).append(now)
        now = node.get_timer()
    return sends


def test_con_posts_are_retransmitted_four_times_and_then_given_up() -> None:
    node = booted(confirmable=True, alive_period_s=86400.0)
    sends = con_sends(node, 1000.0)
    assert len(sends) == 2
    for data, times in sends.items():
        assert CoapMessage.from_bytes(data).mtype == CON
        gaps = [b - a for a, b in itertools.pairwise(times)]
        assert len(times) == 1 + MAX_RETRANSMIT
        assert 2.0 <= gaps[0] <= 3.0
        assert gaps[1:] == pytest.approx([gaps[0] * 2, gaps[0] * 4, gaps[0] * 8])
    assert node.get_timer() == 86400.0


@pytest.mark.parametrize(
    "answer",
    [
        CoapMessage(ACK, Code.CHANGED, 0),
        CoapMessage(ACK, Code.EMPTY, 0),
        CoapMessage(RST, Code.EMPTY, 0),
        CoapMessage(ACK, Code.SERVICE_UNAVAILABLE, 0),
    ],
)
def test_an_acknowledged_con_post_is_not_retransmitted(answer: CoapMessage) -> None:
    node = booted(confirmable=True, alive_period_s=86400.0)
    reset, alive = sent(node, 0.0)
    token = reset.token if answer.code else b""
    acknowledged = CoapMessage(answer.mtype, answer.code, reset.message_id, token)
    node.receive_datagram(acknowledged.to_bytes(), PEER, now=0.1)
    assert set(con_sends(node, 1000.0)) == {alive.to_bytes()}


@pytest.mark.parametrize(("mtype", "acknowledged"), [(CON, True), (NON, False)])
def test_a_separate_response_ends_the_retransmission(
    mtype: MessageType, acknowledged: bool
) -> None:
    node = booted(confirmable=True, alive_period_s=86400.0)
    reset, alive = sent(node, 0.0)
    response = CoapMessage(mtype, Code.CHANGED, 0x7777, reset.token)
    node.receive_datagram(response.to_bytes(), PEER, now=0.1)
    expected = [Datagram(CoapMessage(ACK, 0, 0x7777).to_bytes(), PEER)] if acknowledged else []
    assert transmit(node, 0.1) == expected
    assert set(con_sends(node, 1000.0)) == {alive.to_bytes()}


def test_con_posts_in_flight_are_bounded() -> None:
    node = booted(confirmable=True, temperature=True, period_s=0.01)
    sent(node, 0.0)
    messages: set[bytes] = set()
    now = 0.0
    while now < 1.0:
        now = max(now + 0.001, node.get_timer())
        messages |= {data for data, _ in transmit(node, now)}
    assert len(messages) == UNACKNOWLEDGED_MAX - 2


def test_answers_to_non_posts_are_not_acknowledged() -> None:
    node = quiet()
    for message in (
        CoapMessage(NON, Code.CHANGED, 1, b"xx"),
        CoapMessage(ACK, Code.CHANGED, 1, b"xx"),
        CoapMessage(RST, Code.EMPTY, 1),
        CoapMessage(NON, Code.EMPTY, 1),
    ):
        node.receive_datagram(message.to_bytes(), PEER, now=0.1)
        assert transmit(node, 0.1) == []


# Requests


def test_well_known_core_lists_the_resources_in_the_form_of_the_firmware() -> None:
    node = quiet(led=True, name="board 7")
    [answer] = send_request(node, Code.GET, ".well-known/core", mid=0x1234)
    assert answer == CoapMessage(
        ACK,
        Code.CONTENT,
        0x1234,
        b"tok",
        ((OptionNumber.CONTENT_FORMAT, b"\x28"),),
        b"</board>,</led>,</mcu>,</name>,</os>,</vendor>,</version>",
    )


def test_every_resource_can_be_read() -> None:
    everything = dict.fromkeys((*SENSORS, *ACTUATORS), True)
    node = quiet(name="Salon é", version="1.2", **everything)
    [core] = send_request(node, Code.GET, ".well-known/core")
    listed = [link.strip("</>") for link in core.payload.decode().split(",")]
    assert listed == sorted([*everything, "board", "mcu", "name", "os", "vendor", "version"])
    read = {}
    for name in listed:
        [answer] = send_request(node, Code.GET, name)
        assert (answer.mtype, answer.code) == (ACK, Code.CONTENT)
        assert answer.options == ((OptionNumber.CONTENT_FORMAT, b""),)
        read[name] = answer.payload.decode()
    assert read == node.values
    assert (read["os"], read["name"], read["version"]) == ("riot", "Salon é", "1.2")
    assert (read["led"], read["robot"]) == ("0", "s")


@pytest.mark.parametrize(
    ("config", "board"), [({}, b"native"), ({"board": "samr21-xpro"}, b"samr21-xpro")]
)
def test_board_is_set_by_the_config(config: dict[str, str], board: bytes) -> None:
    [answer] = send_request(quiet(**config), Code.GET, "board")
    assert answer.payload == board


@pytest.mark.parametrize(("value", "previous"), [("1", "0"), ("0", "0")])
def test_the_led_is_switched_answered_and_then_notified(value: str, previous: str) -> None:
    node = quiet(led=True)
    assert node.values["led"] == previous
    answer, notification = send_request(node, Code.PUT, "led", value.encode(), mid=9)
    assert (answer.mtype, answer.code, answer.message_id) == (ACK, Code.CHANGED, 9)
    assert answer.payload == notification.payload == f"led:{value}".encode()
    assert (notification.mtype, notification.code) == (NON, Code.POST)
    assert notification.uri_path == ("server",)
    assert node.values["led"] == value


@pytest.mark.parametrize("payload", [b"", b"2", b"on", b"11", b"1\0", b"1\n", b"\xff", b" 1"])
def test_the_led_refuses_anything_but_one_byte_0_or_1(payload: bytes) -> None:
    node = quiet(led=True)
    [answer] = send_request(node, Code.PUT, "led", payload)
    assert (answer.mtype, answer.code) == (ACK, Code.BAD_REQUEST)
    assert node.values["led"] == "0"


@pytest.mark.parametrize("way", "ulrs")
def test_the_robot_accepts_directions_and_notifies(way: str) -> None:
    node = quiet(robot=True)
    answer, notification = send_request(node, Code.PUT, "robot", way.encode())
    assert (answer.code, answer.payload) == (Code.CHANGED, b"")
    assert notification.payload == f"robot:{way}".encode()


@pytest.mark.parametrize("payload", [b"x", b"", b"ul", b"U"])
def test_the_robot_refuses_other_values(payload: bytes) -> None:
    [answer] = send_request(quiet(robot=True), Code.PUT, "robot", payload)
    assert answer.code == Code.BAD_REQUEST


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"0:0:0\n", Code.CHANGED),
        (b"-255:255:12\n", Code.CHANGED),
        (b"1:2:3", Code.CHANGED),
        (b"256:0:0\n", Code.BAD_REQUEST),
        (b"0:-256:0\n", Code.BAD_REQUEST),
        (b"0:0\n", Code.BAD_REQUEST),
        (b"a:b:c\n", Code.BAD_REQUEST),
        (b"", Code.BAD_REQUEST),
    ],
)
def test_the_ribot_accepts_three_speeds(payload: bytes, code: Code) -> None:
    node = quiet(ribot=True)
    [answer] = send_request(node, Code.PUT, "ribot", payload)
    assert answer.code == code
    assert node.values["ribot"] == (payload.decode() if code == Code.CHANGED else "0:0:0\n")


@pytest.mark.parametrize("code", [Code.GET, Code.PUT, Code.POST, Code.DELETE])
@pytest.mark.parametrize("path", ["nothing", "led", "", "led/", "board/x", ".well-known"])
def test_an_unknown_path_is_not_found(path: str, code: Code) -> None:
    [answer] = send_request(quiet(), code, path)
    assert (answer.mtype, answer.code, answer.payload) == (ACK, Code.NOT_FOUND, b"")


@pytest.mark.parametrize(
    ("code", "path"),
    [
        (Code.POST, "led"),
        (Code.DELETE, "led"),
        (Code.FETCH, "led"),
        (0x1F, "led"),
        (Code.PUT, "board"),
        (Code.PUT, "temperature"),
        (Code.PUT, ".well-known/core"),
    ],
)
def test_a_wrong_method_is_not_allowed(code: int, path: str) -> None:
    [answer] = send_request(quiet(led=True, temperature=True), code, path, b"1")
    assert answer.code == Code.METHOD_NOT_ALLOWED


def test_a_request_over_the_limit_of_the_board_is_too_large() -> None:
    node = quiet(led=True)
    overhead = len(CoapMessage(CON, 3, 1, b"tok", ((11, b"led"),), b"x").to_bytes()) - 1
    [fits] = send_request(node, Code.PUT, "led", bytes(REQUEST_BYTES_MAX - overhead))
    [too_large] = send_request(node, Code.PUT, "led", bytes(REQUEST_BYTES_MAX - overhead + 1))
    assert fits.code == Code.BAD_REQUEST
    assert (too_large.code, too_large.options) == (Code.REQUEST_ENTITY_TOO_LARGE, ())


@pytest.mark.parametrize("number", [1, 5, 9, 13, 19, 21, 2001, 65535])
def test_an_unknown_critical_option_is_a_bad_option(number: int) -> None:
    node = quiet(led=True)
    [answer] = send_request(node, Code.PUT, "led", b"1", (number, b"x"))
    assert answer.code == Code.BAD_OPTION
    assert node.values["led"] == "0"
    assert send_request(node, Code.PUT, "led", b"1", (number, b"x"), mtype=NON) == []  # 5.4.1
    assert node.values["led"] == "0"


@pytest.mark.parametrize("number", [4, 6, 12, 14, 16, 28, 60, 252, 258, 292, 2000])
def test_an_unknown_elective_option_is_ignored(number: int) -> None:
    answer, _ = send_request(quiet(led=True), Code.PUT, "led", b"1", (number, b""))
    assert answer.code == Code.CHANGED


def test_uri_host_port_and_query_are_supported() -> None:
    options = ((3, "board.local"), (7, 5683), (15, "rt=core.rd"), (17, 40))
    [answer] = send_request(quiet(), Code.GET, ".well-known/core", b"", *options)
    assert answer.code == Code.CONTENT


@pytest.mark.parametrize("option", [(35, "coap://x/"), (39, "http")])
def test_proxying_is_not_supported(option: tuple[int, str]) -> None:
    [answer] = send_request(quiet(), Code.GET, "name", b"", option)
    assert answer.code == Code.PROXYING_NOT_SUPPORTED


def test_another_content_format_is_not_acceptable() -> None:
    node = quiet()
    for path, accepted in (("name", ContentFormat.JSON), (".well-known/core", ContentFormat.TEXT)):
        [answer] = send_request(node, Code.GET, path, b"", (OptionNumber.ACCEPT, accepted))
        assert answer.code == Code.NOT_ACCEPTABLE


def test_a_path_that_is_not_utf_8_is_a_bad_option() -> None:
    [answer] = send_request(quiet(), Code.GET, "name", b"", (OptionNumber.URI_PATH, b"\xff"))
    assert answer.code == Code.BAD_OPTION


def test_a_non_request_gets_a_non_answer_with_a_message_id_of_the_node() -> None:
    node = quiet(led=True)
    answer, notification = send_request(node, Code.PUT, "led", b"1", mtype=NON, mid=1)
    assert (answer.mtype, answer.code, answer.token) == (NON, Code.CHANGED, b"tok")
    assert notification.message_id == answer.message_id + 1


# Messages below requests


def test_a_ping_is_reset() -> None:
    node = quiet()
    node.receive_datagram(bytes.fromhex("40 00 1234"), PEER, now=0.1)
    assert transmit(node, 0.1) == [Datagram(bytes.fromhex("70 00 1234"), PEER)]


@pytest.mark.parametrize(
    ("wire", "answer"),
    [
        ("49 01 1234 000000000000000000", "70 00 1234"),  # token length 9
        ("40 01 1234 ff", "70 00 1234"),  # payload marker without payload
        ("40 21 1234", "70 00 1234"),  # 1.01, a reserved class
        ("40 e1 1234", "70 00 1234"),  # 7.01
        ("41 45 1234 99", "70 00 1234"),  # a response without a request
        ("59 01 1234 000000000000000000", None),
        ("50 21 1234", None),
        ("51 45 1234 99", None),
        ("60 01 1234", None),  # a request in an ACK
        ("80 01 1234", None),  # version 2
        ("40 01 12", None),
        ("", None),
    ],
)
def test_invalid_messages_are_reset_or_ignored(wire: str, answer: str | None) -> None:
    node = quiet()
    node.receive_datagram(bytes.fromhex(wire), PEER, now=0.1)
    expected = [Datagram(bytes.fromhex(answer), PEER)] if answer else []
    assert transmit(node, 0.1) == expected


def test_a_duplicate_gets_the_same_answer_and_is_not_executed_twice() -> None:
    node = quiet(led=True)
    answer, notification = send_request(node, Code.PUT, "led", b"1", mid=7)
    assert notification.payload == b"led:1"
    node.values["led"] = "changed meanwhile"
    assert send_request(node, Code.PUT, "led", b"1", mid=7) == [answer]
    assert node.values["led"] == "changed meanwhile"


def test_a_duplicate_non_request_is_ignored() -> None:
    node = quiet(led=True)
    assert len(send_request(node, Code.PUT, "led", b"1", mid=7, mtype=NON)) == 2
    assert send_request(node, Code.PUT, "led", b"1", mid=7, mtype=NON) == []


def test_the_same_message_id_of_another_peer_is_no_duplicate() -> None:
    node = quiet(led=True)
    send_request(node, Code.PUT, "led", b"1", mid=7)
    assert len(send_request(node, Code.PUT, "led", b"1", mid=7, peer=("127.0.0.1", 40001))) == 2


@pytest.mark.parametrize(("later_s", "executed"), [(246.9, False), (247.1, True)])
def test_duplicates_are_recognised_for_247_seconds(later_s: float, executed: bool) -> None:
    node = quiet(led=True)
    send_request(node, Code.PUT, "led", b"1", mid=7, now=1.0)
    assert (
        len(send_request(node, Code.PUT, "led", b"1", mid=7, now=1.0 + later_s)) == 2
    ) is executed


def test_the_oldest_answer_is_discarded_at_the_limit() -> None:
    node = quiet(led=True)
    for mid in range(RESPONSES_MAX + 1):
        send_request(node, Code.PUT, "led", b"1", mid=mid)
    assert len(node._server._answers) == RESPONSES_MAX
    assert len(send_request(node, Code.PUT, "led", b"1", mid=1)) == 1  # still known
    assert len(send_request(node, Code.PUT, "led", b"1", mid=0)) == 2  # forgotten


def test_a_reboot_clears_the_memory() -> None:
    node = quiet(led=True, confirmable=True)
    send_request(node, Code.PUT, "led", b"1", mid=7)
    node.boot(now=1.0)
    reset, alive = sent(node, 1.0)
    assert reset.payload.startswith(b"reset:")
    assert alive.payload.startswith(b"alive:")
    assert len(send_request(node, Code.PUT, "led", b"1", mid=7, now=1.0)) == 2
    assert len(node._poster._posts._unacknowledged) == 3


# Block-wise


@pytest.mark.parametrize("szx", range(7))
def test_an_answer_in_blocks_has_blocks_of_at_most_64_bytes(szx: int) -> None:
    node = quiet(imu=True, position=True)
    [whole] = send_request(node, Code.GET, "imu")
    assert whole.option(OptionNumber.BLOCK2) is None
    body, blocks = download(node, "imu", Block(0, False, szx))
    assert body == whole.payload
    assert len(body) > 64
    assert {block.size for block in blocks} == {min(16 << szx, 64)}
    assert len(blocks) == -(-len(body) // min(16 << szx, 64))


def test_an_answer_over_1024_bytes_comes_in_blocks_always() -> None:
    node = quiet(js=True)
    script = "".join(f"print({n});\n" for n in range(400))
    node.values["js"] = script
    body, blocks = download(node, "js", None)
    assert body.decode() == script
    assert {block.size for block in blocks} == {1024}
    node.values["js"] = "x" * 1024
    body, blocks = download(node, "js", None)
    assert (body, blocks) == (b"x" * 1024, [])


def test_the_etag_distinguishes_blocks_of_different_values() -> None:
    node = quiet(js=True)
    tags = set()
    for text in ("a" * 100, "b" * 100):
        node.values["js"] = text
        for num in (0, 1):
            [answer] = send_request(node, Code.GET, "js", b"", block2(num, 2))
            tags.add(answer.option(OptionNumber.ETAG))
    assert len(tags) == 2


def test_a_block_beyond_the_end_is_a_bad_request() -> None:
    [answer] = send_request(quiet(name="x" * 64), Code.GET, "name", b"", block2(1, 2))
    assert answer.code == Code.BAD_REQUEST


def test_block_size_7_is_a_bad_request_and_a_long_block_option_is_a_bad_option() -> None:
    node = quiet(led=True)
    for number, code, path in (
        (OptionNumber.BLOCK2, Code.GET, "name"),
        (OptionNumber.BLOCK1, Code.PUT, "led"),
    ):
        [reserved] = send_request(node, code, path, b"1", (number, b"\x07"))
        [long] = send_request(node, code, path, b"1", (number, bytes(4)))
        assert (reserved.code, long.code) == (Code.BAD_REQUEST, Code.BAD_OPTION)


@pytest.mark.parametrize("szx", range(7))
def test_a_script_is_written_in_blocks(szx: int) -> None:
    node = quiet(js=True)
    script = ("// é\n" * 500).encode()
    *earlier, last = upload(node, "js", script, szx)
    assert {answer.code for answer in earlier} == {Code.CONTINUE}
    assert [block_of(answer, OptionNumber.BLOCK1).num for answer in earlier] == list(
        range(len(earlier))
    )
    assert all(block_of(answer, OptionNumber.BLOCK1).more for answer in earlier)
    assert last.code == Code.CHANGED
    assert block_of(last, OptionNumber.BLOCK1) == Block(len(earlier), False, szx)
    assert node.values["js"].encode() == script
    assert node._server._uploads == {}


def test_a_short_script_is_written_at_once() -> None:
    node = quiet(js=True)
    [answer] = send_request(node, Code.PUT, "js", b"print(1)")
    assert answer.code == Code.CHANGED
    assert node.values["js"] == "print(1)"


def test_a_script_that_is_not_utf_8_is_a_bad_request() -> None:
    [answer] = send_request(quiet(js=True), Code.PUT, "js", b"\xff\xfe")
    assert answer.code == Code.BAD_REQUEST


@pytest.mark.parametrize(
    ("size", "code"),
    [(SCRIPT_BYTES_MAX, Code.CHANGED), (SCRIPT_BYTES_MAX + 1, Code.REQUEST_ENTITY_TOO_LARGE)],
)
def test_a_script_has_at_most_64_kilobytes(size: int, code: Code) -> None:
    node = quiet(js=True)
    *_, last = upload(node, "js", b"x" * size, 6)
    assert last.code == code
    assert node._server._uploads == {}


def test_a_script_with_a_too_large_size1_is_refused_at_its_first_block() -> None:
    size1 = (OptionNumber.SIZE1, SCRIPT_BYTES_MAX + 1)
    first = block1(0, 6, more=True)
    [answer] = send_request(quiet(js=True), Code.PUT, "js", bytes(1024), first, size1)
    assert answer.code == Code.REQUEST_ENTITY_TOO_LARGE


def test_the_answer_to_a_too_large_datagram_suggests_a_block_size() -> None:
    [answer] = send_request(quiet(js=True), Code.PUT, "js", bytes(1300))
    assert answer.code == Code.REQUEST_ENTITY_TOO_LARGE
    assert block_of(answer, OptionNumber.BLOCK1).size == 1024


def test_a_missing_block_makes_the_body_incomplete() -> None:
    node = quiet(js=True)
    assert (
        send_request(node, Code.PUT, "js", bytes(16), block1(0, 0, more=True))[0].code
        == Code.CONTINUE
    )
    [answer] = send_request(node, Code.PUT, "js", bytes(16), block1(2, 0, more=False))
    assert answer.code == Code.REQUEST_ENTITY_INCOMPLETE
    [after] = send_request(node, Code.PUT, "js", bytes(16), block1(1, 0, more=False))
    assert after.code == Code.REQUEST_ENTITY_INCOMPLETE
    assert node.values["js"] == ""


def test_a_repeated_block_is_not_counted_twice() -> None:
    node = quiet(js=True)
    first = send_request(node, Code.PUT, "js", b"a" * 16, block1(0, 0, more=True), mid=1)
    assert send_request(node, Code.PUT, "js", b"a" * 16, block1(0, 0, more=True), mid=1) == first
    send_request(node, Code.PUT, "js", b"b", block1(1, 0, more=False), mid=2)
    assert node.values["js"] == "a" * 16 + "b"


def test_a_restarted_body_replaces_the_unfinished_one() -> None:
    node = quiet(js=True)
    send_request(node, Code.PUT, "js", b"a" * 16, block1(0, 0, more=True))
    list(upload(node, "js", b"c" * 20, 0))
    assert node.values["js"] == "c" * 20


@pytest.mark.parametrize(("size", "more"), [(15, True), (17, True), (17, False)])
def test_a_block_of_the_wrong_size_is_a_bad_request(size: int, more: bool) -> None:
    [answer] = send_request(quiet(js=True), Code.PUT, "js", bytes(size), block1(0, 0, more=more))
    assert answer.code == Code.BAD_REQUEST


def test_the_oldest_unfinished_body_is_discarded_at_the_limit() -> None:
    node = quiet(js=True)
    peers = [("127.0.0.1", port) for port in range(UPLOADS_MAX + 1)]
    for peer in peers:
        send_request(node, Code.PUT, "js", b"a" * 16, block1(0, 0, more=True), peer=peer)
    assert len(node._server._uploads) == UPLOADS_MAX
    [newest] = send_request(node, Code.PUT, "js", b"b", block1(1, 0, more=False), peer=peers[-1])
    [oldest] = send_request(node, Code.PUT, "js", b"b", block1(1, 0, more=False), peer=peers[0])
    assert (newest.code, oldest.code) == (Code.CHANGED, Code.REQUEST_ENTITY_INCOMPLETE)


def test_an_unfinished_body_expires_after_247_seconds() -> None:
    node = quiet(js=True)
    send_request(node, Code.PUT, "js", b"a" * 16, block1(0, 0, more=True), now=1.0)
    [answer] = send_request(node, Code.PUT, "js", b"b", block1(1, 0, more=False), now=248.5)
    assert answer.code == Code.REQUEST_ENTITY_INCOMPLETE


def test_a_short_value_may_be_sent_as_a_block() -> None:
    node = quiet(led=True)
    answer, notification = send_request(node, Code.PUT, "led", b"1", block1(0, 2, more=False))
    assert (answer.code, notification.payload) == (Code.CHANGED, b"led:1")
    assert block_of(answer, OptionNumber.BLOCK1) == Block(0, False, 2)
    *_, last = upload(node, "led", b"1" * 1025, 2)
    assert last.code == Code.REQUEST_ENTITY_TOO_LARGE


# Arbitrary datagrams


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_datagrams_leave_the_node_working(datagrams: list[bytes]) -> None:
    node = quiet(led=True, js=True)
    for datagram in datagrams:
        node.receive_datagram(datagram, PEER, now=0.1)
    for data, _ in transmit(node, 0.1):
        CoapMessage.from_bytes(data)
    [answer] = send_request(node, Code.GET, "os", peer=("127.0.0.1", 40001))
    assert answer.payload == b"riot"


@given(st.data())
def test_a_request_with_one_wrong_byte_leaves_the_node_working(data: st.DataObject) -> None:
    node = quiet(led=True, js=True)
    request = CoapMessage(
        CON, Code.PUT, 1, b"tok", build_options((11, "js"), block1(0, 0, more=True)), bytes(16)
    )
    wire = bytearray(request.to_bytes())
    wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    node.receive_datagram(bytes(wire), PEER, now=0.1)
    for sent_data, _ in transmit(node, 0.1):
        CoapMessage.from_bytes(sent_data)
