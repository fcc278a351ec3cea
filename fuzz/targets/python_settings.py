# SPDX-License-Identifier: BSD-3-Clause
"""Settings files of the older system."""

import tomllib

from pyaiot.config.python_file import import_python
from pyaiot.config.toml_text import toml_text
from pyaiot.errors import ProtocolError

CORPUS: list[bytes] = [
    b"broker_host = 'localhost'\nbroker_port = 8000\n",
    b"import os\nkey_file = os.environ['K']\ntitle: str = 'a'\n",
    b"coap_port = -1\nmax_time = 1e400\ndebug = not True\n",
    b"title = 'a' 'b'\\\n",
    b"x = [[[[",
]


def fuzz_one(data: bytes) -> None:
    """A file is refused, or its settings can be written as TOML."""
    try:
        imported = import_python(data)
    except ProtocolError:
        return
    tomllib.loads(toml_text(imported.values))
