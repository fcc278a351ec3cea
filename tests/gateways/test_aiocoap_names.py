# SPDX-License-Identifier: BSD-3-Clause
"""The internals of aiocoap are used in one file, so that its releases can break nothing else."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADAPTER = ROOT / "src" / "pyaiot" / "gateways" / "coap" / "aiocoap_adapter.py"
INTERNALS = (
    *("_active_exchanges", "_append_tokenmanaged_messagemanaged_transport", "_ctx"),
    "_render_to_pipe",
    *("_next_message_id", "_original_request_uri"),
    *("_plainaddress_local", "_recent_messages", "_retransmit"),
    *("dispatch_error", "dispatch_message", "incoming_requests", "message_interface"),
    *("outgoing_requests", "request_interfaces", "token_interface", "token_manager"),
)
OWN = {"_next_message_id": "gateways/coap/requests.py"}
"""Names that another file uses for something else."""


def reads_aiocoap(path: Path, text: str) -> bool:
    return "aiocoap" in text or path.parent == ADAPTER.parent


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks"])
def test_internals_of_aiocoap_are_used_in_the_adapter_only(folder: str) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.py")}
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, text in texts.items()
        if path not in (ADAPTER, Path(__file__)) and reads_aiocoap(path, text)
        for name in INTERNALS
        if re.search(rf"\.{name}\b", text) and not str(path).endswith(OWN.get(name, "\0"))
    ]
    assert not found


def test_list_is_complete() -> None:
    """Private attributes in the adapter are its own or on the list."""
    text = ADAPTER.read_text(encoding="utf-8")
    assert set(re.findall(r"(?<!self)\.(_[a-z]\w+)", text)) <= set(INTERNALS)
    assert set(re.findall(r"self\.(_[a-z]\w+)", text)) <= set(INTERNALS)
