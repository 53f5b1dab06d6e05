"""The deterministic simulation: the sound cores survive every seed, a seed replays exactly, planted defects are caught."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.builds import DEFECTS
from tests.sim.runner import run_seed, run_seeds

ROOT = Path(__file__).parent.parent
SEEDS = 300
FAULT_KINDS = 20
#: Each planted defect must show within this many seeds; most show in the first few.
DEFECT_SEEDS = 300


def test_three_hundred_seeds_break_no_invariant() -> None:
    summary = run_seeds(range(SEEDS))
    assert not summary.failed
    assert summary.seeds == SEEDS
    assert summary.counts["failovers"] > SEEDS, "the faults must cause failovers, else nothing was tried"
    assert summary.counts["fault_free_seeds"] > 0
    assert summary.counts["writes refused"] > 0, "a superseded master must have run into the fence"
    assert len(summary.faults) == FAULT_KINDS, "every kind of fault must have happened"
    assert summary.counts["false_failovers"] < summary.sim_s / 3600, "not one false failover an hour, among faults"


def test_the_same_seed_gives_the_same_conversation() -> None:
    first, again = run_seed(7, talk=True), run_seed(7, talk=True)
    assert first.digest == again.digest
    assert first.lines == again.lines
    assert first.digest != run_seed(8, talk=True).digest


def test_a_seed_replays_in_another_process_with_another_hash_seed() -> None:
    here = run_seed(7, talk=True)
    command = [sys.executable, "-m", "tests.sim", "--seed", "7"]
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.rstrip().endswith(here.digest)


def test_watching_a_seed_does_not_change_it() -> None:
    seen, unseen = run_seed(11, talk=True), run_seed(11)
    assert (seen.counts, seen.faults, seen.settled_s) == (unseen.counts, unseen.faults, unseen.settled_s)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_caught(defect: str) -> None:
    assert any(run_seed(seed, defect).violations for seed in range(DEFECT_SEEDS)), f"nobody noticed: {defect}"
