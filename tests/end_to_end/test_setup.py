# SPDX-License-Identifier: BSD-3-Clause
"""`aiot setup` on a terminal and in scripts: it writes one file, or nothing."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.programs import AIOT, Programs

pytestmark = pytest.mark.sockets

LIMIT_S = 15.0
QUESTIONS = ("Who may reach", "Which protocols", "Start it at boot")


def settings_file(programs: Programs) -> Path:
    return programs.home / ".config" / "pyaiot" / "config.toml"


class Person:
    """A person at a terminal: reads questions, types answers."""

    def __init__(self, ours: int, process: "subprocess.Popen[bytes]") -> None:
        self._ours = ours
        self.process = process
        self.shown = ""

    def reads(self, text: str) -> None:
        while text not in self.shown:
            assert select.select([self._ours], [], [], LIMIT_S)[0], self.shown
            self.shown += os.read(self._ours, 4096).decode()

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def answers(self, question: str, answer: str) -> None:
        """Read the question and its prompt, and type a line."""
        self.reads(question)
        start = self.shown.index(question)
        while not re.search(r"\[[^\]\n]*\] $", self.shown[start:]):
            assert select.select([self._ours], [], [], LIMIT_S)[0], self.shown
            self.shown += os.read(self._ours, 4096).decode()
        self.types(answer)

    def exit_code(self, key: str = "") -> int:
        """Read to the end. `key` is typed again, as a person does, while nothing happens: one that
        comes while the prompt changes the mode of the terminal is lost."""
        idle_s = 0
        while idle_s < LIMIT_S:
            if not select.select([self._ours], [], [], 1.0)[0]:
                idle_s += 1
                self.types(key)
                continue
            try:
                piece = os.read(self._ours, 4096)
            except OSError:  # Linux: the other side is closed
                break
            if not piece:
                break
            self.shown += piece.decode()
        return self.process.wait(LIMIT_S)


@contextmanager
def person(programs: Programs, *words: str) -> Iterator[Person]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*AIOT, "setup", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=programs.environment(TERM="dumb"),
        start_new_session=True,
        # Ctrl+C reaches it as on a real terminal.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one thread
    )
    os.close(theirs)
    try:
        yield Person(ours, process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_three_answers_write_the_settings(programs: Programs) -> None:
    with person(programs) as it:
        it.answers(QUESTIONS[0], "2\n")
        it.answers(QUESTIONS[1], "coap, mqtt\n")
        it.answers(QUESTIONS[2], "n\n")
        assert it.exit_code() == 0
        assert "aiot run" in it.shown
    table = tomllib.loads(settings_file(programs).read_text("utf-8"))
    assert table["broker"]["host"] == "::"
    assert {"coap", "mqtt"} == set(table) - {"broker"}


def test_enter_takes_the_default_and_a_wrong_answer_has_another_try(programs: Programs) -> None:
    with person(programs, "--no-boot") as it:
        it.answers(QUESTIONS[0], "7\n")
        it.answers("Please type a number from 1 to 3", "everybody\n")
        it.shown = ""
        it.answers("Please type", "\n")
        it.answers(QUESTIONS[1], "zigbee\n")
        it.answers("Please type words of coap", "\n")
        assert it.exit_code() == 0
    table = tomllib.loads(settings_file(programs).read_text("utf-8"))
    assert set(table) == {"broker", "coap", "websocket", "mqtt", "mqttsn"}


def test_only_this_machine_needs_no_protocols(programs: Programs) -> None:
    with person(programs) as it:
        it.answers(QUESTIONS[0], "machine\n")
        it.answers(QUESTIONS[2], "n\n")
        assert it.exit_code() == 0
        assert QUESTIONS[1] not in it.shown
    assert set(tomllib.loads(settings_file(programs).read_text("utf-8"))) == {"broker"}


@pytest.mark.parametrize("number", range(len(QUESTIONS)))
@pytest.mark.parametrize(("key", "code"), [("\x03", 130), ("\x04", 2)], ids=["Ctrl+C", "Ctrl+D"])
def test_ctrl_c_and_ctrl_d_at_each_question_write_nothing(
    number: int, key: str, code: int, programs: Programs
) -> None:
    with person(programs) as it:
        for question in QUESTIONS[:number]:
            it.answers(question, "\n")
        it.answers(QUESTIONS[number], key)
        assert it.exit_code(key) == code
        assert "Traceback" not in it.shown
    assert not settings_file(programs).exists()


def test_too_many_wrong_answers_end_it(programs: Programs) -> None:
    with person(programs) as it:
        it.reads(QUESTIONS[0])
        it.types("x\n" * 5)
        assert it.exit_code() == 2
        assert "No valid answer in 5 attempts. Nothing was written." in it.shown


def test_without_a_terminal_there_are_no_questions(programs: Programs) -> None:
    refused = programs.run("setup")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "aiot: This asks questions: run it on a terminal, or with --yes.\n"
    done = programs.run("setup", "--yes", "--reach", "proxy", "--name", "iot.example.org")
    assert (done.returncode, done.stderr) == (0, "")
    table = tomllib.loads(settings_file(programs).read_text("utf-8"))
    assert table["broker"]["allowed_hosts"] == ["iot.example.org"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--yes", "--protocol", "zigbee"), "There is no protocol 'zigbee'; there are coap"),
        (("--yes", "--reach", "proxy", "--name", "a b"), "Invalid host 'a b'"),
        (("--yes", "--config", "/proc/x/c.toml"), "/proc/x/c.toml cannot be written"),
    ],
)
def test_wrong_flag_is_one_sentence(
    words: tuple[str, ...], sentence: str, programs: Programs
) -> None:
    result = programs.run("setup", *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"aiot: {sentence}")
    assert result.stderr.count("\n") == 1


def test_settings_that_exist_are_not_replaced_without_force(programs: Programs) -> None:
    path = settings_file(programs)
    path.parent.mkdir(parents=True)
    path.write_text('[broker]\ntitle = "Mine"\n', "utf-8")
    refused = programs.run("setup", "--yes")
    assert refused.returncode == 2
    assert "was not changed: replace it with --force" in refused.stderr
    assert "Mine" in path.read_text("utf-8")
    assert programs.run("setup", "--yes", "--force").returncode == 0
    assert "Mine" not in path.read_text("utf-8")


def test_demo_runs_beside_another_one_on_free_ports(programs: Programs) -> None:
    demos = [programs.aiot("demo", "--free-ports", "--nodes", "1") for _ in range(2)]
    urls = {demo.startup_text() for demo in demos}
    assert len(urls) == 2
    for demo in demos:
        demo.send(signal.SIGTERM)
        assert demo.exit_code(5) == 0


def test_lan_prints_a_sign_in_link_and_opens_every_listener(programs: Programs) -> None:
    flags = ("--web-port", "0", "--coap-port", "0", "--ws-port", "0", "--mqtt-port", "0")
    running = programs.aiot("run", "--lan", *flags, "--mqttsn-port", "0", "--coaps-port", "0")
    assert "Open this link once to sign in: http://" in running.startup_text()
    for listener in ("TCP port", "UDP port"):
        assert f"{listener} " in running.stderr
    assert running.stderr.count("is open to the network") == 4
