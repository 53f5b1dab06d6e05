"""A small network of namespaces: hosts with names and addresses, joined by a bridge in a namespace of its own.

    [host redis]--eth0   eth0--[host node-1]
             198.18.7.10 |  | 198.18.7.11
                      [switch: bridge]

The machine's own network is not touched: the veth pairs are made between namespaces, so they never exist in the first one.
Names resolve through /etc/netns/NAMESPACE/hosts, which `ip netns exec` puts over /etc/hosts.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

PREFIX: Final = "hsc"
ETC: Final = Path("/etc/netns")
COMMAND_S_MAX: Final = 20.0


def ip(*arguments: str) -> str:
    """One call of ip(8); CalledProcessError with its output if it fails."""
    command = ["ip", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMMAND_S_MAX).stdout


def why_not() -> str:
    """Why namespaces cannot be made here, in one sentence; empty if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    probe = f"{PREFIX}{os.getpid()}-probe"
    try:
        ip("netns", "add", probe)
        try:
            ip("netns", "exec", probe, "true")
            ip("-n", probe, "link", "add", "name", "veth0", "type", "veth", "peer", "name", "veth1")
        finally:
            ip("netns", "delete", probe)
    except subprocess.CalledProcessError as error:
        return f"network namespaces cannot be made here: {str(error.stderr).strip()}"
    return ""


class Network:
    """Hosts by name. Everything it makes carries a prefix of this process, and `close` removes it."""

    def __init__(self, names: Sequence[str]) -> None:
        assert 0 < len(names) < 200
        pid = os.getpid()
        self.prefix = f"{PREFIX}{pid}-"
        # 198.18.0.0/15 is set aside for benchmarks; two runs at once do not share a wire, so they may share addresses.
        self.addresses = {name: f"198.18.{pid % 250}.{10 + index}" for index, name in enumerate(names)}
        self._switch = f"{self.prefix}switch"
        self._processes: list[subprocess.Popen[bytes]] = []

    def namespace(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def open(self) -> None:
        ip("netns", "add", self._switch)
        ip("-n", self._switch, "link", "add", "name", "bridge", "type", "bridge")
        ip("-n", self._switch, "link", "set", "bridge", "up")
        for index, (name, address) in enumerate(self.addresses.items()):
            self._add_host(name, address, f"port{index}")

    def _add_host(self, name: str, address: str, port: str) -> None:
        namespace = self.namespace(name)
        etc = ETC / namespace
        etc.mkdir(parents=True)
        hosts = ["127.0.0.1 localhost", *(f"{a} {n}" for n, a in self.addresses.items())]
        (etc / "hosts").write_text("\n".join(hosts) + "\n", encoding="utf-8")
        (etc / "resolv.conf").write_text("", encoding="utf-8")
        ip("netns", "add", namespace)
        ip("-n", self._switch, "link", "add", "name", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        ip("-n", self._switch, "link", "set", port, "master", "bridge", "up")
        ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
        ip("-n", namespace, "link", "set", "lo", "up")
        ip("-n", namespace, "link", "set", "eth0", "up")

    def inside(self, name: str, command: Sequence[str]) -> list[str]:
        """`command` as it has to be started to run on the host `name`."""
        return ["ip", "netns", "exec", self.namespace(name), *command]

    def run(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], *, timeout_s: float = COMMAND_S_MAX
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end; the caller looks at the return code. TimeoutExpired after `timeout_s`."""
        inside = self.inside(name, command)
        return subprocess.run(
            inside, env=dict(environment), capture_output=True, text=True, check=False, timeout=timeout_s
        )

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], directory: Path, log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start in the background, in a process group of its own that `close` ends."""
        process = subprocess.Popen(
            self.inside(name, command),
            env=dict(environment),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def close(self) -> None:
        """End every process, newest first, and remove every namespace, even if `open` got only halfway."""
        for process in reversed(self._processes):
            _end_group(process, signal.SIGTERM, 5.0) or _end_group(process, signal.SIGKILL, 5.0)
        present = re.findall(rf"^({re.escape(self.prefix)}\S*)", ip("netns", "list"), re.MULTILINE)
        for namespace in present:
            for pid in ip("netns", "pids", namespace).split():  # what left its group: only ours can be in there
                with _already_gone():
                    os.kill(int(pid), signal.SIGKILL)
            ip("netns", "delete", namespace)
        for etc in ETC.glob(f"{self.prefix}*"):
            shutil.rmtree(etc)
        if ETC.is_dir() and not any(ETC.iterdir()):
            ETC.rmdir()


@contextmanager
def _already_gone() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        return


def _end_group(process: subprocess.Popen[bytes], number: signal.Signals, patience_s: float) -> bool:
    """Signal the group; whether its leader has ended within `patience_s`."""
    with _already_gone():
        os.killpg(process.pid, number)
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        return False
    return True


@contextmanager
def network(names: Sequence[str]) -> Iterator[Network]:
    made = Network(names)
    try:
        made.open()
        yield made
    finally:
        made.close()
