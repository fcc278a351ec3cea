# SPDX-License-Identifier: BSD-3-Clause
"""Feeds mutations of valid input to the parsers of untrusted bytes until one fails.

    python fuzz/run.py                                all targets, 10 seconds each
    python fuzz/run.py link_format --seconds 600      one target, longer
    python fuzz/run.py link_format --input FILE       one input, with its traceback
    python fuzz/run.py link_format --atheris -- -max_total_time=600

A target is a file `targets/<module>.py` with `CORPUS: list[bytes]`, valid inputs and inputs of
earlier failures, and `fuzz_one(data: bytes) -> None`, which catches only the parser's documented
error and asserts the properties of the result. When a failure is fixed, add its input to the
corpus.

Random mutations need no package. With `--atheris`, mutations are guided by coverage if atheris is
installed.
"""

import argparse
import hashlib
import importlib
import importlib.util
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

TARGETS: Final = Path(__file__).parent / "targets"
INPUT_BYTES_MAX: Final = 16 * 1024
"""Maximum size of a mutation, in bytes."""
INPUT_CPU_LIMIT_S: Final = 2.0
"""CPU time of one input beyond which a parser counts as hanging."""
MUTATIONS_OF_ONE_INPUT_MAX: Final = 8


class Target(NamedTuple):
    """One parser."""

    name: str
    corpus: list[bytes]
    fuzz_one: Callable[[bytes], None]


class TooSlow(Exception):
    """An input took more CPU time than INPUT_CPU_LIMIT_S."""


class Failure(NamedTuple):
    """An input that made a parser misbehave, and how."""

    data: bytes
    error: Exception


def load_targets(folder: Path = TARGETS) -> dict[str, Target]:
    """Import every target of the folder; return them by name."""
    targets = {}
    beside = str(Path(__file__).parents[1])
    if beside not in sys.path:
        sys.path.append(beside)  # for modules that several targets share
    for path in sorted(folder.glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"fuzz_target_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is not a module")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        targets[path.stem] = Target(path.stem, list(module.CORPUS), module.fuzz_one)
    return targets


def attempt(target: Target, data: bytes) -> Failure | None:
    """Run one input."""
    start = time.process_time()
    try:
        target.fuzz_one(data)
        cpu_s = time.process_time() - start
        if cpu_s > INPUT_CPU_LIMIT_S:
            raise TooSlow(f"{cpu_s:.1f} s of CPU time for {len(data)} bytes")
    except Exception as error:  # noqa: BLE001 - any exception is a finding
        return Failure(data, error)
    return None


def first_failure(target: Target, inputs: Iterable[bytes]) -> Failure | None:
    """Run inputs until one fails."""
    return next(filter(None, (attempt(target, data) for data in inputs)), None)


