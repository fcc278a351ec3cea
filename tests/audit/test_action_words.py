# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard has words for every action of the audit log, in each language."""

import re
from pathlib import Path
from typing import Final

import pytest

from pyaiot.web.auditing import ACTIONS, NOT_RECORDED

WORDS: Final = Path(__file__).parents[2] / "dashboard" / "src" / "i18n" / "audit.ts"
AS_COMMANDS: Final = {"write", "write-nodes"}
"""Each command has its own entry, `command`."""


@pytest.mark.skipif(not WORDS.exists(), reason="The sources of the dashboard are missing.")
def test_every_recorded_action_has_words_in_each_language() -> None:
    text = WORDS.read_text("utf-8")
    recorded = {
        action
        for (method, path), action in ACTIONS.items()
        if method != "GET" and path not in NOT_RECORDED
    }
    for action in (recorded - AS_COMMANDS) | {"command", "request"}:
        found = re.findall(rf'^  "action\.{re.escape(action)}": ".+",$', text, re.MULTILINE)
        assert len(found) == 3, action
