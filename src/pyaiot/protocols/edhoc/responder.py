# SPDX-License-Identifier: BSD-3-Clause
"""The responder of EDHOC: method 3 (static Diffie-Hellman keys), cipher suite 2. Pure.

Uses lakers, which is loaded when the first handshake begins. It has no wheels for ARM.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from pyaiot.errors import NotInstalled, ProtocolError
from pyaiot.protocols.edhoc import messages
from pyaiot.protocols.edhoc.credentials import check_share
from pyaiot.protocols.edhoc.messages import ErrorCode

if TYPE_CHECKING:
    import lakers

_OSCORE_SECRET_SIZE: Final = 16
_OSCORE_SALT_SIZE: Final = 8
_OSCORE_SECRET_LABEL: Final = 0
_OSCORE_SALT_LABEL: Final = 1
# Exceptions of lakers contain the error of its Rust code, such as
# "EDHOCError::UnsupportedCipherSuite".
_WRONG_SUITE: Final = "UnsupportedCipherSuite"
_PANIC: Final = "PanicException"

T = TypeVar("T")


class EdhocRefused(ProtocolError):
    """A message that ends the handshake. `answer` is the error message to send to the peer."""

    def __init__(self, text: str, code: ErrorCode = ErrorCode.UNSPECIFIED) -> None:
        super().__init__(text)
        self.answer = messages.write_error(code, text)


class DerivedKeys(NamedTuple):
    """The OSCORE context that both endpoints have derived (RFC 9528 Appendix A.1)."""

    secret: bytes
    salt: bytes
    sender_id: bytes
    """The connection identifier of this endpoint, which the peer has chosen."""
    recipient_id: bytes


def check_available() -> None:
    """Raises `NotInstalled` if lakers is not installed."""
    if find_spec("lakers") is None:
        raise NotInstalled(
            "EDHOC needs the package lakers-python, which has wheels for Linux on x86-64 and for"
            " Macs: install it with pip install 'pyaiot[edhoc]'."
        )


class EdhocHandshake:
    """A handshake with a peer that has sent a first message."""

    def __init__(self, private_key: bytes, its_credential: bytes, message_1: bytes) -> None:
        """`private_key` and `its_credential`: of this endpoint. Raises `EdhocRefused`."""
        import lakers  # noqa: PLC0415  # an extra, and 2 MB

        # For messages that fail these checks, lakers panics and writes to standard error.
        _checked(lambda: check_share(messages.public_share(message_1)), "message_1 is not valid")
        self._responder: lakers.EdhocResponder = lakers.EdhocResponder(private_key, its_credential)
        self._by_reference = lakers.CredentialTransfer.ByReference
        self._identifier = b""
        self._last = b""
        identifier, extra = _call(
            lambda: self._responder.process_message_1(message_1), "message_1 is not valid"
        )
        self.peers_identifier: Final[bytes] = identifier
        """The connection identifier of the peer. This endpoint must use a different one."""
        _check_extra(extra)

    def message_2(self, identifier: bytes) -> bytes:
        """The answer to the first message. `identifier`: the connection identifier of this
        endpoint, which the OSCORE context uses as well: 1 to 7 bytes. Call it once."""
        self._identifier = identifier
        message: bytes = _call(
            lambda: self._responder.prepare_message_2(self._by_reference, identifier, None),
            "no message_2",
        )
        return message

    def finish(self, message_3: bytes, find: Callable[[bytes], bytes | None]) -> DerivedKeys:
        """Process the third message, which proves the identity of the peer. `find` returns the
        credential of the peer for its ID_CRED in CBOR; None if it is unknown. Raises
        `EdhocRefused`. Call it once."""
        responder = self._responder
        _checked(lambda: messages.check_message_3(message_3), "message_3 is not valid")
        id_credential, extra = _call(
            lambda: responder.parse_message_3(message_3), "message_3 is not valid"
        )
        _check_extra(extra)
        found = find(id_credential)
        if found is None:
            raise EdhocRefused("unknown credential", ErrorCode.UNKNOWN_CREDENTIAL)
        _call(lambda: responder.verify_message_3(found), "wrong credential")
        self._last = _call(responder.prepare_message_4, "no message_4")
        return DerivedKeys(
            responder.edhoc_exporter(_OSCORE_SECRET_LABEL, [], _OSCORE_SECRET_SIZE),
            responder.edhoc_exporter(_OSCORE_SALT_LABEL, [], _OSCORE_SALT_SIZE),
            self.peers_identifier,
            self._identifier,
        )

    @property
    def message_4(self) -> bytes:
        """The answer to the third message, after `finish`."""
        return self._last


def _checked(check: Callable[[], None], problem: str) -> None:
    try:
        check()
    except (ProtocolError, ValueError) as error:
        raise EdhocRefused(problem) from error


def _check_extra(items: "list[lakers.EADItem] | None") -> None:
    """RFC 9528 section 3.8: unknown critical data ends the handshake."""
    if any(item.is_critical() for item in items or ()):
        raise EdhocRefused("critical EAD")


def _call(function: Callable[[], T], problem: str) -> T:
    """Call lakers. Raises `EdhocRefused` if lakers raises."""
    try:
        return function()
    except ValueError as error:
        code = ErrorCode.UNSPECIFIED
        if _WRONG_SUITE in str(error):
            code = ErrorCode.WRONG_CIPHER_SUITE
        raise EdhocRefused(problem, code) from error
    except BaseException as error:
        # A panic in Rust is not an `Exception`. It affects only this handshake.
        if type(error).__name__ != _PANIC:
            raise
        raise EdhocRefused(problem) from error
