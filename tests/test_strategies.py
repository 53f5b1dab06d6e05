"""Who is chosen, in which order."""

from __future__ import annotations

import pytest

from ha_stress import strategies
from ha_stress.base.errors import ConfigError
from ha_stress.cluster.members import NodeInfo, Role

GIB = 1 << 30


def node(name: str, sequence: int = 1, cpu: float | None = 10.0, memory: float | None = 10.0, gib: int = 4) -> NodeInfo:
    return NodeInfo(
        id=name,
        incarnation="i1",
        sequence=sequence,
        priority=100,
        mesh_host="127.0.0.1",
        mesh_port=1,
        api_url="",
        role=Role.WORKER,
        epoch=1,
        cpu_percent=cpu,
        memory_percent=memory,
        memory_total_bytes=gib * GIB,
    )


def names(chosen: list[tuple[NodeInfo, float]]) -> list[str]:
    return [member.id for member, _ in chosen]


def test_resource_priority_ranks_by_cpu_then_memory_then_capacity() -> None:
    members = [
        node("busy", cpu=90),
        node("small", cpu=10, memory=20, gib=2),
        node("large", cpu=10, memory=20, gib=64),
        node("full", cpu=10, memory=80, gib=64),
    ]
    assert names(strategies.weights(members)) == ["large", "small", "full", "busy"]


def test_an_unknown_figure_ranks_last_regression_a_newcomer_reported_0_percent_and_always_won() -> None:
    members = [node("newcomer", cpu=None, memory=None), node("busy", cpu=99.0), node("half", memory=None)]
    assert names(strategies.weights(members)) == ["half", "busy", "newcomer"]


def test_equals_are_ranked_by_seniority() -> None:
    members = [node("b", 2), node("c", 3), node("a", 1)]
    assert names(strategies.weights(members)) == ["a", "b", "c"]
    assert names(strategies.weights(members, name="equal")) == ["a", "b", "c"]


def test_those_who_are_chosen_share_alike() -> None:
    members = [node("a", 1, cpu=80), node("b", 2, cpu=5), node("c", 3, cpu=20)]
    chosen = strategies.weights(members, 2)
    assert names(chosen) == ["b", "c"]
    assert {weight for _, weight in chosen} == {1.0}


@pytest.mark.parametrize("name", strategies.strategies())
def test_choosing_from_nobody_is_a_typed_error(name: str) -> None:
    with pytest.raises(strategies.NoMembers, match=name):
        strategies.weights([], name=name)


def test_an_unknown_name_is_an_error_that_lists_the_names() -> None:
    with pytest.raises(ConfigError, match=r"unknown strategy 'best'.*equal, resource_priority"):
        strategies.strategy("best")
