# SPDX-License-Identifier: BSD-3-Clause
"""Parameters of the HTTP API, and the ids with which readers of events return."""

import math
from urllib.parse import parse_qsl

from pyaiot.broker.encoders import Position
from pyaiot.web.api import parameters
from pyaiot.web.problems import ProblemError

CORPUS: list[bytes] = [
    b"from=-1h&to=1700000000.5&every=60&agg=mean,max&limit=100&format=csv&order=newest",
    b"from=2026-11-25T10%3A00%3A00%2B01%3A00&cursor=%5B1%5D",
    b"uid=a&uid=b&resource=led&kind=appeared&kind=gap&timeout=5.0",
    b"limit=null&timeout=nan&every=1e3",
    b"limit=\x90",
    b"0123abcd-42-1700000000123",
]

KINDS = (
    parameters.Query,
    parameters.NodesQuery,
    parameters.WriteQuery,
    parameters.HistoryQuery,
    parameters.ExportQuery,
    parameters.EventsQuery,
    parameters.CommandsQuery,
    parameters.StreamQuery,
)
NOW = 1_700_000_000.0


def fuzz_one(data: bytes) -> None:
    """Invalid parameters are a problem 400; times are finite and not before 1970."""
    text = data.decode("utf-8", "surrogateescape")
    position = Position.from_id(text)
    assert position is None or position.id.endswith(text.rpartition("-")[2].lstrip("0") or "0")
    given = parse_qsl(text, keep_blank_values=True)
    for kind in KINDS:
        # Each also gets its known parameters; otherwise most of them would read nothing.
        for pairs in (given, [pair for pair in given if pair[0] in _names(kind)]):
            wrong: ProblemError | None = None
            try:
                query = parameters.read_query(kind, pairs)
                if isinstance(query, parameters.HistoryQuery):
                    assert set(query.aggregates) <= set(parameters.AGGREGATES)
                    for moment in (query.start(NOW), query.end(NOW)):
                        assert moment is None or (math.isfinite(moment) and moment >= 0.0)
            except ProblemError as error:
                wrong = error
            if wrong is not None:
                assert wrong.problem.status == 400
                assert len(wrong.problem.detail) < 500


def _names(kind: type[parameters.Query]) -> set[str]:
    return set(kind.__struct_encode_fields__)
