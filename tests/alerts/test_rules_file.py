# SPDX-License-Identifier: BSD-3-Clause
"""The file of alerts: what it has, and the sentence where it is not valid."""

from pathlib import Path

import pytest

from pyaiot.alerts.channels import check_channels
from pyaiot.alerts.rules_file import read_alerts_file
from pyaiot.errors import OperatorError

GOOD = """
[channels]
phone = "ntfy://topic"

[rules.warm]
title = "Too warm"
when = "above"
resource = "temperature"
limit = 30
for = "5m"
"""


def test_channels_and_rules_are_read(tmp_path: Path) -> None:
    path = tmp_path / "alerts.toml"
    path.write_text(GOOD, "utf-8-sig")  # with a byte order mark, as an editor of Windows does

    found = read_alerts_file(path)

    assert found.channels == {"phone": "ntfy://topic"}
    assert found.rules["warm"].for_s == 300.0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x", "is not TOML"),
        ("[rule.a]\n", r"there is no table \[rule\]"),
        ("channels = 3\n", "a channel is a line such as"),
        ('[channels]\nphone = "0123"\n', "a channel is a line such as"),
        ('[channels]\n"My phone" = "ntfy://x"\n', "not a valid name of a channel"),
        ("[rules]\nwarm = 3\n", r"a rule is a table \[rules.NAME\]"),
        ('[rules.warm]\nwhen = "hot"\n', "the rule warm is not valid"),
    ],
)
def test_an_invalid_file_is_refused_with_one_sentence(
    tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "alerts.toml"
    path.write_text(text)

    with pytest.raises(OperatorError, match=sentence) as caught:
        read_alerts_file(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="cannot be read: No such file or directory"):
        read_alerts_file(tmp_path / "no.toml")


def test_a_url_of_no_service_is_refused_without_showing_it() -> None:
    with pytest.raises(OperatorError, match="does not support the URL of the channel phone") as it:
        check_channels({"phone": "nothing://user:geheim@example.org"})
    assert "geheim" not in str(it.value)


def test_urls_of_known_services_are_accepted() -> None:
    check_channels({"phone": "ntfy://topic", "mail": "mailtos://u:p@example.org?to=a@example.org"})