def mutations(corpus: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Yield mutations of the corpus without end. The same seed gives the same mutations."""
    chance = random.Random(seed)
    while True:
        data = bytearray(chance.choice(corpus))
        for _ in range(chance.randint(1, MUTATIONS_OF_ONE_INPUT_MAX)):
            chance.choice(_MUTATIONS)(data, corpus, chance)
        yield bytes(data[:INPUT_BYTES_MAX])


def _flip_bit(data: bytearray, _corpus: Sequence[bytes], chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _replace_byte(data: bytearray, _corpus: Sequence[bytes], chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.choice(_BYTES)


def _insert_byte(data: bytearray, _corpus: Sequence[bytes], chance: random.Random) -> None:
    data.insert(chance.randint(0, len(data)), chance.choice(_BYTES))


def _insert_fragment(data: bytearray, _corpus: Sequence[bytes], chance: random.Random) -> None:
    at = chance.randint(0, len(data))
    data[at:at] = chance.choice(_FRAGMENTS)


def _insert_part_of_another(
    data: bytearray, corpus: Sequence[bytes], chance: random.Random
) -> None:
    other = chance.choice(corpus)
    at = chance.randint(0, len(data))
    data[at:at] = other[_slice(other, chance)]


def _end_as_another(data: bytearray, corpus: Sequence[bytes], chance: random.Random) -> None:
    other = chance.choice(corpus)
    data[chance.randint(0, len(data)) :] = other[chance.randint(0, len(other)) :]


def _repeat_part(data: bytearray, _corpus: Sequence[bytes], chance: random.Random) -> None:
    part = _slice(data, chance)
    times = chance.choice((2, 2, 3, 10, 100, 1000))
    if (part.stop - part.start) * times <= INPUT_BYTES_MAX:
        data[part] = data[part] * times


def _remove_part(data: bytearray, _corpus: Sequence[bytes], chance: random.Random) -> None:
    del data[_slice(data, chance)]


def _cut_off(data: bytearray, _corpus: Sequence[bytes], chance: random.Random) -> None:
    del data[chance.randint(0, len(data)) :]


def _slice(data: bytes | bytearray, chance: random.Random) -> slice:
    """Choose a slice; short ones are as likely as long ones."""
    start = chance.randint(0, len(data))
    longest = min(len(data) - start, chance.choice((1, 4, 16, len(data))))
    return slice(start, start + chance.randint(0, longest))


_MUTATIONS: Final = (
    _flip_bit,
    _replace_byte,
    _insert_byte,
    _insert_fragment,
    _insert_part_of_another,
    _end_as_another,
    _repeat_part,
    _remove_part,
    _cut_off,
)
# Bytes that have a meaning in formats, and the ends of ranges.
_BYTES: Final = b"\x00\x01\x0c\x0d\x0e\x0f\x1f\n \"\\'/,;:<>=%[]{}+-.019aeE\x7f\x80\xc2\xd0\xe0\xff"
_FRAGMENTS: Final = (
    b"\xed\xa0\x80",  # a lone surrogate, as UTF-8 must not write it
    b"\\ud800",
    b"\xef\xbb\xbf",
    b"\xf4\x90\x80\x80",
    b"%C3%A9",
    b"%ff",
    b"../",
    b"1e999",
    b"-0",
    b"18446744073709551616",
    b"9" * 400,
    b"[" * 2000,
    b'{"a":' * 2000,
    b"null",
    b"true",
    b"NaN",
    b"\x00" * 40,
    b"\xff" * 300,
)


def shrink(target: Target, failure: Failure) -> Failure:
    """Remove bytes as long as the same kind of error occurs."""
    size = len(failure.data) // 2
    while size:
        start = 0
        while start < len(failure.data):
            shorter = failure.data[:start] + failure.data[start + size :]
            again = attempt(target, shorter)
            if again is not None and type(again.error) is type(failure.error):
                failure = again
            else:
                start += size
        size //= 2
    return failure


def fuzz(target: Target, *, seconds: float, seed: int) -> Failure | None:
    """Run the corpus, then mutations for this time. Prints the number of inputs."""
    count = 0

    def inputs() -> Iterator[bytes]:
        nonlocal count
        end = time.monotonic() + seconds
        for data in chain(target.corpus, mutations(target.corpus, seed)):
            if count >= len(target.corpus) and time.monotonic() > end:
                return
            count += 1
            yield data

    failure = first_failure(target, inputs())
    print(f"{target.name}: {count} inputs, seed {seed}", "ok" if failure is None else "FAILED")
    return failure


def report(target: Target, failure: Failure) -> None:
    """Write the input to a file with a name as in libFuzzer, and print the failure."""
    path = Path(f"crash-{target.name}-{hashlib.sha256(failure.data).hexdigest()[:12]}")
    path.write_bytes(failure.data)
    traceback.print_exception(failure.error)
    shown = failure.data[:200]
    more = f" and {len(failure.data) - len(shown)} bytes more" if shown != failure.data else ""
    print(f"{target.name}: {shown!r}{more}, kept in {path}", file=sys.stderr)


def fuzz_with_atheris(name: str, options: Sequence[str]) -> None:
    """Run libFuzzer, which ends the process. `options` are passed to it."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["pyaiot"]):
        target = load_targets()[name]
    with tempfile.TemporaryDirectory() as corpus:
        for number, data in enumerate(target.corpus):
            (Path(corpus) / str(number)).write_bytes(data)
        atheris.Setup([sys.argv[0], *options, corpus], target.fuzz_one)
        atheris.Fuzz()


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if no failure was found, 1 if one was, 2 for an invalid command line."""
    names = sorted(path.stem for path in TARGETS.glob("*.py"))
    parser = argparse.ArgumentParser(description="Fuzz the parsers of untrusted bytes.")
    parser.add_argument("targets", nargs="*", metavar="target", help=f"of {', '.join(names)}")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each target (default 10)")
    parser.add_argument("--seed", type=int, help="of the mutations (default: a new one)")
    parser.add_argument("--input", type=Path, help="run this file only")
    parser.add_argument("--atheris", action="store_true", help="options of libFuzzer follow --")
    known = list(sys.argv[1:] if arguments is None else arguments)
    after = known.index("--") if "--" in known else len(known)
    chosen = parser.parse_args(known[:after])
    unknown = set(chosen.targets).difference(names)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if chosen.atheris:
        if len(chosen.targets) != 1:
            parser.error("--atheris takes one target")
        if importlib.util.find_spec("atheris") is None:
            parser.error("atheris is not installed")
        fuzz_with_atheris(chosen.targets[0], known[after + 1 :])
        return 0
    seed = random.SystemRandom().getrandbits(32) if chosen.seed is None else chosen.seed
    found = 0
    targets = load_targets()
    for name in chosen.targets or names:
        target = targets[name]
        if chosen.input is not None:
            failure = attempt(target, chosen.input.read_bytes())
        else:
            failure = fuzz(target, seconds=chosen.seconds, seed=seed)
            failure = failure and shrink(target, failure)
        if failure is not None:
            report(target, failure)
            found = 1
    return found


if __name__ == "__main__":
    sys.exit(main())
