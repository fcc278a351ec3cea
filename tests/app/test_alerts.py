# SPDX-License-Identifier: BSD-3-Clause
"""The file of alerts while a broker runs: it is read again, or everything stays as it was."""

from pathlib import Path

import pytest

from pyaiot.app.alerts import reload_alerts
from pyaiot.config import AlertsSection
from tests.alerts.test_service import WARM, running

COLD = '[rules.cold]\ntitle = "Too cold"\nwhen = "below"\nresource = "temperature"\nlimit = 5\n'


async def test_a_file_that_is_read_again_replaces_its_rules(tmp_path: Path) -> None:
    path = tmp_path / "alerts.toml"
    path.write_text(COLD)
    async with running({"warm": WARM}) as house:
        await house.read(31)
        reload_alerts(AlertsSection(file=str(path)), house.alerts)
        await house.read(4)

        assert house.active == ["cold a"]


async def test_a_file_that_is_not_valid_changes_nothing_and_is_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "alerts.toml"
    path.write_text("x")
    async with running({"warm": WARM}) as house:
        reload_alerts(AlertsSection(file=str(path)), house.alerts)
        await house.read(31)

        assert house.active == ["warm a"]
        assert "the alerts are unchanged: The file of alerts" in caplog.text


@pytest.mark.parametrize(("mode", "is_refused"), [(0o644, True), (0o604, True), (0o640, False)])
async def test_a_file_with_passwords_that_every_user_can_read_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, is_refused: bool
) -> None:
    pytest.importorskip("apprise")
    path = tmp_path / "alerts.toml"
    path.write_text('[channels]\nmail = "json://user:geheim@localhost"\n')
    path.chmod(mode)
    async with running({}) as house:
        reload_alerts(AlertsSection(file=str(path)), house.alerts)
        assert ("chmod 600" in caplog.text) is is_refused
        assert ("mail" in house.alerts.channels.queues) is not is_refused
        assert "geheim" not in caplog.text
