"""`docker compose up`, without Docker: the services of docker-compose.yml start, find each other by name, and work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.compose import netns, services

VARIABLES: Final = {"HA_STRESS_SECRET": "compose-test", "POSTGRES_PASSWORD": "p-compose.test"}
START_S_MAX: Final = 60.0
TASK_S_MAX: Final = 90.0

needs_namespaces = pytest.mark.netns
starts_processes = pytest.mark.cluster


class Compose:
    """The services under their names, started wave by wave as `depends_on` says."""

    def __init__(self, network: netns.Network, scratch: Path) -> None:
        self.network = network
        self.logs = scratch / "logs"
        self.logs.mkdir()
        services.make_client(scratch)
        specs = services.load(VARIABLES)
        self.services = {name: services.resolve(name, spec, scratch) for name, spec in specs.items()}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def up(self, waves: Sequence[Sequence[services.Service]]) -> None:
        """Start each wave and wait until its health checks pass."""
        for wave in waves:
            for service in wave:
                with (self.logs / service.name).open("ab") as log:
                    self.running[service.name] = self.network.start(
                        service.name, service.command, service.environment, service.directory, log
                    )
            for service in wave:
                self._wait_healthy(service)

    def _wait_healthy(self, service: services.Service) -> None:
        def healthy() -> bool:
            process = self.running[service.name]
            assert process.poll() is None, f"{service.name} ended with {process.returncode}:\n{self.tail(service.name)}"
            return self.run(service.name, service.health).returncode == 0

        wait_until(healthy, START_S_MAX, lambda: f"{service.name} is not healthy:\n{self.tail(service.name)}")

    def run(self, name: str, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return self.network.run(name, command, self.services[name].environment)

    def read(self, name: str, command: Sequence[str]) -> str:
        """Standard output of a command on the host `name` that has to succeed."""
        done = self.run(name, command)
        assert done.returncode == 0, f"{command} on {name}: {done.stderr or done.stdout}\n{self.tail(name)}"
        return done.stdout

    def ha_stress(self, name: str, *arguments: str) -> dict[str, Any]:
        """A command of the product on the host `name`, through the API of that node."""
        out = self.read(name, ["ha-stress", *arguments, "--api", f"http://{name}:7700", "--json"])
        document: dict[str, Any] = json.loads(out)
        return document

    def counted(self) -> int:
        """What the target says that it was sent."""
        code = "import urllib.request as r; print(r.urlopen('http://target:8080/__count', timeout=5).read().decode())"
        count: int = json.loads(self.read("target", ["python", "-c", code]))["counted"]
        return count

    def ended(self, name: str, task: str) -> dict[str, Any]:
        """The task's books once it has ended."""
        seen: dict[str, Any] = {}

        def over() -> bool:
            seen.update(self.ha_stress(name, "task", "show", task))
            return bool(seen["status"] == "ended")

        wait_until(over, TASK_S_MAX, lambda: f"{task} has not ended: {seen}\n{self.tail(name)}")
        return seen

    def tail(self, name: str) -> str:
        log = self.logs / name
        return log.read_bytes()[-3000:].decode(errors="replace") if log.exists() else ""


