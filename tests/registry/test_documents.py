# SPDX-License-Identifier: BSD-3-Clause
"""Documents beside the nodes: limits, and what is still to be written."""

import pytest

from pyaiot.errors import Refused
from pyaiot.registry import documents as documents_module
from pyaiot.registry.documents import DOCUMENT_SIZE_MAX, Documents


def test_documents_are_found_by_kind_and_key() -> None:
    documents = Documents()
    documents.set([("view", "a", "1"), ("view", "b", "2"), ("alert", "a", "3")])
    documents.set([("view", "a", None)])

    assert documents.of("view") == {"b": "2"}
    assert documents.of("nothing") == {}
    assert len(documents) == 2


def test_what_is_set_later_is_written_once() -> None:
    documents = Documents()
    documents.set_later([("alert", "a", "1"), ("alert", "b", "2")])
    documents.set_later([("alert", "a", "3"), ("alert", "b", None)])

    assert documents.take_unwritten(10) == [("alert", "a", "3"), ("alert", "b", None)]
    assert documents.take_unwritten(10) == []


def test_what_could_not_be_written_is_written_next_time_as_it_is_then() -> None:
    documents = Documents()
    documents.set_later([("alert", "a", "1")])
    failed = documents.take_unwritten(10)
    documents.not_written(failed)
    documents.set_later([("alert", "a", "2")])

    assert documents.take_unwritten(10) == [("alert", "a", "2")]


def test_what_was_set_before_the_store_was_read_stays() -> None:
    documents = Documents()
    documents.set_later([("alert", "a", "new"), ("alert", "b", None)])
    documents.load([("alert", "a", "old"), ("alert", "b", "old"), ("alert", "c", "old")])

    assert documents.of("alert") == {"a": "new", "c": "old"}


def test_more_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_module, "DOCUMENTS_MAX", 2)
    documents = Documents()
    documents.set([("view", "a", "1"), ("view", "b", "2")])
    documents.check([("view", "a", "3"), ("view", "b", None)])

    with pytest.raises(Refused, match="there are 2 documents already"):
        documents.set_later([("view", "c", "4")])
    assert "c" not in documents.of("view")


def test_a_document_that_is_too_large_is_refused() -> None:
    documents = Documents()
    documents.check([("view", "a", "x" * DOCUMENT_SIZE_MAX)])

    with pytest.raises(Refused, match="more than 65536 bytes"):
        documents.check([("view", "a", "é" * (DOCUMENT_SIZE_MAX // 2 + 1))])
