"""What people type, and what it means."""

from __future__ import annotations

import pytest

from ha_stress.base.errors import ConfigError
from ha_stress.base.quantities import parse_duration, parse_rate
from ha_stress.cli.parse import parse_headers, parse_pairs


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20s", 20), ("1m30s", 90), ("500ms", 0.5), ("2h", 7200), ("1.5s", 1.5), ("7", 7), (" 1m 5s ", 65), (".5s", 0.5)],
)
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "20x",
        "1m30",
        "-5s",
        "nan",
        "inf",
        "20 s later",
        "1e999",
        "9" * 400 + "s",
        "10 20s",
        "1 0",
        "1_0",
        "\u0663s",
    ],
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="20s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "rate"), [("500", 500), ("1.5k", 1500), ("500/s", 500), ("90/min", 1.5), ("2M", 2e6), ("36/h", 0.01)]
)
def test_a_rate_is_arrivals_per_second(text: str, rate: float) -> None:
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["", "fast", "-1", "5/y", "1.5.2", "k", "nan", "9" * 400, "\u0663", "1_0"])
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"1\.5k"):
        parse_rate(text)


def test_headers_are_names_and_values_and_may_repeat() -> None:
    assert parse_headers(["A: 1", "A:2", "B: x:y"]) == [("A", "1"), ("A", "2"), ("B", "x:y")]
    for wrong in ("nothing", ": x"):
        with pytest.raises(ConfigError, match="header"):
            parse_headers([wrong])


def test_pairs_need_a_key_and_a_value() -> None:
    assert parse_pairs("--timing", ["a=1", "b = 2"]) == {"a": "1", "b": "2"}
    for wrong in ("a", "=1", "a="):
        with pytest.raises(ConfigError, match="--timing"):
            parse_pairs("--timing", [wrong])
