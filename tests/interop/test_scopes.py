# SPDX-License-Identifier: BSD-3-Clause
"""Link-local addresses: two interfaces may both have the same one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.inner_pytest import assert_passes

NAMESPACE = ("unshare", "--map-root-user", "--net")


def no_links() -> str:
    """Why this machine has no network namespaces with links for users; empty if it has."""
    for tool, package in (("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2")):
        if shutil.which(tool) is None:
            return f"no {tool}: install {package}"
    make_link = "ip link add one type veth peer name two"
    tried = subprocess.run([*NAMESPACE, "sh", "-c", make_link], capture_output=True, check=False)
    if tried.returncode:
        return "this machine does not allow network namespaces with links in them"
    return ""


@pytest.fixture
def namespace() -> tuple[str, ...]:
    """How to run a program in a separate network namespace, without being root."""
    if reason := no_links():
        pytest.skip(reason)
    return NAMESPACE


def test_one_link_local_address_on_two_interfaces_is_two_nodes(
    namespace: tuple[str, ...], tmp_path: Path
) -> None:
    assert_passes(namespace, "tests/interop/two_links.py", tmp_path)
