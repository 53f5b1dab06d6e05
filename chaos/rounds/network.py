"""Hosts in network namespaces, joined by a bridge, and faults of the wires between them, made with routes alone.

    [host n1]--eth0  eth0--[host redis]        a cut from n1 to redis is a route on n1:
        sink |     |  |                        to redis' address by the device "sink", which swallows
             |   [switch: bridge]              everything; the other direction is another route
             +-- (nobody listens)

Nothing is made in the machine's own namespace. This process goes into a host with `inside`, for as long as it starts
something there; what it starts stays there.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ha_stress.base.errors import HaStressError

PREFIX: Final = "hsx"
COMMAND_S_MAX: Final = 20.0
_CLONE_NEWNET: Final = 0x40000000
_NAMESPACES: Final = Path("/run/netns")
_OWN: Final = Path("/proc/thread-self/ns/net")


class NetworkFailed(HaStressError):
    """The system refused to make, cut or remove a part of the network."""


def ip(*arguments: str, lines: Sequence[str] = ()) -> str:
    """One call of ip(8), with `lines` as its batch. NetworkFailed with its words if it fails."""
    command = ["ip", *arguments, *(["-batch", "-"] if lines else [])]
    try:
        done = subprocess.run(
            command, input="\n".join(lines), check=True, capture_output=True, text=True, timeout=COMMAND_S_MAX
        )
    except subprocess.CalledProcessError as error:
        raise NetworkFailed(f"{' '.join(command)}: {str(error.stderr).strip()}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetworkFailed(f"{' '.join(command)}: {error}") from None
    return done.stdout


def why_not() -> str:
    """Why there can be no namespaces here, in one sentence; empty if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    if not hasattr(_libc(), "setns"):
        return "this system has no setns"
    probe = f"{PREFIX}{os.getpid()}-probe"
    try:
        ip("netns", "add", probe)
        try:
            ip("-n", probe, "link", "add", "name", "veth0", "type", "veth", "peer", "name", "veth1")
            ip("-n", probe, "link", "add", "name", "bridge", "type", "bridge")
            with _entered(_NAMESPACES / probe):
                pass
        finally:
            ip("netns", "delete", probe)
    except (NetworkFailed, OSError) as error:
        return f"network namespaces cannot be made here ({error})"
    return ""


class Network:
    """Use as a context manager. Everything it makes is named after this process, and is removed at the end."""

    def __init__(self, hosts: Sequence[str]) -> None:
        assert 0 < len(hosts) < 200
        pid = os.getpid()
        self.prefix = f"{PREFIX}{pid}-"
        # 198.18.0.0/15 is set aside for benchmarks; two runs at once do not share a wire, so they may share addresses.
        self.addresses = {name: f"198.18.{pid % 250}.{10 + index}" for index, name in enumerate(hosts)}
        self._switch = f"{self.prefix}switch"
        self._cuts: set[tuple[str, str]] = set()

    def __enter__(self) -> Network:
        remove_stale()
        try:
            ip("netns", "add", self._switch)
            ip("-n", self._switch, lines=["link add name bridge type bridge", "link set bridge up"])
            for index, (name, address) in enumerate(self.addresses.items()):
                self._add_host(name, address, index)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add_host(self, name: str, address: str, index: int) -> None:
        namespace = self.prefix + name
        ip("netns", "add", namespace)
        ip(
            *("-n", self._switch),
            lines=[
                f"link add name port{index} type veth peer name eth0 netns {namespace}",
                f"link add name hole{index} type veth peer name sink netns {namespace}",
                f"link set port{index} master bridge up",
                f"link set hole{index} up",
            ],
        )
        ip(
            *("-n", namespace),
            lines=[
                f"address add {address}/24 dev eth0",
                "link set lo up",
                "link set eth0 up",
                "link set sink arp off up",  # without ARP nobody has to answer before a packet is sent, and lost
            ],
        )

    def close(self) -> None:
        """Remove every namespace of ours; what still runs in one keeps it alive until it ends."""
        _remove(re.compile(re.escape(self.prefix)))

    @contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """This thread is on `host`: sockets made and processes started here belong to it."""
        with _entered(_NAMESPACES / (self.prefix + host)):
            yield

    # Faults.

    def cut(self, pairs: Iterable[tuple[str, str]]) -> None:
        """From now on nothing that the first of a pair sends arrives at the second. Silently: nobody is refused."""
        self._route("replace", set(pairs) - self._cuts)

    def heal(self) -> None:
        """Every wire is whole again."""
        self._route("delete", self._cuts)

    def _route(self, verb: str, pairs: Iterable[tuple[str, str]]) -> None:
        by_source: dict[str, list[str]] = {}
        pairs = set(pairs)
        for source, to in sorted(pairs):
            addresses = f"{self.addresses[to]}/32 dev sink src {self.addresses[source]}"
            by_source.setdefault(source, []).append(f"route {verb} {addresses}")
        for source, lines in by_source.items():
            ip("-n", self.prefix + source, lines=lines)
        self._cuts = self._cuts | pairs if verb == "replace" else self._cuts - pairs


def both_ways(some: Iterable[str], others: Iterable[str]) -> list[tuple[str, str]]:
    """Every pair across the line between the two groups, in both directions."""
    pairs = [(a, b) for a in some for b in others]
    return [*pairs, *((b, a) for a, b in pairs)]


def remove_stale() -> None:
    """Namespaces of a run that was killed: those whose process is gone."""
    for name in _present(re.compile(rf"{PREFIX}\d+-")):
        pid = int(name.removeprefix(PREFIX).partition("-")[0])
        if not Path(f"/proc/{pid}").exists():
            _remove(re.compile(re.escape(name) + "$"))


def _present(pattern: re.Pattern[str]) -> list[str]:
    return [line.split()[0] for line in ip("netns", "list").splitlines() if pattern.match(line.split()[0])]


def _remove(pattern: re.Pattern[str]) -> None:
    for name in _present(pattern):
        ip("netns", "delete", name)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@contextmanager
def _entered(namespace: Path) -> Iterator[None]:
    """This thread is in that namespace; afterwards where it was before. (Python has `os.setns` from 3.12 on.)"""
    with _OWN.open("rb") as before, namespace.open("rb") as there:
        _set(there.fileno())
        try:
            yield
        finally:
            _set(before.fileno())


def _set(descriptor: int) -> None:
    if _libc().setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise NetworkFailed(f"setns: {os.strerror(number)}")
