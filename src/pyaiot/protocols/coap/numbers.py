# SPDX-License-Identifier: BSD-3-Clause
"""The numbers of CoAP, under their names in the standards."""

import enum
from typing import Final

COAP_PORT: Final = 5683  # RFC 7252 section 6.1
COAPS_PORT: Final = 5684  # RFC 7252 section 6.2
VERSION: Final = 1  # RFC 7252 section 3
TOKEN_BYTES_MAX: Final = 8  # RFC 7252 section 3
OPTION_NUMBER_MAX: Final = 65535  # RFC 7252 section 12.2
PAYLOAD_MARKER: Final = 0xFF  # RFC 7252 section 3

# RFC 7252 section 4.8
ACK_TIMEOUT_S: Final = 2.0
ACK_RANDOM_FACTOR: Final = 1.5
MAX_RETRANSMIT: Final = 4
EXCHANGE_LIFETIME_S: Final = 247.0  # RFC 7252 section 4.8.2
NON_LIFETIME_S: Final = 145.0  # RFC 7252 section 4.8.2


class MessageType(enum.IntEnum):
    """RFC 7252 section 3."""

    CON = 0
    NON = 1
    ACK = 2
    RST = 3


class Code(enum.IntEnum):
    """Methods and response codes, `class << 5 | detail`. A message may have others."""

    EMPTY = 0x00  # RFC 7252 section 4.1
    # RFC 7252 section 12.1.1
    GET = 0x01
    POST = 0x02
    PUT = 0x03
    DELETE = 0x04
    # RFC 8132 section 6
    FETCH = 0x05
    PATCH = 0x06
    IPATCH = 0x07
    # RFC 7252 section 12.1.2
    CREATED = 0x41
    DELETED = 0x42
    VALID = 0x43
    CHANGED = 0x44
    CONTENT = 0x45
    CONTINUE = 0x5F  # RFC 7959 section 2.9.1
    BAD_REQUEST = 0x80
    UNAUTHORIZED = 0x81
    BAD_OPTION = 0x82
    FORBIDDEN = 0x83
    NOT_FOUND = 0x84
    METHOD_NOT_ALLOWED = 0x85
    NOT_ACCEPTABLE = 0x86
    REQUEST_ENTITY_INCOMPLETE = 0x88  # RFC 7959 section 2.9.2
    CONFLICT = 0x89  # RFC 8132 section 6
    PRECONDITION_FAILED = 0x8C
    REQUEST_ENTITY_TOO_LARGE = 0x8D
    UNSUPPORTED_CONTENT_FORMAT = 0x8F
    UNPROCESSABLE_ENTITY = 0x96  # RFC 8132 section 6
    TOO_MANY_REQUESTS = 0x9D  # RFC 8516 section 3
    INTERNAL_SERVER_ERROR = 0xA0
    NOT_IMPLEMENTED = 0xA1
    BAD_GATEWAY = 0xA2
    SERVICE_UNAVAILABLE = 0xA3
    GATEWAY_TIMEOUT = 0xA4
    PROXYING_NOT_SUPPORTED = 0xA5


class OptionNumber(enum.IntEnum):
    """RFC 7252 section 12.2, unless noted. An odd number is critical (5.4.6)."""

    IF_MATCH = 1
    URI_HOST = 3
    ETAG = 4
    IF_NONE_MATCH = 5
    OBSERVE = 6  # RFC 7641 section 2
    URI_PORT = 7
    LOCATION_PATH = 8
    OSCORE = 9  # RFC 8613 section 2
    URI_PATH = 11
    CONTENT_FORMAT = 12
    MAX_AGE = 14
    URI_QUERY = 15
    HOP_LIMIT = 16  # RFC 8768 section 3
    ACCEPT = 17
    LOCATION_QUERY = 20
    EDHOC = 21  # RFC 9668 section 3.1
    BLOCK2 = 23  # RFC 7959 section 2.1
    BLOCK1 = 27  # RFC 7959 section 2.1
    SIZE2 = 28  # RFC 7959 section 4
    PROXY_URI = 35
    PROXY_SCHEME = 39
    SIZE1 = 60
    ECHO = 252  # RFC 9175 section 2.2
    NO_RESPONSE = 258  # RFC 7967 section 2
    REQUEST_TAG = 292  # RFC 9175 section 3.2


class ContentFormat(enum.IntEnum):
    """RFC 7252 section 12.3."""

    TEXT = 0
    LINK_FORMAT = 40
    OCTET_STREAM = 42
    JSON = 50
    CBOR = 60  # RFC 8949 section 9.2
    EDHOC = 64  # RFC 9528 section 10.7: `application/edhoc+cbor-seq`
    EDHOC_WITH_ID = 65  # the same with a connection identifier in front of the message
    SENML_JSON = 110  # RFC 8428 section 12.3
    SENML_CBOR = 112  # RFC 8428 section 12.3


_CODE_NAMES: Final = {int(code): code.name for code in Code}
_OPTION_NAMES: Final = {int(number): number.name for number in OptionNumber}


def code_text(code: int) -> str:
    """`GET` for a method, `2.05 Content` for a response, `7.03` for an unknown code."""
    number = f"{code >> 5}.{code & 0x1F:02d}"
    name = _CODE_NAMES.get(code)
    if name is None:
        return number
    return name if code < 0x20 else f"{number} {name.replace('_', ' ').title()}"


def option_text(number: int) -> str:
    """`Content-Format`, or the number of an unknown option."""
    name = _OPTION_NAMES.get(number)
    return name.replace("_", "-").title() if name else str(number)
