# SPDX-License-Identifier: BSD-3-Clause
"""The certificates of the system, read when a connection needs them.

aiohttp reads them twice when it is imported: 20 to 40 ms and 2 MB where OpenSSL has a file with all
of them, as on Debian. Most services never connect to another host over TLS.
"""

import functools
import mimetypes
import ssl
from typing import Final

from pyaiot.transport.tls import client_context

_READS_CERTIFICATES: Final = "set_default_verify_paths"
"""The method of a context that does so."""


def import_aiohttp() -> None:
    """Import aiohttp without certificates, in a program whose sessions all are of `resolver`, and
    without the table of file types of the system, which takes 0.4 MB.

    Other sessions trust no server then.
    """
    mimetypes.knownfiles.clear()  # what is left are the types that Python knows itself
    setattr(ssl.SSLContext, _READS_CERTIFICATES, lambda _context: None)
    try:
        import aiohttp  # noqa: F401, PLC0415 - see above
    finally:
        delattr(ssl.SSLContext, _READS_CERTIFICATES)  # that of its base class again


@functools.cache
def system_trust() -> ssl.SSLContext:
    """A context with the certificates of the system, made once."""
    context = client_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
