# SPDX-License-Identifier: BSD-3-Clause
"""Sequence numbers in a file: none is used twice, even if the process is killed."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.errors import OperatorError
from pyaiot.gateways.coap.oscore.device import ContextNumbers
from pyaiot.gateways.coap.oscore.numbers_file import BLOCK_NUMBERS, NEW_CREDENTIAL_S, NumbersFile
from pyaiot.protocols.oscore.context import SEQUENCE_NUMBERS
from pyaiot.protocols.oscore.numbers import SequenceNumbers

NOW = 1_800_000_000.0
LAMP = DeviceCredential("lamp", "oscore", b"0123456789abcdef", NOW - 1)
ROBOT = DeviceCredential("robot", "oscore", b"fedcba9876543210", NOW - 1)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., NumbersFile]]:
    files: list[NumbersFile] = []

    def open_file(now: float = NOW) -> NumbersFile:
        while files:
            files.pop().close()  # as the end of the process does
        files.append(NumbersFile(tmp_path / "oscore.db", lambda: now))
        return files[0]

    yield open_file
    while files:
        files.pop().close()


def take(file: NumbersFile, credential: DeviceCredential) -> ContextNumbers:
    (taken,) = file.take_all((credential,))
    return taken


def test_next_process_continues_behind_the_reserved_block(
    opened: Callable[..., NumbersFile],
) -> None:
    first = take(opened(), LAMP).numbers
    used = [first.take() for _ in range(3)]
    file = opened()
    second = take(file, LAMP).numbers
    number = second.take()
    assert number is not None
    assert number >= first.left + 3
    assert number not in used
    file.reserve(LAMP, second)
    assert second.left == 2 * BLOCK_NUMBERS - 1
    third = take(opened(), LAMP).numbers.take()
    assert third == number + 2 * BLOCK_NUMBERS


def test_each_device_has_its_own_numbers(opened: Callable[..., NumbersFile]) -> None:
    lamp, robot = opened().take_all((LAMP, ROBOT))
    assert lamp.numbers.take() == robot.numbers.take()


def test_window_survives_an_orderly_end(opened: Callable[..., NumbersFile]) -> None:
    file = opened()
    window = take(file, LAMP).window
    assert window is not None
    assert window.is_new(0)
    window.add(70)
    window.add(68)
    file.save([(LAMP, window)])
    again = take(opened(), LAMP).window
    assert again is not None
    assert [number for number in range(72) if again.is_new(number)] == [*range(7, 68), 69, 71]


def test_window_is_lost_with_a_killed_process(opened: Callable[..., NumbersFile]) -> None:
    assert take(opened(), LAMP).window is not None
    file = opened()
    assert take(file, LAMP).window is None
    # A window that was lost is not stored as one without messages.
    file.save([])
    assert take(opened(), LAMP).window is None


def test_stored_window_is_used_once(opened: Callable[..., NumbersFile]) -> None:
    file = opened()
    window = take(file, LAMP).window
    assert window is not None
    file.save([(LAMP, window)])
    assert take(opened(), LAMP).window is not None
    assert take(opened(), LAMP).window is None


def test_credential_whose_file_was_lost_starts_beyond_all_used_numbers(
    opened: Callable[..., NumbersFile],
) -> None:
    age_s = 86_400.0
    taken = take(opened(LAMP.created_at + age_s), LAMP)
    assert taken.window is None
    assert taken.numbers.take() == age_s * BLOCK_NUMBERS
    assert take(opened(LAMP.created_at + NEW_CREDENTIAL_S - 1), ROBOT).window is not None


def test_credential_from_the_future_starts_at_a_random_number(
    opened: Callable[..., NumbersFile],
) -> None:
    lamp, robot = opened(LAMP.created_at - 1).take_all((LAMP, ROBOT))
    numbers = lamp.numbers.take(), robot.numbers.take()
    assert numbers[0] != numbers[1]
    assert all(number is not None and number >= SEQUENCE_NUMBERS // 2 for number in numbers)
    assert (lamp.window, robot.window) == (None, None)


def test_last_number_is_not_exceeded(opened: Callable[..., NumbersFile]) -> None:
    file = opened()
    take(file, LAMP)
    file._db.execute("UPDATE context SET next = ?", (SEQUENCE_NUMBERS - 2,))
    numbers = SequenceNumbers()
    file.reserve(LAMP, numbers)
    file.reserve(LAMP, numbers)
    assert [numbers.take() for _ in range(3)] == [SEQUENCE_NUMBERS - 2, SEQUENCE_NUMBERS - 1, None]


def test_numbers_of_a_failed_write_are_not_used(opened: Callable[..., NumbersFile]) -> None:
    file = opened()
    numbers = take(file, LAMP).numbers
    file._db.execute("PRAGMA query_only = ON")
    with pytest.raises(OperatorError):
        file.reserve(LAMP, numbers)
    assert numbers.left == BLOCK_NUMBERS


def test_secret_is_not_in_the_file(opened: Callable[..., NumbersFile], tmp_path: Path) -> None:
    take(opened(), LAMP)
    for path in tmp_path.iterdir():
        assert LAMP.secret not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0


TAKE = """
import sys, time
from pathlib import Path
from pyaiot.accounts.device_credential import DeviceCredential
from pyaiot.gateways.coap.oscore.device import ContextNumbers
from pyaiot.gateways.coap.oscore.numbers_file import NumbersFile
file = NumbersFile(Path(sys.argv[1]), time.time)
taken, = file.take_all((DeviceCredential("lamp", "oscore", b"0123456789abcdef", time.time()),))
numbers = taken.numbers
for _ in range(3000):
    if not numbers.left:
        file.reserve(DeviceCredential("lamp", "oscore", b"0123456789abcdef", 0.0), numbers)
    print(numbers.take(), flush=True)
"""


def test_killed_process_and_its_successor_use_different_numbers(tmp_path: Path) -> None:
    path = str(tmp_path / "oscore.db")
    used: list[int] = []
    for count in (1, 1500, 2000):
        with subprocess.Popen(
            (sys.executable, "-c", TAKE, path), stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            used += [int(process.stdout.readline()) for _ in range(count)]
            process.kill()
            used += [int(line) for line in process.stdout.read().splitlines()]
    assert len(used) == len(set(used))


def test_file_belongs_to_one_process(tmp_path: Path) -> None:
    path = tmp_path / "oscore.db"
    file = NumbersFile(path, lambda: NOW)
    with pytest.raises(OperatorError, match="Another CoAP gateway uses the file"):
        NumbersFile(path, lambda: NOW)
    file.close()
    NumbersFile(path, lambda: NOW).close()
