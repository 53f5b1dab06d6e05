"""Configuration: frozen, complete in its complaints, and true to the relations between fields."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ha_stress.base.config import ClusterConfig, NodeConfig, SentinelConfig, Timing, load
from ha_stress.base.errors import ConfigError

NODE: dict[str, Any] = {"id": "node-1", "database_url": "sqlite:///x.db"}
SENTINEL: dict[str, Any] = {"id": "s1", "members": ["s1", "s2", "s3"], "data_dir": "data"}


def refusal(model: Any, values: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        load(model, values)
    return str(caught.value)


def test_the_defaults_are_valid() -> None:
    assert load(NodeConfig, NODE).timing == Timing()
    assert load(SentinelConfig, SENTINEL).effective_quorum == 2


def test_a_config_cannot_be_changed_after_it_was_checked() -> None:
    config = load(NodeConfig, NODE)
    with pytest.raises(ValidationError):
        config.priority = 3  # type: ignore[misc]


def test_an_unknown_key_is_refused_with_its_path() -> None:
    assert "timing.ping_perod_s: unknown setting" in refusal(NodeConfig, {**NODE, "timing": {"ping_perod_s": 1}})


def test_all_problems_are_reported_at_once_in_one_sentence() -> None:
    said = refusal(NodeConfig, {"id": "a b", "priority": -1, "api_port": 70_000, "redis_url": "http://x"})
    assert "\n" not in said
    for path in ("id", "priority", "api_port", "redis_url", "database_url"):
        assert f"{path}: " in said


@pytest.mark.parametrize(
    ("timing", "sentence"),
    [
        ({"ping_period_s": 1, "down_after_s": 1}, "ping_period_s must be below down_after_s"),
        ({"lease_renew_s": 1.5}, "lease_renew_s must be below half of lease_ttl_s"),
        ({"lease_margin_s": 2.5}, "lease_margin_s must be below lease_ttl_s - lease_renew_s"),
        ({"info_period_s": 2}, "info_period_s must be below half of info_expiry_s"),
        ({"retry_min_s": 4}, "retry_min_s must not be above retry_max_s"),
        ({"view_fresh_s": 0.5}, "view_fresh_s must be above ping_period_s"),
    ],
)
def test_a_contradiction_between_durations_is_refused(timing: dict[str, float], sentence: str) -> None:
    assert sentence in refusal(ClusterConfig, {"timing": timing})


def test_two_contradictions_are_both_named() -> None:
    said = refusal(ClusterConfig, {"timing": {"info_period_s": 2, "retry_min_s": 4}})
    assert "info_expiry_s" in said and "retry_max_s" in said


@pytest.mark.parametrize("field", sorted(Timing.model_fields))
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "soon"])
def test_a_duration_is_a_finite_number_that_is_not_negative(field: str, value: Any) -> None:
    assert f"timing.{field}: " in refusal(ClusterConfig, {"timing": {field: value}})


@pytest.mark.parametrize("field", sorted(name for name in Timing.model_fields if name.endswith("_s")))
def test_every_duration_has_an_upper_bound(field: str) -> None:
    assert f"timing.{field}: " in refusal(ClusterConfig, {"timing": {field: 1e9}})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"id": "s9"}, "members does not name this sentinel (s9)"),
        ({"members": ["s1", "s1"]}, "members names a sentinel twice"),
        ({"quorum": 4}, "quorum 4 is above the number of members (3)"),
        ({"addresses": {"s7": "h:1"}}, "addresses names s7, which members does not"),
        ({"members": []}, "members: "),
    ],
)
def test_a_sentinel_that_contradicts_its_membership_is_refused(change: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(SentinelConfig, {**SENTINEL, **change})


@given(st.integers(1, 101))
def test_a_majority_is_more_than_half_and_two_of_them_overlap(size: int) -> None:
    members = [f"s{i}" for i in range(size)]
    config = load(SentinelConfig, {**SENTINEL, "id": "s0", "members": members})
    assert config.majority * 2 > size >= config.majority
    assert config.effective_quorum == config.majority


def test_the_quorum_only_declares_down_and_may_be_lower_than_the_majority() -> None:
    config = load(SentinelConfig, {**SENTINEL, "quorum": 1})
    assert (config.effective_quorum, config.majority) == (1, 2)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "db.example"])
def test_who_can_be_reached_from_other_machines_needs_a_secret(host: str) -> None:
    values = {"id": "n1", "database_url": "sqlite:///x.db", "host": host, "advertise_host": "n1.example"}
    with pytest.raises(ConfigError, match="the same secret"):
        load(NodeConfig, values)
    assert load(NodeConfig, {**values, "secret": "s"}).host == host


def test_who_listens_on_every_address_says_by_which_one_it_is_reached() -> None:
    values = {"id": "s1", "members": ["s1"], "data_dir": "d", "host": "0.0.0.0", "secret": "s"}
    with pytest.raises(ConfigError, match="advertise_host"):
        load(SentinelConfig, values)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_secret(host: str) -> None:
    assert not load(NodeConfig, {"id": "n1", "database_url": "sqlite:///x.db", "host": host}).secret
