# SPDX-License-Identifier: BSD-3-Clause
"""First datagrams of clients that offer a pre-shared key."""

LIBCOAP_OPENSSL = bytes.fromhex(
    "16feff000000000000000000fc010000f000000000000000f0fefda6055ddbb48d83108baae09fd0fd3a134b182c"
    "b7dd38fea30b0436e20760f9720000006200ad00abccaeccadccacc0abc0a7c06fc06d00a9ccabc0a9c0a5c06b00"
    "ac00aac0aac0a6c06ec06c00a8c0a8c0a4c06ac038c03600b700b300950091c09bc099c09700af008dc095c037c0"
    "3500b600b200940090c09ac098c09600ae008cc09400ff010000640000000e000c0000093132372e302e302e3100"
    "0b000403000102000a000c000a001d0017001e00190018002300000016000000170000000d002a00280403050306"
    "03080708080809080a080b080408050806040105010601030303010302040205020602"
)
LIBCOAP_GNUTLS = bytes.fromhex(
    "16feff000000000000000000bf010000b300000000000000b3fefdb86d1cdde347f78e653ac991c8dd652cd0d306"
    "870b055011e12322de9c17489a0000001accacc036c035c03700a9ccabc0a5008d00a8c0a4008c00aec0a8010000"
    "6f000a00160014001700180019001d001e01000101010201030104000b00020100000d0022002004010809080404"
    "0308070501080a0805050308080601080b0806060302010203001600000017000000230000ff010001000000000e"
    "000c0000093132372e302e302e31001c00024000"
)


def riot(cookie: bytes = b"", *, sequence: int = 0) -> bytes:
    """As tinydtls in RIOT sends it: one cipher suite, PSK-AES128-CCM8, and no extensions."""
    body = b"\xfe\xfd" + bytes(range(100, 132)) + b"\0" + len(cookie).to_bytes(1) + cookie
    body += bytes.fromhex("0002 c0a8 01 00")
    length = len(body).to_bytes(3)
    message = b"\x01" + length + sequence.to_bytes(2) + bytes(3) + length + body
    return b"\x16\xfe\xfd\0\0" + sequence.to_bytes(6) + len(message).to_bytes(2) + message


ALL = {
    "libcoap with OpenSSL": LIBCOAP_OPENSSL,
    "libcoap with GnuTLS": LIBCOAP_GNUTLS,
    "RIOT": riot(),
}
