# SPDX-License-Identifier: BSD-3-Clause
"""DTLS where a process gets no memory that is writable and executable."""

import subprocess
import sys

import pytest

from pyaiot.systemd.units import Service, service_unit

DENY = """
import ctypes, sys
# prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN), of Linux 6.3: what MemoryDenyWriteExecute=yes does.
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):
    sys.exit(77)
"""
OPEN = """
from pyaiot.errors import OperatorError
from pyaiot.transport.dtls.psk_context import PskContext
try:
    PskContext.for_server(lambda _identity: None)
except OperatorError as error:
    print(error)
else:
    print("opened")
"""


def outcome(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


def test_it_is_one_sentence() -> None:
    done = outcome(DENY + OPEN)
    if done.returncode == 77:
        pytest.skip("this kernel cannot deny it")
    assert "remove MemoryDenyWriteExecute=yes from the unit file" in done.stdout, done.stderr
    assert outcome(OPEN).stdout == "opened\n"


@pytest.mark.parametrize("user", [False, True])
def test_units_do_not_deny_it(*, user: bool) -> None:
    unit = service_unit(Service("run", "Pyaiot"), ["/usr/bin/aiot"], user=user)
    assert "NoNewPrivileges=yes" in unit
    assert "MemoryDenyWriteExecute" not in unit
