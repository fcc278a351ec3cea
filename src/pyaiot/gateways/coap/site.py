# SPDX-License-Identifier: BSD-3-Clause
"""aiocoap's site of resources, with a look at critical options first."""

from typing import Any, Final

import aiocoap
from aiocoap.resource import Site

from pyaiot.protocols.coap.numbers import OptionNumber

_HEEDED: Final = frozenset(
    {
        OptionNumber.URI_HOST,
        OptionNumber.URI_PORT,
        OptionNumber.URI_PATH,
        OptionNumber.URI_QUERY,
        OptionNumber.ACCEPT,
        OptionNumber.BLOCK1,
        OptionNumber.BLOCK2,
    }
)
_OF_PROXIES: Final = frozenset({OptionNumber.PROXY_URI, OptionNumber.PROXY_SCHEME})


class _ProxyingNotSupported(aiocoap.error.ConstructionRenderableError):  # type: ignore[misc]
    code = aiocoap.PROXYING_NOT_SUPPORTED


class StrictSite(Site):  # type: ignore[misc]  # aiocoap has no types
    """Refuses what it does not understand and should (RFC 7252 section 5.4.1)."""

    async def render_to_pipe(self, request: Any) -> None:
        for option in request.request.opt.option_list():
            if option.number in _OF_PROXIES:  # section 5.10.2
                raise _ProxyingNotSupported
            if option.number & 1 and option.number not in _HEEDED:
                raise aiocoap.error.BadOption
        await super().render_to_pipe(request)
