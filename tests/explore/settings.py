"""Who plays, and the coarse clock. Time passes in instants, each a hair longer than the unit in which all timing is given,
so that a deadline one unit ahead (plus the rounding that the cores add to it) is met at exactly the next instant."""

from __future__ import annotations

from ha_stress.base.config import NodeConfig, SentinelConfig, Timing

SENTINELS = ("s1", "s2", "s3")
NODES = ("n1", "n2")
PEOPLE = (*SENTINELS, *NODES)
NUMBER = {name: number for number, name in enumerate(PEOPLE)}
REDIS = len(PEOPLE)
MAJORITY = 2
VERSION = "0.1.0"

INSTANT_S = 1.0 + 2e-6

#: In units of about an instant. What is 30 or more never comes due within any bound that can be explored.
TIMING = Timing(
    ping_period_s=1.0,
    down_after_s=2.0,
    crash_dials=1,
    crash_confirm_s=0.0,
    view_fresh_s=40.0,
    desync_s=0.0,
    vote_timeout_s=1.0,
    retry_min_s=1.0,
    retry_max_s=2.0,
    accept_timeout_s=2.0,
    announce_period_s=40.0,
    lease_ttl_s=3.0,
    lease_renew_s=1.0,
    lease_margin_s=1.0,
    info_period_s=1.0,
    info_expiry_s=40.0,
    reread_s=1.0,
    tilt_stall_s=1.0,
    tilt_s=1.0,
)

SENTINEL_CONFIGS = {name: SentinelConfig(id=name, members=SENTINELS, data_dir="", timing=TIMING) for name in SENTINELS}
NODE_CONFIGS = {
    name: NodeConfig(id=name, database_url="none", timing=TIMING, sentinels=len(SENTINELS)) for name in NODES
}


def seconds(instant: int) -> float:
    return instant * INSTANT_S


def no_dice() -> float:
    """All waits are the shortest; what chance would order, the exploration tries in every order."""
    return 0.0


def no_clock() -> float:
    return 0.0
