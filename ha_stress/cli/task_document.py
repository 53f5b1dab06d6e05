"""What was typed about a task, as the document that the API takes. Reads the files that are named, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ha_stress.cli.task_options import TaskOptions

T = TypeVar("T")


def described(
    task: TaskOptions, *, rate: str | None = None, duration: str | None = None, task_id: str = ""
) -> dict[str, Any]:
    """The document of the API for what was typed, checked: bad input is refused before anything is started or asked.

    `rate` and `duration` are used where the options say nothing of either; `task_id` is drawn if it is left out.
    """
    from ha_stress.api.creation import checked
    from ha_stress.base.ids import new_task_id

    document = {"id": task_id or new_task_id(), "name": task.name or None, **_work(task)}
    document |= _model(task, rate=rate, duration=duration)
    document["warm_up_s"] = _seconds("--warm-up", task.warm_up) if task.warm_up else 0.0
    document |= {"in_flight_max": task.in_flight_max, "checks": task.check, "thresholds": task.threshold}
    checked(document)
    return document


def _model(task: TaskOptions, *, rate: str | None, duration: str | None) -> dict[str, Any]:
    """Who sends, how often, for how long."""
    from ha_stress.base.errors import ConfigError
    from ha_stress.base.quantities import parse_rate

    profile = profile_document(task.profile, task.arrivals)
    stages = profile["stages"] if profile else []
    if task.rate is not None:
        rate = task.rate
    elif task.users or stages:
        rate = None
    elif rate is None:
        raise ConfigError("--rate is missing: say how many arrivals per second, or give --profile or --users")
    if task.duration is not None:
        duration = task.duration
    elif profile and stages and not profile["sine_amplitude"]:  # a sine has no end of its own
        duration = f"{sum(stage['duration_s'] for stage in stages)}s"
    return {
        "rate": 0.0 if rate is None else _named("--rate", parse_rate, rate),
        "profile": profile,
        "users": task.users,
        "think_time_s": _seconds("--think-time", task.think_time) if task.think_time else 0.0,
        "duration_s": None if duration is None else _seconds("--duration", duration),
    }


def profile_document(shape: str, arrivals: str, *, at: str = "--") -> dict[str, Any] | None:
    """What `shape` and `arrivals` say together. A random seed is drawn here, so that a task that is asked for twice is the
    same one. `at` is what stands before a name where a ConfigError gives one."""
    import secrets
    from dataclasses import asdict, replace

    from ha_stress.base.limits import POISSON_SEED_MAX
    from ha_stress.tasks.profile import Profile
    from ha_stress.tasks.profile_text import parse_arrivals, parse_profile

    profile = _named(f"{at}profile", parse_profile, shape) if shape else Profile()
    seed = _named(
        f"{at}arrivals", lambda text: parse_arrivals(text, lambda: secrets.randbelow(POISSON_SEED_MAX)), arrivals
    )
    if seed is not None:
        profile = replace(profile, poisson_seed=seed)
    if profile == Profile():
        return None
    return asdict(profile) | {"stages": [asdict(stage) for stage in profile.stages]}


def _work(task: TaskOptions) -> dict[str, Any]:
    """What is sent."""
    from base64 import b64encode

    from ha_stress.base.errors import ConfigError
    from ha_stress.cli.parse import parse_headers

    further = _requests(task.requests) if task.requests is not None else []
    if task.curl:
        further = [*_curl(task), *further]
    timeout_s = _seconds("--timeout", task.timeout)
    further = [{"timeout_s": timeout_s, **one} for one in further]  # those that do not say it themselves
    if not task.url and further:
        own, further = further[0], further[1:]
    elif task.url:
        own = {
            "url": task.url,
            "method": task.method.upper(),
            "headers": [list(pair) for pair in parse_headers(task.header)],
            "body_base64": b64encode(_body(task.body)).decode("ascii"),
            "timeout_s": timeout_s,
            "http2": task.http2,
            "expect": task.expect,
        }
    else:
        raise ConfigError("URL is missing: say what to load, for example http://127.0.0.1:8080/")
    return {**as_first(own), "requests": further, "scenario": _scenario(task)}


def as_first(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request as the task's own one: there `name` is that of the task."""
    return {"request_name" if key == "name" else key: value for key, value in request.items()}


def _scenario(task: TaskOptions) -> dict[str, Any] | None:
    from ha_stress.cli.parse import parse_pairs

    data, once = (
        {name: Path(file) for name, file in parse_pairs(option, pairs).items()}
        for option, pairs in (("--data", task.data), ("--data-once", task.data_once))
    )
    return scenario_document(task.scenario, data, once)


def scenario_document(
    scenario: Path | None, data: Mapping[str, Path], data_once: Mapping[str, Path], *, at: str = "--"
) -> dict[str, Any] | None:
    """The program and its data, by name. `at` is what stands before a name where a ConfigError gives one."""
    from ha_stress.base.errors import ConfigError
    from ha_stress.base.limits import REQUEST_BODY_BYTES_MAX
    from ha_stress.cli.files import read_text

    def text(option: str, file: Path) -> str:
        return read_text(f"{at}{option} {file}", file, REQUEST_BODY_BYTES_MAX)

    if scenario is None:
        if data or data_once:
            raise ConfigError(f"{at}data is read by a scenario: give one with {at}scenario")
        return None
    feeders = [
        {"name": name, "csv": text("data", file), "again": files is data}
        for files in (data, data_once)
        for name, file in files.items()
    ]
    return {"name": scenario.name, "source": text("scenario", scenario), "feeders": feeders}


def _curl(task: TaskOptions) -> list[dict[str, Any]]:
    from ha_stress.base.errors import ConfigError
    from ha_stress.cli.import_files import read_import
    from ha_stress.cli.parse import parse_headers
    from ha_stress.imports.curl import requests_of

    if task.url or task.body or task.method != "GET":
        raise ConfigError("--curl says what is sent: give no other URL, method or body")
    return requests_of(task.curl, read_import).with_headers(parse_headers(task.header)).to_api()


def _requests(file: Path) -> list[dict[str, Any]]:
    import json

    from ha_stress.base.errors import ConfigError
    from ha_stress.base.limits import REQUEST_BODY_BYTES_MAX
    from ha_stress.cli.files import read_text

    try:
        found = json.loads(read_text(f"--requests {file}", file, REQUEST_BODY_BYTES_MAX))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--requests {file}: not JSON: {error}") from None
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise ConfigError(f'--requests {file}: not a list of requests: write for example [{{"url": "http://..."}}]')
    return found


def _body(text: str) -> bytes:
    from ha_stress.base.limits import REQUEST_BODY_BYTES_MAX
    from ha_stress.cli.files import read_bounded

    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")  # what was typed, byte for byte
    return read_bounded(f"--body {text[1:]}", Path(text[1:]), REQUEST_BODY_BYTES_MAX)


def _seconds(option: str, text: str) -> float:
    from ha_stress.base.quantities import parse_duration

    return _named(option, parse_duration, text)


def _named(option: str, parse: Callable[[str], T], text: str) -> T:
    """What `parse` makes of it; its ConfigError says to which option it belongs."""
    from ha_stress.base.errors import ConfigError

    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from None
