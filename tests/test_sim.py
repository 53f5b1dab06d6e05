"""The deterministic simulation: the sound cores survive every seed, a seed replays exactly, planted defects are caught."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.sim import __main__ as command
from tests.sim import faults, mutants
from tests.sim.builds import DEFECTS
from tests.sim.mutants import Verdict, hunt_all
from tests.sim.report import as_text
from tests.sim.runner import Summary, run_seed, run_seeds

ROOT = Path(__file__).parent.parent
SEEDS = 1000
#: Those of `faults`, the jumping clocks, and the switchover that is asked for in quiet.
FAULT_KINDS = 26
#: Each planted defect must show within this many seeds; most show in the first few.
DEFECT_SEEDS = 300


def test_a_thousand_seeds_break_no_invariant() -> None:
    summary = run_seeds(range(SEEDS), jobs=os.cpu_count() or 1)
    assert not summary.failed
    assert summary.seeds == SEEDS
    assert summary.violations == 0
    assert summary.counts["failovers"] > SEEDS, "the faults must cause failovers, else nothing was tried"
    assert summary.counts["fault_free_seeds"] > 0
    assert summary.counts["writes refused"] > 0, "a superseded master must have run into the fence"
    assert len(summary.faults) == FAULT_KINDS, "every kind of fault must have happened"
    assert summary.counts["switchovers"] > 0, "the operator must have been obeyed"
    assert summary.counts["+members"] > 0, "the sentinels must have been exchanged"
    assert summary.counts["false_failovers"] < summary.sim_s / 3600, "not one false failover an hour, among faults"


@pytest.mark.parametrize("seed", [502_431])
def test_a_long_life_that_once_broke_an_invariant_breaks_none(seed: int) -> None:
    assert not run_seed(seed, cycles=3).violations


def test_the_same_seed_gives_the_same_conversation() -> None:
    first, again = run_seed(7, talk=True), run_seed(7, talk=True)
    assert first.digest == again.digest
    assert first.lines == again.lines
    assert first.digest != run_seed(8, talk=True).digest


def test_a_seed_replays_in_another_process_with_another_hash_seed() -> None:
    here = run_seed(7, talk=True)
    again = [sys.executable, "-m", "tests.sim", "--seed", "7"]
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    said = subprocess.run(again, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.rstrip().endswith(here.digest)


def test_a_life_of_several_storms_is_quiet_after_each() -> None:
    once, thrice = run_seed(3), run_seed(3, cycles=3)
    assert thrice.seconds > once.seconds + 2 * 60
    assert not thrice.violations
    assert sum(thrice.faults.values()) > sum(once.faults.values())


def test_processes_give_the_sum_of_the_same_seeds() -> None:
    here, there = run_seeds(range(10), jobs=1), run_seeds(range(10), jobs=2)
    assert here.seeds == there.seeds == 10
    assert (here.counts, here.faults) == (there.counts, there.faults)
    assert here.sim_s == pytest.approx(there.sim_s)


def test_an_interrupted_run_ends_in_good_order_with_the_sum_of_what_is_done() -> None:
    def interrupt(summary: Summary) -> None:
        if summary.seeds:
            raise KeyboardInterrupt

    summary = run_seeds(range(100_000), jobs=2, on_part=interrupt)
    assert summary.interrupted
    assert 0 < summary.seeds < 100
    assert "interrupted" in as_text(summary)
    assert summary.as_json()["seeds"] == summary.seeds


def test_a_failing_seed_is_told_as_a_conversation_that_ends_in_the_broken_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    defect = "quorum used as majority"
    monkeypatch.setattr(sys, "argv", ["sim", "--seeds", "5", "--jobs", "1", "--defect", defect])
    assert command.main() == 1
    said = capsys.readouterr().out
    head, _, conversation = said.partition("How seed ")
    assert "violation" in head
    lines = conversation.splitlines()
    assert "BROKEN  a majority elects" in lines[-3]
    assert lines[-1].startswith("The whole conversation: python -m tests.sim --seed ")
    assert any("your vote of epoch" in line for line in lines)


def test_one_seed_can_be_a_document_too_and_its_conversation_stands_beside_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sim", "--seed", "11", "--json"])
    assert command.main() == 0
    said = capsys.readouterr()
    assert (json.loads(said.out)["seeds"], json.loads(said.out)["violations"]) == (1, 0)
    assert "the same steps give" in said.err


@pytest.mark.parametrize("seeds", ["0", "-3", "abc", "", "1.5"])
def test_a_number_of_seeds_that_is_none_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seeds: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["sim", f"--seeds={seeds}"])
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert f"argument --seeds: {seeds!r} is not a whole number above 0" in capsys.readouterr().err


def test_watching_a_seed_does_not_change_it() -> None:
    seen, unseen = run_seed(11, talk=True), run_seed(11)
    assert (seen.counts, seen.faults, seen.settled_s) == (unseen.counts, unseen.faults, unseen.settled_s)


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> dict[str, Verdict]:
    """Of every defect that this session asks for, hunted on all cores at once."""
    asked = [item.callspec.params.get("defect") for item in request.session.items if hasattr(item, "callspec")]
    wanted = [defect for defect in DEFECTS if defect in asked]
    return {verdict.name: verdict for verdict in hunt_all(wanted, DEFECT_SEEDS, os.cpu_count() or 1)}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_caught(defect: str, verdicts: dict[str, Verdict]) -> None:
    verdict = verdicts[defect]
    assert verdict.caught, f"nobody noticed: {defect}"
    assert verdict.invariant != "the core raises nothing", "a defect that only crashes tests nothing"


def test_a_jump_of_the_wall_clock_changes_nothing_for_the_sound_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    jumped = run_seed(9)
    monkeypatch.setattr(faults, "CLOCK_PACE_S", 1e9)
    steady = run_seed(9)
    assert jumped.faults[faults.CLOCK_JUMP] > 0
    assert steady.faults == jumped.faults - Counter({faults.CLOCK_JUMP: jumped.faults[faults.CLOCK_JUMP]})
    assert (steady.counts, steady.settled_s) == (jumped.counts, jumped.settled_s)


def test_the_command_names_each_defect_with_its_seeds_and_its_invariant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "old master acts after its deadline"
    monkeypatch.setattr(sys, "argv", ["mutants", "--only", name, "--jobs", "1", "--json"])
    assert mutants.main() == 0
    said = json.loads(capsys.readouterr().out)
    (defect,) = said["defects"]
    assert said["missed"] == 0
    assert (defect["name"], defect["caught"], defect["invariant"]) == (name, True, "nobody acts after its lease")
    monkeypatch.setattr(sys, "argv", ["mutants", "--only", name, "--jobs", "1", "--seeds", "0"])
    assert mutants.main() == 1, "a defect that is missed must fail the command"
