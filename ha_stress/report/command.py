"""What to type to do the same again, and what a load is in words. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from statistics import mode
from typing import Any

from ha_stress.base.quantities import duration_text, number_text
from ha_stress.report.target import profile_of
from ha_stress.tasks.profile_text import describe


def command_of(task: Mapping[str, Any]) -> str:
    """A command that creates the same task, as far as options can say it; files are named in capitals."""
    # Options say one request, without a weight and a name; else all of them are in the file.
    listed = task.get("requests") or task.get("request_name") or task.get("weight", 1) != 1
    words = ["ha-stress", "task", "create", *([] if listed else [str(task["url"])]), *_load(task)]
    words += ["--requests", "REQUESTS.json"] if listed else _request(task)
    # That of most: a request of the file that has another one says so itself.
    limits = [task["timeout_s"], *(one.get("timeout_s", task["timeout_s"]) for one in task.get("requests") or ())]
    words += ["--timeout", duration_text(mode(limits))]
    for option, key in (("--check", "checks"), ("--threshold", "thresholds")):
        words += [word for text in task.get(key) or () for word in (option, str(text))]
    if scenario := task.get("scenario"):
        words += ["--scenario", str(scenario.get("name") or "SCENARIO.py")]
        for one in scenario.get("feeders") or ():
            words += ["--data" if one.get("again", True) else "--data-once", f"{one['name']}={one['name']}.csv"]
    words += ["--nodes-max", str(task["nodes_max"])] if task.get("nodes_max") else []
    return shlex.join([*words, "--name", str(task["name"])])


def load_of(task: Mapping[str, Any]) -> str:
    """One line for people."""
    lasts = "until stopped" if task["duration_s"] is None else f"for {duration_text(task['duration_s'])}"
    if task.get("users"):
        think = f" who think {duration_text(task['think_time_s'])}" if task.get("think_time_s") else ""
        return f"{task['users']} users{think}, {lasts}"
    return f"{describe(profile_of(task), first_rate(task))}, {lasts}"


def first_rate(task: Mapping[str, Any]) -> float:
    """Arrivals per second at the beginning: `rate` is what was wanted last."""
    plan = task.get("plan") or ()
    return float(plan[0]["rate"] if plan else task["rate"])


def _load(task: Mapping[str, Any]) -> list[str]:
    profile = profile_of(task)
    if task.get("users"):
        words = ["--users", str(task["users"])]
        words += ["--think-time", duration_text(task["think_time_s"])] if task.get("think_time_s") else []
    elif profile is not None and (profile.stages or profile.sine_amplitude):
        words = ["--profile", describe(profile, first_rate(task)).partition(", poisson")[0]]
    else:
        words = ["--rate", number_text(first_rate(task))]
    if profile is not None and profile.poisson_seed is not None:
        words += ["--arrivals", f"poisson:{profile.poisson_seed}"]
    words += ["--duration", duration_text(task["duration_s"])] if task["duration_s"] is not None else []
    words += ["--warm-up", duration_text(task["warm_up_s"])] if task.get("warm_up_s") else []
    return [*words, "--in-flight-max", str(task["in_flight_max"])]


def _request(task: Mapping[str, Any]) -> list[str]:
    words = ["--method", str(task["method"])] if task["method"] != "GET" else []
    words += [word for name, value in task["headers"] for word in ("--header", f"{name}: {value}")]
    words += ["--body", "@BODY"] if task.get("body_base64") or task.get("body_blob") else []
    words += ["--http2"] if task.get("http2") else []
    return [*words, *(["--expect", str(task["expect"])] if task.get("expect") else [])]