def wait_until(holds: Callable[[], bool], seconds: float, complaint: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"after {seconds:g} s: {complaint()}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def backing() -> Iterator[Compose]:
    """Redis, PostgreSQL and every host's name and address; no process of ours yet."""
    if reason := netns.why_not() or services.why_not():
        pytest.skip(reason)
    with ExitStack() as stack:
        # Not pytest's directory: the database's own user must be able to enter.
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ha-stress-compose-")))
        scratch.chmod(0o755)
        network = stack.enter_context(netns.network(list(services.load(VARIABLES))))
        compose = Compose(network, scratch)
        compose.up([[compose.services["redis"], compose.services["postgres"]]])
        yield compose


@pytest.fixture(scope="module")
def cluster(backing: Compose) -> Compose:
    """All services, healthy, and known to the master."""
    rest = {name: service for name, service in backing.services.items() if name not in backing.running}
    backing.up([[s for s in wave if s.name in rest] for wave in services.in_order(backing.services)])
    seen: dict[str, Any] = {}

    def complete() -> bool:
        seen.update(backing.ha_stress("node-1", "status"))
        acting = seen["master"] is not None and seen["master"]["acting"]
        return bool(acting and len(seen["nodes"]) == 3 and len(seen["sentinels"]) == 3)

    wait_until(complete, START_S_MAX, lambda: f"the cluster is not complete: {seen}")
    return backing


def test_only_the_api_of_one_node_is_published_and_only_on_loopback() -> None:
    published = {name: spec["ports"] for name, spec in services.load({}).items() if "ports" in spec}
    assert published == {"node-1": ["127.0.0.1:7700:7700"]}


def test_every_service_says_how_it_is_and_what_it_waits_for() -> None:
    specs = services.load({})
    for name, spec in specs.items():
        assert spec["healthcheck"]["test"][0] == "CMD", name
        for dependency, condition in spec.get("depends_on", {}).items():
            assert dependency in specs and condition == {"condition": "service_healthy"}, name


def test_secrets_come_from_the_environment_and_their_defaults_say_so() -> None:
    for spec in services.load({}).values():
        for key, value in spec.get("environment", {}).items():
            if "SECRET" in key or "PASSWORD" in key:
                assert value.startswith("change-me"), key
    assert services.load(VARIABLES)["node-1"]["environment"]["HA_STRESS_SECRET"] == "compose-test"


@needs_namespaces
@starts_processes
def test_hosts_reach_redis_and_the_database_by_name_with_the_addresses_that_a_node_is_given(backing: Compose) -> None:
    ping = "import os, redis; print(redis.from_url(os.environ['HA_STRESS_REDIS'], socket_timeout=5).ping())"
    assert backing.read("node-2", ["python", "-c", ping]).strip() == "True"
    select = (
        "import os, psycopg; print(psycopg.connect(os.environ['HA_STRESS_DATABASE']).execute('select 1').fetchone())"
    )
    assert backing.read("node-3", ["python", "-c", select]).strip() == "(1,)"


@needs_namespaces
@starts_processes
def test_hosts_cannot_reach_what_is_not_theirs(backing: Compose) -> None:
    """Loopback is each host's own, and nothing leads out of the network."""
    dial = "import socket; socket.create_connection(('{}', {}), 2)"
    assert "ConnectionRefused" in backing.run("node-1", ["python", "-c", dial.format("127.0.0.1", 6379)]).stderr
    assert "unreachable" in backing.run("node-1", ["python", "-c", dial.format("192.0.2.1", 80)]).stderr


@needs_namespaces
@starts_processes
def test_the_cluster_runs_a_task_and_its_books_are_what_the_target_counted(cluster: Compose) -> None:
    before = cluster.counted()
    created = ("task", "create", "http://target:8080/", "--rate", "60", "--duration", "3s", "--id", "t-compose")
    assert cluster.ha_stress("node-2", *created)["id"] == "t-compose"
    task = cluster.ended("node-2", "t-compose")
    books = task["books"]
    assert books["balanced"] and books["planned"] == books["intended"] == 180
    assert books["started"] == cluster.counted() - before
    workers = {share["node"] for revision in task["plan"] for share in revision["shares"]}
    assert len(workers) >= 2 and workers <= {"node-1", "node-2", "node-3"}


@needs_namespaces
@starts_processes
def test_the_master_is_killed_and_the_task_ends_with_balanced_books(cluster: Compose) -> None:
    first = cluster.ha_stress("node-1", "status")["master"]["node"]
    other = next(name for name in ("node-1", "node-2", "node-3") if name != first)
    cluster.ha_stress(
        other, "task", "create", "http://target:8080/", "--rate", "60", "--duration", "8s", "--id", "t-kill"
    )
    wait_until(
        lambda: cluster.ha_stress(other, "task", "show", "t-kill")["books"]["started"] > 0,
        TASK_S_MAX,
        lambda: f"nothing was started:\n{cluster.tail(other)}",
    )
    os.killpg(cluster.running[first].pid, signal.SIGKILL)
    books = cluster.ended(other, "t-kill")["books"]
    assert books["balanced"] and books["planned"] == books["intended"] == 480
    assert cluster.ha_stress(other, "status")["master"]["node"] != first
