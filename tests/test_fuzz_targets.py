# SPDX-License-Identifier: BSD-3-Clause
"""Every parser of outside bytes has a fuzz target and survives a short run of it."""

import importlib.util
import subprocess
import sys
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pytest

from pyaiot.gateways.mqtt.dialects import DIALECTS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "pyaiot"
RUN = ROOT / "fuzz" / "run.py"
MUTATIONS = 1000
SEED = 7252

# Modules outside protocols/ that read outside bytes.
PARSERS_ELSEWHERE = {
    "cluster_packets",
    "homeassistant",
    "image_heads",
    "api_queries",
    "backup_manifest",
    "coap_intake",
    "dtls_server",
    "coap_edhoc",
    "coap_oscore",
    "forwarded",
    "device_logins",
    "keys",
    "legacy",
    "messages",
    "mqtt_dialects",
    *(f"dialect_{it.replace('-', '_')}" for it in (*DIALECTS, "mapping")),
    "plain_http",
    "python_settings",
    "readings",
    "resource_types",
    "view_queries",
    "websocket_frames",
}
# Modules in protocols/ that read nothing.
NO_PARSERS = {
    "amplification": "a limit",
    "pcapng": "only writes",
    "coap_numbers": "names of numbers",
    "dtls_numbers": "names of numbers",
    "dtls_cookies": "fuzzed as `dtls_client_hello`",
    "coap_deduplication": "a table",
    "coap_message_ids": "a table",
    "mqttsn_numbers": "names of numbers",
    "mqttsn_packet": "the common form of MQTT-SN packets: fuzzed as `mqttsn_packets`",
    # Parts of the state machines of MQTT-SN, fuzzed as `mqttsn_gateway` and `mqttsn_client`.
    **dict.fromkeys(
        (
            *("mqttsn_session", "mqttsn_session_data", "mqttsn_publications"),
            *("mqttsn_subscriptions", "mqttsn_delivery", "mqttsn_deduplication"),
            *("mqttsn_topics", "mqttsn_hosts", "mqttsn_shares", "mqttsn_queued_message"),
        ),
        "part of `mqttsn_gateway`",
    ),
    "mqttsn_client_events": "events",
    "mqttsn_gateway_events": "events",
    "mqttsn_pending_request": "part of `mqttsn_client`",
    "mqttsn_mqtt": "actions and events",
    "mqttsn_settings": "limits",
    "mqttsn_states": "a table",
    "mqtt_events": "events",
    **dict.fromkeys(("mqtt_packet", "mqtt_packets"), "fuzzed as `mqtt_client`"),
    "ed25519": "keys of this process",
    "edhoc_credentials": "keys",
    "edhoc_responder": "fuzzed as `coap_edhoc`",
    "protobuf": "fuzzed as `mqtt_dialects`",
    "oscore_client": "reads with `oscore_messages`",
    "oscore_context": "keys",
    "oscore_ids": "two ids",
    "oscore_numbers": "numbers",
    "oscore_option": "fuzzed as `oscore_messages`",
}


def load_run() -> Any:
    # fuzz/ is not a package, so that each of its files can be run directly.
    spec = importlib.util.spec_from_file_location("fuzz_run", RUN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parsers() -> set[str]:
    """The modules of protocols/. Those of CoAP, MQTT and MQTT-SN get a prefix, as names recur."""
    paths = (PACKAGE / "protocols").rglob("*.py")
    return {
        path.stem if path.parent.name == "protocols" else f"{path.parent.name}_{path.stem}"
        for path in paths
        if path.stem != "__init__"
    }


run = load_run()
targets = run.load_targets()


@pytest.mark.parametrize("name", sorted(targets))
def test_a_parser_survives_its_corpus_and_mutations_of_it(name: str) -> None:
    target = targets[name]
    inputs = chain(target.corpus, islice(run.mutations(target.corpus, SEED), MUTATIONS))
    failure = run.first_failure(target, inputs)
    if failure is not None:
        pytest.fail(f"{name}: {failure.error!r} from {run.shrink(target, failure).data!r}")


def test_every_parser_has_a_target_of_its_name() -> None:
    assert (parsers() - set(NO_PARSERS)) | PARSERS_ELSEWHERE == set(targets)


def test_no_exception_outlives_its_module() -> None:
    assert set(NO_PARSERS) <= parsers()


def test_mutations_are_the_same_for_the_same_seed() -> None:
    corpus = targets["link_format"].corpus
    first, same, other = (list(islice(run.mutations(corpus, seed), 50)) for seed in (1, 1, 2))
    assert first == same
    assert first != other
    assert len(set(first)) > 40
    assert all(len(data) <= run.INPUT_BYTES_MAX for data in first)


@pytest.fixture
def fragile(tmp_path: Path) -> Any:
    """A parser that fails on one byte."""
    (tmp_path / "fragile.py").write_text(
        "CORPUS = [b'good', b'%% good']\n"
        "def fuzz_one(data: bytes) -> None:\n"
        "    if b'!' in data: raise KeyError('!')\n"
    )
    return run.load_targets(tmp_path)["fragile"]


def test_a_parser_that_raises_is_found_and_its_input_made_short(fragile: Any) -> None:
    assert run.first_failure(fragile, [b"good", b"fine"]) is None
    failure = run.first_failure(fragile, [b"good", b"very ! bad", b"!"])
    assert isinstance(failure.error, KeyError)
    assert failure.data == b"very ! bad"
    assert run.shrink(fragile, failure).data == b"!"


def test_a_run_that_finds_something_keeps_the_input_and_fails(
    fragile: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "load_targets", lambda: {"readings": fragile})
    monkeypatch.chdir(tmp_path)
    bad = tmp_path / "bad"
    bad.write_bytes(b"a!")
    assert run.main(["readings", "--input", str(bad)]) == 1
    (kept,) = tmp_path.glob("crash-fragile-*")
    assert kept.read_bytes() == b"a!"


def test_the_command_runs_a_target(tmp_path: Path) -> None:
    command = [sys.executable, str(RUN), "link_format", "--seconds", "0.1", "--seed", "1"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("link_format: ")
    assert done.stdout.endswith("seed 1 ok\n")
    assert not list(tmp_path.iterdir())


def test_an_unknown_target_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run.main(["no_such"])
    assert stopped.value.code == 2
    assert "no such target: no_such" in capsys.readouterr().err
