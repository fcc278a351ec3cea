# SPDX-License-Identifier: BSD-3-Clause
"""History as Arrow, read by pyarrow, polars and pandas.

They are imported where they are used: every process of the tests imports this file.
"""

import io
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pyaiot.client import Client
from pyaiot.client.rows import Row, Rows
from pyaiot.errors import OperatorError
from pyaiot.web.api import export_formats
from tests.web.api.test_history import BASE, HISTORY, VALUES, send_values
from tests.web.serving import Served, serving

ARROW = "application/vnd.apache.arrow.stream"


async def table(served: Served, path: str, **headers: str) -> Any:
    import pyarrow as pa

    async with served.web.get(path, headers=headers) as answer:
        body = await answer.read()
        assert (answer.status, answer.content_type) == (200, ARROW), body
        return pa.ipc.open_stream(body).read_all()


@pytest.mark.sockets
@pytest.mark.parametrize("by", ["?format=arrow", "Accept"])
async def test_an_export_has_every_row_of_the_one_as_ndjson(tmp_path: Path, by: str) -> None:
    async with serving(tmp_path) as served:
        rows = await send_values(served)
        headers = {"Accept": ARROW} if by == "Accept" else {}
        found = await table(served, f"/api/export{by if by[0] == '?' else ''}", **headers)
        assert found.num_rows == len(rows) == len(VALUES)
        for row, wanted in zip(found.to_pylist(), rows, strict=True):
            assert (row["uid"], row["resource"]) == (wanted["uid"], wanted["resource"])
            assert row["time"].timestamp() == wanted["ts"]
            assert row["value"] == wanted.get("value")
            assert row["unit"] == wanted.get("unit", "")
            data = wanted.get("data")
            text = data if isinstance(data, str) else msgspec.json.encode(data).decode()
            assert row["data"] == (text if "data" in wanted else None)


@pytest.mark.sockets
async def test_steps_have_a_column_for_each_aggregate(tmp_path: Path) -> None:
    import pyarrow as pa

    async with serving(tmp_path) as served:
        await send_values(served)
        query = f"{HISTORY}?from={BASE:.0f}&every=3600&format=arrow"
        one = await table(served, query)
        assert one.column_names == ["uid", "resource", "time", "value", "unit", "data"]
        several = await table(served, f"{query}&agg=mean,min,count")
        assert several.column_names == [*one.column_names[:-1], "mean", "min", "count"]
        assert several["count"].type == pa.int64()
        assert several["value"] == several["mean"]


@pytest.mark.sockets
async def test_empty_result_is_a_stream_without_rows(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        found = await table(served, "/api/export?format=arrow")
        assert (found.num_rows, found.column_names[:3]) == (0, ["uid", "resource", "time"])


@pytest.mark.sockets
async def test_polars_and_pandas_read_what_the_client_exports(tmp_path: Path) -> None:
    import polars as pl
    import pyarrow as pa

    async with serving(tmp_path) as served:
        rows = await send_values(served)
        host, _, port = served.url.removeprefix("http://").rstrip("/").rpartition(":")
        async with Client(host, int(port), live=False) as client:
            body = b"".join([piece async for piece in client.export("arrow")])
        frame = pl.read_ipc_stream(io.BytesIO(body))
        assert frame.height == len(rows)
        assert frame["time"].dtype == pl.Datetime("us", "UTC")
        data_frame = pa.ipc.open_stream(body).read_pandas()
        assert list(data_frame["uid"]) == list(frame["uid"])
        assert str(data_frame["time"].dt.tz) == "UTC"


@pytest.mark.sockets
async def test_problem_without_the_extra_names_the_command_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "pyaiot.web.api.arrow", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    async with serving(tmp_path) as served:
        problem = await served.json("/api/export?format=arrow", status=406)
        assert problem["type"].endswith("no-arrow")
        assert "pyaiot[arrow]" in problem["detail"]
        # The other formats are not affected.
        assert (await served.web.get("/api/export?format=csv")).status == 200


def test_format_writers_are_not_shared() -> None:
    import pyarrow as pa

    first, second = export_formats.format_writer("arrow"), export_formats.format_writer("arrow")
    assert first.head() == second.head()
    first.tail()
    assert pa.ipc.open_stream(second.head() + second.tail()).read_all().num_rows == 0


ROWS = Rows("n", "t", [Row(1.5, 20.5, "Cel"), Row(2.5, data="broken"), Row(3.5, data=[1, None])])


def test_rows_become_a_table_of_pandas() -> None:
    frame = ROWS.to_pandas()
    assert list(frame.columns) == ["value", "unit", "data"]
    assert frame.index.name == "time"
    assert str(frame.index.tz) == "UTC"
    assert [time.timestamp() for time in frame.index] == [1.5, 2.5, 3.5]
    assert frame["value"].isna().tolist() == [False, True, True]
    assert frame["data"].tolist()[1:] == ["broken", [1, None]]
    assert frame["value"].mean() == 20.5


def test_rows_become_a_table_of_polars() -> None:
    import polars as pl

    frame = ROWS.to_polars()
    assert frame.schema["time"] == pl.Datetime("us", "UTC")
    assert frame["value"].to_list() == [20.5, None, None]
    assert frame["data"].to_list() == [None, "broken", "[1,null]"]
    assert Rows("n", "t", []).to_polars().height == 0


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_a_missing_library_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(OperatorError, match=f"pip install {name}"):
        getattr(ROWS, f"to_{name}")()
