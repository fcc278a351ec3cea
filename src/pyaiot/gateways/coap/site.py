# SPDX-License-Identifier: BSD-3-Clause
"""aiocoap's site of resources, which is no proxy. Other options are looked at before."""

from typing import Any, Final

import aiocoap
from aiocoap.resource import Site

from pyaiot.protocols.coap.numbers import OptionNumber

_OF_PROXIES: Final = frozenset({OptionNumber.PROXY_URI, OptionNumber.PROXY_SCHEME})


class _ProxyingNotSupported(aiocoap.error.ConstructionRenderableError):  # type: ignore[misc]
    code = aiocoap.PROXYING_NOT_SUPPORTED


class StrictSite(Site):  # type: ignore[misc]  # aiocoap has no types
    """Is no proxy, and sends no answer of a class that the client does not want."""

    async def render_to_pipe(self, request: Any) -> None:
        suppressed = request.request.opt.no_response
        if suppressed:
            _suppress(request, suppressed)
        for option in request.request.opt.option_list():
            if option.number in _OF_PROXIES:  # RFC 7252 section 5.10.2
                raise _ProxyingNotSupported
        await super().render_to_pipe(request)


def _suppress(pipe: Any, classes: int) -> None:
    """RFC 7967: mark the answers of these classes (bits) as unwanted, which the socket heeds.

    aiocoap's own way does not know errors, and makes a message in a manner that it warns of.
    """
    add_response = pipe.add_response

    def add(response: aiocoap.Message, *args: Any, **named: Any) -> None:
        response.opt.no_response = None
        response.is_unwanted = bool(classes >> response.code.class_ - 1 & 1)
        add_response(response, *args, **named)

    pipe.add_response = add
