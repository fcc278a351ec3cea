# SPDX-License-Identifier: BSD-3-Clause
"""Names of nodes as CSV: what people's tables look like, and what is wrong with some."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyaiot.cli import names_file
from pyaiot.cli.names_file import NodeLine
from pyaiot.client import OperatorError, RegistryEntry
from pyaiot.errors import ProtocolError
from pyaiot.messages import check_uid
from pyaiot.registry.record import NOTHING_ADDED, Edit

WHOLE = RegistryEntry(
    uid="b1",
    label='Desk "1"; left, lower',
    room="Lab ä",
    tags=("class 3b", "spare"),
    latitude=48.7,
    longitude=0.0,
    notes="two\nlines",
    interval_s=900.0,
    offline_after_s=1.5,
)


def parsed(data: bytes | str) -> list[NodeLine]:
    """The lines of a file in which nothing is wrong."""
    text = names_file.decode(data if isinstance(data, bytes) else data.encode())
    lines, errors = names_file.parse(text)
    assert errors == []
    return lines


def errors_of(text: str) -> list[str]:
    """What is wrong with the lines, or with the header."""
    try:
        _, errors = names_file.parse(text)
    except OperatorError as error:
        return [str(error)]
    return [str(error) for error in errors]


def test_columns_are_in_any_order_and_absent_ones_change_nothing() -> None:
    (line,) = parsed("Room, UID ,label\nLab,b1,Desk 1\n")
    assert line == NodeLine(2, "b1", {"room": "Lab", "label": "Desk 1"})


@pytest.mark.parametrize(
    "data",
    [
        "uid,label,tags\nb1,Désk,a\n",
        "\ufeffuid,label,tags\nb1,Désk,a\n",
        "uid;label;tags\r\nb1;Désk;a\r\n",
        "\r\n\r\nuid, label, tags\r\n\r\n,,\r\nb1,  Désk ,a",
        '"uid";"label";"tags"\n"b1";"Désk";"a"\n',
        "uid,label,tags,,\nb1,Désk,a,,\n",
    ],
)
def test_tables_of_different_programs_are_read(data: str) -> None:
    (line,) = parsed(data)
    assert (line.uid, line.fields) == ("b1", {"label": "Désk", "tags": ("a",)})


def test_empty_cell_clears() -> None:
    (line,) = parsed("uid,label,tags,latitude,longitude,interval\nb1,,,,,\n")
    assert set(line.fields.values()) == {None}
    (change,) = names_file.changes([line], {"b1": WHOLE})
    assert set(change.fields) == {"label", "tags", "latitude", "longitude", "interval_s"}
    assert change.texts[-1] == "interval 900 → –"


def test_tags_are_separated_by_commas() -> None:
    assert parsed('uid,tags\nb1,"class 3b, spare,,spare"\n')[0].fields["tags"] == (
        "class 3b",
        "spare",
    )
    assert parsed("uid;tags\nb1;class 3b, spare\n")[0].fields["tags"] == ("class 3b", "spare")


def test_decimal_commas_are_numbers_where_semicolons_separate() -> None:
    text = "uid;latitude;longitude;interval\nb1;48,7137;2.2;0,5\n"
    assert parsed(text)[0].fields == {"latitude": 48.7137, "longitude": 2.2, "interval_s": 0.5}


def test_lines_are_counted_as_editors_do() -> None:
    text = 'uid,notes\nb1,"two\nlines"\n\nb2,x\nb3,x,y\n'
    lines, errors = names_file.parse(text)
    assert [line.number for line in lines] == [2, 5]
    assert [str(error) for error in errors] == [
        "line 6: it has 3 cells, but there are 2 columns (quote a cell with a ',': \"a,b\")"
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "line 1: the file is empty: the first line names columns, such as uid,label,room"),
        ("b1,Desk\n", "line 1: it must name the columns, among them uid, such as uid,label,room"),
        ("uid,labl\n", "line 1: there is no column 'labl' (did you mean label?)"),
        ("uid,colour\n", "line 1: there is no column 'colour' (there are uid, label, room, "),
        ("uid,label,Label\n", "line 1: the column label occurs twice"),
        ('uid,label\nb1,"a"b\n', "line 2: it is not valid CSV ("),
        ('uid,label\nb1,"a\nb2,c\n', "line 2: it is not valid CSV ("),
        ("uid,label\nb1\n", "line 2: it has 1 cells, but there are 2 columns"),
        ("uid,label\n,Desk\n", "line 2: "),
        ("uid,label\nall,Desk\n", "line 2: "),
        (f"uid\n{'x' * 65}\n", "line 2: "),
        ("uid,label\nb1,a\nb1,b\n", "line 3: b1 is in line 2 already"),
        (f"uid,label\nb1,{'x' * 65}\n", f"line 2: label is '{'x' * 39}…', but it must be at most"),
        ("uid,label\nb1,a\x07\n", "line 2: a label has printable characters only"),
        (f"uid,tags\nb1,{'x' * 33}\n", "line 2: there are at most 16 tags, each of at most 32"),
        (
            f'uid,tags\nb1,"{",".join(map(str, range(17)))}"\n',
            "line 2: there are at most 16 tags, each of at most 32 characters",
        ),
        (
            "uid,latitude,longitude\nb1,91,0\n",
            "line 2: latitude is '91', but it must be at most 90",
        ),
        ("uid,latitude,longitude\nb1,1,\n", "line 2: a position has a latitude and a longitude"),
        ("uid,interval\nb1,soon\n", "line 2: interval is 'soon', but it must be a number"),
        ("uid,interval\nb1,nan\n", "line 2: interval is 'nan', but it must be a number"),
        ("uid,offline_after\nb1,-1\n", "line 2: offline_after is '-1', but it must be at least 0"),
    ],
)
def test_error_names_the_line_and_what_is_wrong(text: str, error: str) -> None:
    (found,) = errors_of(text)
    assert found.startswith(error)


def test_each_wrong_line_is_reported() -> None:
    text = "uid,interval\nb1,x\nb2,5\nb3,y\nb4,-5\n"
    assert [error[:7] for error in errors_of(text)] == ["line 2:", "line 4:", "line 5:"]


def test_text_in_another_encoding_is_refused() -> None:
    for data in ("uid,label\nb1,é\n".encode("latin-1"), "uid\nb1\n".encode("utf-16")):
        with pytest.raises(OperatorError, match="save the table as CSV UTF-8"):
            names_file.decode(data)


def test_a_file_has_what_was_added_and_reads_back_to_no_change() -> None:
    nodes = [WHOLE, RegistryEntry(uid="b2"), RegistryEntry(uid="b3", latitude=0.0, longitude=-0.5)]
    text = names_file.render(nodes)
    assert text.splitlines()[0] == ",".join(names_file.COLUMNS)
    assert "\r\nb2,,,,,,,,\r\n" in text
    lines = parsed(text)
    assert [line.uid for line in lines] == ["b1", "b2", "b3"]
    changes = names_file.changes(lines, {node.uid: node for node in nodes})
    assert [(change.action, change.fields) for change in changes] == [("same", {})] * 3
    as_new = names_file.changes(lines, {})
    assert as_new[0].fields == {
        field: getattr(WHOLE, field) for field in names_file.FIELDS.values()
    }


def test_what_changes_is_compared_with_the_registry() -> None:
    lines = parsed("uid,label,room\nnew,A,\nwait,,\nb1,B,Lab ä\n")
    known = {"wait": RegistryEntry(uid="wait", state="waiting"), "b1": WHOLE}
    new, accepted, edited = names_file.changes(lines, known)
    assert (new.action, new.fields, new.texts) == ("new", {"label": "A"}, ("label – → A",))
    assert (accepted.action, accepted.fields) == ("accept", {})
    assert (edited.action, edited.fields) == ("edit", {"label": "B"})


texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@given(
    uid=texts,
    label=texts,
    tags=st.lists(texts.filter(lambda it: "," not in it), max_size=16, unique=True),
    latitude=st.floats(-90, 90),
    interval=st.floats(0, 1e6),
)
def test_whatever_people_add_survives_export_and_import(
    uid: str, label: str, tags: list[str], latitude: float, interval: float
) -> None:
    try:
        check_uid(uid)
    except ProtocolError:
        return
    node = RegistryEntry(
        uid=uid,
        label=label,
        tags=tuple(tags),
        latitude=latitude,
        longitude=0.0,
        notes=f"{label}\n{label}",
        interval_s=interval,
    )
    (change,) = names_file.changes(parsed(names_file.render([node])), {uid: node})
    assert change.fields == {}


@given(st.text(st.sampled_from('uid,;"\n\r labeté0.5-\0\ufeff'), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        lines, _ = names_file.parse(text)
    except OperatorError:
        return
    for line in lines:
        check_uid(line.uid)
        Edit(**line.fields).apply(NOTHING_ADDED)
