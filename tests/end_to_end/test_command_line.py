# SPDX-License-Identifier: BSD-3-Clause
"""The output of the command line: help for each flag, settings with their origin, errors."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyaiot import config
from pyaiot.app import services
from pyaiot.broker.keys import generate_keys, load_keys, write_keys
from pyaiot.cli import entry
from pyaiot.cli.app import program
from tests.programs import ANY_PORTS, Programs

Aiot = Callable[..., "Result"]


class Result:
    """The exit code and the output of a command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def error(self) -> str:
        """The one sentence of a command that could not start."""
        assert self.code == 2
        assert self.out == ""
        assert self.err.startswith("aiot: ")
        assert self.err.endswith(".\n")
        assert self.err.count("\n") == 1
        return self.err


@pytest.fixture
def aiot(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Aiot:
    """Calls the command line as its script does, with its own home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for setting in config.settings():
        monkeypatch.delenv(setting.variable, raising=False)

    def call(*arguments: str, program: str = "aiot") -> Result:
        monkeypatch.setattr(sys, "argv", [f"/usr/bin/{program}", *arguments])
        with pytest.raises(SystemExit) as ended:
            (entry.main if program == "aiot" else entry.historic_main)()
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Result(ended.value.code, captured.out, captured.err)

    return call


def commands() -> dict[str, Any]:
    """Each command by its words."""
    found: dict[str, Any] = {}

    def walk(words: str, command: Any) -> None:
        for name, inner in getattr(command, "commands", {}).items():
            walk(f"{words} {name}".strip(), inner)
        found[words] = command

    walk("", program())
    return found


COMMANDS = commands()


# -- help ---------------------------------------------------------------------------------------


def test_every_command_is_known_here() -> None:
    assert set(COMMANDS) == {
        *("", "run", "demo", "broker", "coap-gateway", "mqtt-gateway", "ws-gateway"),
        *("mqttsn-gateway", "dashboard", "generate-keys", "config"),
        *("node", "node coap", "node mqtt", "node mqttsn", "node ws", "fleet"),
        *("nodes", "watch", "get", "set", "history", "export", "doctor"),
        *("node rename", "node tag", "node edit", "node accept", "node ban", "node forget"),
        "node type",
        *("device", "device add", "device list", "device remove"),
        *("node restore", "node type", "token", "token add", "token list", "token remove"),
        *("login", "logout", "invite", "user", "user add", "user list", "user passwd"),
        *("user remove", "alerts", "audit", "tls", "tls self-signed", "tls fingerprint"),
        *("service", "service install", "service status", "service logs", "service exec"),
        *("service uninstall", "health"),
        *("mapping", "mapping list", "mapping add", "mapping try", "mapping remove"),
        *("gateway", "gateway add", "gateway list", "gateway rotate", "gateway remove"),
        *("backup", "restore", "upgrade-check", "setup", "cluster"),
    }


@pytest.mark.parametrize("words", COMMANDS)
def test_help_names_every_flag_in_full_on_80_columns(aiot: Aiot, words: str) -> None:
    result = aiot(*words.split(), "--help")
    assert result.code == 0
    assert result.err == ""
    assert max(map(len, result.out.splitlines())) <= 80
    shown = result.out.split()
    for parameter in COMMANDS[words].params:
        if getattr(parameter, "metavar", None) and not parameter.opts[0].startswith("-"):
            assert parameter.metavar in result.out
            continue
        for flag in parameter.opts:
            assert any(word.strip(",│ []{}.") == flag for word in shown), flag


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        ("get", "Usage: aiot get [OPTIONS] NODE [RESOURCE]\n"),
        ("set", "Usage: aiot set [OPTIONS] [NODE] RESOURCE VALUE\n"),
        ("node tag", "Usage: aiot node tag [OPTIONS] NODE +TAG -TAG...\n"),
        ("backup", "Usage: aiot backup [OPTIONS] FILE\n"),
    ],
)
def test_usage_names_arguments_as_manual_pages_do(aiot: Aiot, words: str, usage: str) -> None:
    assert aiot(*words.split(), "--help").out.startswith(usage)


def test_missing_argument_is_named_as_in_the_usage(aiot: Aiot) -> None:
    result = aiot("get")
    assert result.code == 2
    assert result.err.endswith("Error: Missing argument 'NODE'.\n")


@pytest.mark.parametrize("words", [words for words in COMMANDS if words not in ("", "node")])
def test_help_describes_each_flag(words: str) -> None:
    command = COMMANDS[words]
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), parameter.name


@pytest.mark.parametrize("words", ["", "node"])
def test_command_without_words_shows_its_help(aiot: Aiot, words: str) -> None:
    result = aiot(*words.split())
    assert "Usage: aiot" in result.out + result.err


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        ("aiot-broker", {"--broker-port", "--key-file", "--debug", "--config"}),
        (
            "aiot-coap-gateway",
            {
                *("--broker-host", "--broker-port", "--broker-ssl", "--coap-port", "--interface"),
                *("--max-time", "--key-file", "--debug", "--config"),
            },
        ),
        (
            "aiot-ws-gateway",
            {
                *("--host", "--gateway-port", "--broker-host", "--broker-port", "--broker-ssl"),
                *("--key-file", "--debug", "--config"),
            },
        ),
        (
            "aiot-mqtt-gateway",
            {
                *("--broker-host", "--broker-port", "--broker-ssl", "--mqtt-host", "--mqtt-port"),
                *("--max-time", "--key-file", "--debug", "--config"),
            },
        ),
        ("aiot-generate-keys", {"--key-file"}),
    ],
)
def test_historic_commands_have_their_historic_flags(
    aiot: Aiot, program: str, flags: set[str]
) -> None:
    result = aiot("--help", program=program)
    assert result.code == 0
    assert flags <= set(result.out.replace(",", " ").split())


def test_historic_name_after_the_program_of_a_container_is_accepted(aiot: Aiot) -> None:
    assert aiot("aiot-broker", "--help").out == aiot("--help", program="aiot-broker").out
    assert aiot("aiot-broker", "--broker_host=x", "--wobble").err.count("--wobble") == 1
    assert "aiot-nodes" in aiot("aiot-nodes").err


def test_commands_are_in_sections_by_what_a_person_wants(aiot: Aiot) -> None:
    shown = aiot("--help").out
    sections = dict(re.findall(r"(?ms)^(\w+(?: at)? it):\n(.*?)(?=^\w|\Z)", shown))
    assert list(sections) == ["Run it", "Look at it", "Manage it"]
    listed = {title: set(re.findall(r"(?m)^  (\S+)", text)) for title, text in sections.items()}
    assert {name for names in listed.values() for name in names} == {
        words for words in COMMANDS if words and " " not in words
    }
    assert {"run", "demo", "service"} <= listed["Run it"]
    assert {"nodes", "get", "history", "doctor"} <= listed["Look at it"]
    assert {"user", "token", "backup"} <= listed["Manage it"]


def test_flags_of_run_are_in_sections_by_listener(aiot: Aiot) -> None:
    shown = aiot("run", "--help").out
    titles = re.findall(r"(?m)^(\S.*):$", shown)
    assert {"CoAP", "MQTT", "MQTT-SN", "WebSocket", "TLS", "Data"} <= set(titles)
    assert titles[0] == "Web listener and dashboard"
    assert titles[-1] == "Options"
    assert len(titles) == len(set(titles))


HANDS_ON = {"service exec", "service logs"}
"""Commands that hand on all flags to another program."""


@pytest.mark.parametrize("words", [words for words in COMMANDS if words not in HANDS_ON])
def test_unknown_flag_is_refused_with_its_name(aiot: Aiot, words: str) -> None:
    result = aiot(*words.split(), "--wobble")
    assert result.code == 2
    assert result.out == ""
    assert "--wobble" in result.err
    assert "Traceback" not in result.err


def test_version_is_one_line(aiot: Aiot) -> None:
    result = aiot("--version")
    assert result.code == 0
    assert result.out.startswith("pyaiot ")
    assert result.out.count("\n") == 1


# -- settings -----------------------------------------------------------------------------------


def shown(result: Result) -> dict[str, tuple[str, str]]:
    """Value and origin of each setting."""
    assert result.code == 0
    rows = {}
    for line in result.out.splitlines():
        key, rest = line.split(maxsplit=1)
        value, origin = rest.rsplit("  ", maxsplit=1)
        rows[key] = (value.strip(), origin)
    return rows


def test_every_setting_is_shown_with_its_default(aiot: Aiot) -> None:
    rows = shown(aiot("config", "--show"))
    assert list(rows) == [setting.key for setting in config.settings()]
    assert {origin for _, origin in rows.values()} == {"default"}
    assert rows["broker.port"] == ("8000", "default")
    assert rows["broker.host"] == ('"127.0.0.1"', "default")
    assert rows["coap.silence_limit_s"] == ("120.0", "default")


def test_secrets_in_settings_are_not_shown(
    aiot: Aiot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    url = "postgresql://me:hidden@db.example/x"
    path.write_text(f'[history]\nstore = "{url}"\n', encoding="utf-8")
    monkeypatch.setenv("AIOT_DASHBOARD_CAMERA_URL", "http://admin:hidden@camera.example/i.jpg")
    monkeypatch.setenv("AIOT_DASHBOARD_TILE_URL", "https://t.example/{z}/{x}/{y}.png?key=hidden")
    monkeypatch.setenv("AIOT_BROKER_ALLOWED_ORIGINS", "https://me:hidden@page.example")
    result = aiot("config", "--show", "--config", str(path))
    rows = shown(result)
    assert rows["history.store"] == ('"postgresql://me:***@db.example/x"', str(path))
    assert rows["dashboard.camera_url"][0] == '"http://admin:***@camera.example/i.jpg"'
    assert rows["dashboard.tile_url"][0] == '"https://t.example/{z}/{x}/{y}.png?key=***"'
    assert rows["broker.allowed_origins"][0] == '["https://me:***@page.example"]'
    assert "hidden" not in result.out + result.err


def test_settings_of_file_and_environment_are_shown_with_their_origin(
    aiot: Aiot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[broker]\nport = 8001\ntitle = "Lab"\n[coap]\nport = 5700\n', encoding="utf-8")
    monkeypatch.setenv("AIOT_COAP_PORT", "5701")
    monkeypatch.setenv("AIOT_BROKER_ALLOWED_HOSTS", "a.example, b.example")
    monkeypatch.setenv("AIOT_LOG_DEBUG", "true")
    rows = shown(aiot("config", "--show", "--config", str(path)))
    assert rows["broker.port"] == ("8001", str(path))
    assert rows["broker.title"] == ('"Lab"', str(path))
    assert rows["coap.port"] == ("5701", "AIOT_COAP_PORT")
    assert rows["broker.allowed_hosts"] == (
        '["a.example","b.example"]',
        "AIOT_BROKER_ALLOWED_HOSTS",
    )
    assert rows["log.debug"] == ("true", "AIOT_LOG_DEBUG")
    assert rows["coap.host"] == ('"127.0.0.1"', "default")


@pytest.mark.parametrize("how", ["home", "XDG_CONFIG_HOME", "AIOT_CONFIG"])
def test_settings_file_is_found_where_it_belongs(
    aiot: Aiot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    base = tmp_path / (".config" if how == "home" else "elsewhere")
    path = base / "pyaiot" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("[coap]\nport = 5700\n", encoding="utf-8")
    if how != "home":
        monkeypatch.setenv(how, str(path if how == "AIOT_CONFIG" else base))
    assert shown(aiot("config", "--show"))["coap.port"] == ("5700", str(path))


def test_a_client_command_accepts_the_settings_of_protocols() -> None:
    """It imports no protocol unless the environment or the file may have settings of one."""
    environment = {"PATH": "/usr/bin", "HOME": "/nowhere", "AIOT_COAP_PORT": "5701"}
    command = (sys.executable, "-m", "pyaiot", "nodes", "--broker-port", "1")
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "AIOT_COAP_PORT" not in ended.stderr
    assert "port 1" in ended.stderr


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"[broker]\nprot = 8000\n", "broker.prot"),
        (b"[brokers]\nport = 8000\n", "brokers.port"),
        (b"port = 8000\n", "port"),
        (b'[broker]\nport = "eight thousand"\n', "broker.port"),
        (b"[broker]\nport = 65536\n", "broker.port"),
        (b"[broker]\nport = 8000.5\n", "broker.port"),
        (b"[broker]\nhost = 1\n", "broker.host"),
        (b"[broker]\nallowed_hosts = [1]\n", "broker.allowed_hosts"),
        (b"[coap]\nsilence_limit_s = 0\n", "coap.silence_limit_s"),
        (b"[coap]\nsilence_limit_s = nan\n", "coap.silence_limit_s"),
        (b"[broker\n", "not TOML"),
        (b"[[broker]]\nport = 8000\n", "broker"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_error_for_an_invalid_settings_file_is_one_sentence(
    aiot: Aiot, tmp_path: Path, content: bytes, named: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_bytes(content)
    sentence = aiot("config", "--config", str(path)).error
    assert str(path) in sentence
    assert named in sentence


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[coap]\nport = 65536\n", "coap.port is 65536, but it must be at most 65535."),
        ('[coap]\nport = "many"\n', "coap.port is 'many', but it must be a whole number."),
        ("[brokr]\nport = 1\n", "there is no setting brokr.port (did you mean broker.port?)."),
        ("[broker]\nprot = 1\n", "there is no setting broker.prot (did you mean broker.port?)."),
        ("[zebra]\nstripes = 1\n", "there is no setting zebra.stripes (aiot config --show)."),
        ("[log]\ndebug = 7\n", "log.debug is 7, but it must be true or false."),
    ],
)
def test_error_for_an_invalid_setting_names_the_valid_values(
    aiot: Aiot, tmp_path: Path, content: str, sentence: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(content, "utf-8")
    result = aiot("config", "--config", str(path))
    assert (result.code, result.err) == (2, f"aiot: {path}: {sentence}\n")


def test_error_for_an_unknown_variable_names_a_similar_one(
    aiot: Aiot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOT_BROKR_PORT", "1")
    result = aiot("config")
    assert result.code == 2
    assert "did you mean AIOT_BROKER_PORT?" in result.err


def test_error_for_a_missing_file_has_no_errno(aiot: Aiot, tmp_path: Path) -> None:
    sentence = aiot("config", "--config", str(tmp_path / "none")).error
    assert "Errno" not in sentence
    assert "No such file or directory" in sentence
    assert sentence.count(str(tmp_path)) == 1


@pytest.mark.parametrize("command", ["broker", "coap-gateway"])
def test_error_for_a_missing_key_file_has_no_errno(
    aiot: Aiot, tmp_path: Path, command: str
) -> None:
    (tmp_path / "folder").mkdir(mode=0o700)
    sentence = aiot(command, "--key-file", str(tmp_path / "folder")).error
    assert "Errno" not in sentence
    assert sentence.count(str(tmp_path)) == 1


@pytest.mark.parametrize("command", ["run", "broker"])
def test_a_missing_insecure_is_reported_before_anything_starts(
    aiot: Aiot, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def started(*_: object, **__: object) -> None:
        raise AssertionError("something was started")

    monkeypatch.setattr(services, "_start_gateways", started)
    monkeypatch.setattr("pyaiot.history.sqlite.file.SqliteFile.claim", started)
    keys = tmp_path / "keys"
    write_keys(keys, generate_keys())
    monkeypatch.setenv("AIOT_BROKER_HOST", "0.0.0.0")
    sentence = aiot(command, "--key-file", str(keys)).error
    assert "--insecure" in sentence
    assert not (tmp_path / ".local").exists()


def test_help_shows_each_summary_completely(aiot: Aiot) -> None:
    text = aiot("--help").out
    assert "..." not in text.partition("Commands:")[2]
    assert "nodes post to its UDP port, and the broker gets" in " ".join(text.split())


@pytest.mark.parametrize("content", [None, "folder"])
def test_error_for_an_unreadable_settings_file_is_one_sentence(
    aiot: Aiot, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "settings"
    if content == "folder":
        path.mkdir()
    assert str(path) in aiot("config", "--config", str(path)).error


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AIOT_BROKER_PORT", "many"),
        ("AIOT_BROKER_PORT", ""),
        ("AIOT_LOG_DEBUG", "perhaps"),
        ("AIOT_BROKER_PROT", "8000"),
        ("AIOT_CONFIG", "nowhere.toml"),
    ],
)
def test_error_for_an_invalid_variable_is_one_sentence(
    aiot: Aiot, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    named = value if variable == "AIOT_CONFIG" else variable
    assert named in aiot("config").error


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("broker", "--port", "70000"), "broker.port"),
        (("run", "--max-time", "-1"), "coap.silence_limit_s"),
        (("run", "--max-time", "nan"), "coap.silence_limit_s"),
        (("node", "coap", "--uid", "x" * 65), "uid"),
        (("node", "coap", "--period-s", "0"), "period_s"),
    ],
)
def test_error_for_a_flag_out_of_range_is_one_sentence(
    aiot: Aiot, arguments: tuple[str, ...], named: str
) -> None:
    assert named in aiot(*arguments).error


def test_flag_that_is_no_number_is_refused(aiot: Aiot) -> None:
    result = aiot("broker", "--port", "many")
    assert result.code == 2
    assert "--port" in result.err


# -- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["broker", "coap-gateway", "mqtt-gateway", "ws-gateway", "run"])
def test_error_for_a_missing_key_file_names_generate_keys(aiot: Aiot, command: str) -> None:
    sentence = aiot(command, "--key-file", "nowhere/keys").error
    assert "nowhere/keys" in sentence
    assert "aiot generate-keys" in sentence


@pytest.mark.parametrize("command", ["broker", "coap-gateway", "mqtt-gateway", "ws-gateway", "run"])
def test_error_for_a_key_file_that_every_user_can_read_names_chmod(
    aiot: Aiot, tmp_path: Path, command: str
) -> None:
    path = tmp_path / "keys"
    write_keys(path, generate_keys())
    path.chmod(0o644)
    assert f"chmod 600 {path}" in aiot(command, "--key-file", str(path)).error


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[keys]\nsecret = x\n", b"[keys]\nsecret = hush\nprivate = hush-hush\n"],
)
def test_error_for_an_invalid_key_file_does_not_quote_it(
    aiot: Aiot, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content)
    path.chmod(0o600)
    sentence = aiot("broker", "--key-file", str(path)).error
    assert str(path) in sentence
    assert "hush" not in sentence


def test_generated_keys_are_for_their_owner_alone_and_never_replaced_by_mistake(
    aiot: Aiot, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "keys"
    first = aiot("generate-keys", "--key-file", str(path))
    assert first.code == 0
    assert str(path) in first.out
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    keys = load_keys(path)
    assert len(keys.secret) == 32
    assert keys.secret not in first.out + first.err

    assert "--force" in aiot("generate-keys", "--key-file", str(path)).error
    assert load_keys(path) == keys

    assert aiot("generate-keys", "--key-file", str(path), "--force").code == 0
    assert load_keys(path) != keys


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--homeassistant", "http://ha"), "homeassistant.url is 'http://ha'"),
        (("run", "--homeassistant", "mqtt://a:b@ha"), "has a user name or password in it"),
        (("broker", "--homeassistant"), "This process has no MQTT broker for Home Assistant"),
        (("demo", "--homeassistant"), "The MQTT broker of the demo has no passwords"),
    ],
)
def test_home_assistant_that_cannot_be_reached_is_one_sentence(
    programs: Programs, arguments: tuple[str, ...], words: str
) -> None:
    ports = ANY_PORTS if arguments[0] != "broker" else ("--web-port", "0")
    key_file = ("--key-file", programs.key_file()) if arguments[0] == "broker" else ()
    ended = programs.run(*arguments, *ports, *key_file)
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stdout
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "a:b" not in ended.stderr
