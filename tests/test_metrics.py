# SPDX-License-Identifier: BSD-3-Clause
"""Figures: buckets and labels."""

import pytest

from pyaiot.metrics import OTHER, SECONDS, Histogram, Metric

REFUSED = Metric("refused", "counter", "What was refused.", {"protocol": ("CoAP", OTHER)})


def test_a_duration_counts_in_the_bucket_whose_bound_it_does_not_exceed() -> None:
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.0, 0.1, 0.2, 1.0, 1.1, 99.0):
        histogram.observe(seconds)
    assert histogram.counts == [2, 2, 2]
    assert histogram.total == pytest.approx(101.4)


def test_bounds_grow() -> None:
    assert list(SECONDS) == sorted(set(SECONDS))


@pytest.mark.parametrize(
    ("protocol", "label"), [("CoAP", "CoAP"), ("coap", OTHER), ('x"}\n', OTHER), ("", OTHER)]
)
def test_a_label_is_one_of_the_known_values(protocol: str, label: str) -> None:
    assert REFUSED.of(1, protocol=protocol).labels == (label,)


def test_a_missing_label_is_a_bug() -> None:
    with pytest.raises(KeyError):
        REFUSED.of(1)
