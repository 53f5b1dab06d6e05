"""Settings of a cluster, a node and a sentinel: frozen, unknown keys refused, relations between fields checked.

All problems are reported at once, each with its path. Durations are seconds and say so in their name.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import ALLOWED_NETWORKS_MAX, RATE_MAX, SENTINELS_MAX
from ha_stress.base.targets import DEFAULT, AllowedTargets

M = TypeVar("M", bound=BaseModel)

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_REDIS = r"^(redis|rediss|unix)://"
_HOST = r"^[^\s/]*$"
#: What a person is told instead of a regular expression or a word of the library.
_SHAPES = {
    _NAME: "use 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit",
    _REDIS: "write for example redis://127.0.0.1:6379/0, rediss://... or unix:///path",
    _HOST: "not a host name or address",
}
_PLAIN = {"extra_forbidden": "unknown setting"}
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")

#: What somebody wants to be told of at night, or in the morning. A name that ends with `*` stands for all that begin so.
ALARMS: Final = (
    "+bus-down",
    "-bus-down",
    "+odown",
    "-odown",
    "+first-master",
    "+switch-master",
    "+failover-end",
    "-failover-abort-not-elected",
    "-failover-abort-no-good-node",
    "-failover-abort-bus",
    "-accept-timeout",
    "+suspended",
    "+tilt",
    "+vote-file-error",
    "+events-lost",
    "+repaired",
    "+paused",
    "-paused",
    "+members",
    "+orphan",
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Timing(_Frozen):
    """Everything that is waited for. The defaults suit one data centre; each has its reason."""

    ping_period_s: float = Field(0.5, gt=0, le=60)
    #: Silence for this long is "subjectively down". Crash evidence does not wait for it.
    down_after_s: float = Field(3.0, gt=0, le=600)
    #: A refused dial proves that nothing listens; three over this span rule out a listener that is being replaced.
    crash_dials: int = Field(3, ge=1, le=20)
    crash_confirm_s: float = Field(0.05, ge=0, le=10)
    #: A view of a peer counts towards the quorum only while it is this fresh.
    view_fresh_s: float = Field(2.0, gt=0, le=600)
    #: Sentinels that notice at the same instant must not campaign at the same instant.
    desync_s: float = Field(0.04, ge=0, le=10)
    vote_timeout_s: float = Field(0.3, gt=0, le=60)
    retry_min_s: float = Field(0.15, gt=0, le=60)
    retry_max_s: float = Field(3.0, gt=0, le=600)
    #: The winner must be seen acting within this time, or the next candidate is tried.
    accept_timeout_s: float = Field(1.0, gt=0, le=600)
    announce_period_s: float = Field(0.1, gt=0, le=60)
    lease_ttl_s: float = Field(3.0, gt=0, le=600)
    lease_renew_s: float = Field(0.5, gt=0, le=600)
    #: A master stops acting this long before its lease can have run out, so that clock rates may differ a little.
    lease_margin_s: float = Field(0.5, ge=0, le=600)
    info_period_s: float = Field(1.0, gt=0, le=60)
    info_expiry_s: float = Field(4.0, gt=0, le=600)
    #: Records are read again this often even if no message said so (pub/sub may lose any message).
    reread_s: float = Field(2.0, gt=0, le=600)
    #: A sentinel whose own loop was stalled for this long distrusts itself for `tilt_s`.
    tilt_stall_s: float = Field(1.0, gt=0, le=600)
    tilt_s: float = Field(3.0, gt=0, le=600)
    #: The master reads the operator's intent this often, and at once when the API says that it changed.
    listen_period_s: float = Field(1.0, gt=0, le=60)
    #: A new revision begins this far in the future, so that every holder has it before it counts.
    revision_lead_s: float = Field(0.25, ge=0, le=60)
    resend_s: float = Field(0.5, gt=0, le=60)
    #: A node that has had no sign of an acting master for this long ends its load, and takes it up again when there is one.
    #: 0: never. Far above any failover: only a cluster that nobody can govern any more shall stop.
    orphan_after_s: float = Field(60.0, ge=0, le=86_400)
    #: How long a graceful stop may take before the process just goes.
    stop_timeout_s: float = Field(10.0, gt=0, le=600)

    @model_validator(mode="after")
    def _relations(self) -> Self:
        rules = (
            (self.ping_period_s < self.down_after_s, "ping_period_s must be below down_after_s"),
            (self.lease_renew_s * 2 < self.lease_ttl_s, "lease_renew_s must be below half of lease_ttl_s"),
            (
                self.lease_margin_s < self.lease_ttl_s - self.lease_renew_s,
                "lease_margin_s must be below lease_ttl_s - lease_renew_s",
            ),
            (
                self.info_period_s * 2 < self.info_expiry_s,
                "info_period_s must be below half of info_expiry_s",
            ),
            (self.retry_min_s <= self.retry_max_s, "retry_min_s must not be above retry_max_s"),
            (self.view_fresh_s > self.ping_period_s, "view_fresh_s must be above ping_period_s"),
            (
                self.orphan_after_s == 0 or self.orphan_after_s > self.lease_renew_s,
                "orphan_after_s must be 0, or above lease_renew_s",
            ),
        )
        broken = [sentence for holds, sentence in rules if not holds]
        if broken:
            raise ValueError("; ".join(broken))
        return self


class ClusterConfig(_Frozen):
    """What all processes of a cluster share."""

    cluster: str = Field("default", pattern=_NAME)
    redis_url: str = Field("redis://127.0.0.1:6379/0", pattern=_REDIS)
    secret: str = Field("", max_length=1024)
    timing: Timing = Timing()


class NodeConfig(ClusterConfig):
    """One node. `priority`: lower wins an election, 0 never does. `sentinels` is how many the cluster has."""

    id: str = Field(pattern=_NAME)
    database_url: str
    driver: str = "stress"
    priority: int = Field(100, ge=0, le=1_000_000)
    host: str = "127.0.0.1"
    #: What other hosts can reach; `host` where it is not given.
    advertise_host: str = Field("", pattern=_HOST)
    api_port: int = Field(0, ge=0, le=65535)
    mesh_port: int = Field(0, ge=0, le=65535)
    engines: int = Field(1, ge=1, le=256)
    sentinels: int = Field(3, ge=0, le=SENTINELS_MAX)
    #: Addresses, networks or words (see `targets`) that may be loaded, and no others. The same at all nodes.
    allow: tuple[str, ...] = Field(DEFAULT, max_length=ALLOWED_NETWORKS_MAX)
    #: The highest rate that this node's API admits, in arrivals per second: of one task, and of all open ones together.
    rate_max_task: float | None = Field(None, gt=0, le=RATE_MAX)
    rate_max_cluster: float | None = Field(None, gt=0, le=RATE_MAX)
    #: Whether this node's API takes scenarios, which are programs that the nodes run. None: only where no other machine
    #: reaches it, for it asks nobody who they are.
    scenarios: bool | None = None

    @property
    def takes_scenarios(self) -> bool:
        return _stays_here(self.host) if self.scenarios is None else self.scenarios

    @model_validator(mode="after")
    def _relations(self) -> Self:
        _check_endpoint(self.host, self.advertise_host, self.secret)
        try:
            AllowedTargets.parse(self.allow)
        except ConfigError as error:
            raise ValueError(f"allow: {error}") from None
        return self


class SentinelConfig(ClusterConfig):
    """One sentinel. `members` are the ids of all sentinels, this one included; `addresses` are hints, "host:port"."""

    id: str = Field(pattern=_NAME)
    members: tuple[str, ...] = Field(min_length=1, max_length=SENTINELS_MAX)
    addresses: Mapping[str, str] = {}
    #: Declares down; 0 means a majority. Authorising a failover always takes a majority of `members`.
    quorum: int = Field(0, ge=0, le=SENTINELS_MAX)
    host: str = "127.0.0.1"
    advertise_host: str = Field("", pattern=_HOST)
    mesh_port: int = Field(0, ge=0, le=65535)
    data_dir: str
    cpu_ceiling_percent: float = Field(101.0, gt=0)
    memory_ceiling_percent: float = Field(98.0, gt=0)
    #: Health and metrics, on `host`. 0 takes a free port; None serves none.
    http_port: int | None = Field(0, ge=0, le=65535)
    #: Told of each event that `notify_events` names: a command line (split like a shell does, run without one) ...
    notify_command: str = Field("", max_length=4096)
    #: ... and a URL that the event is posted to, with these headers.
    notify_url: str = Field("", max_length=4096)
    notify_headers: Mapping[str, str] = Field({}, max_length=32)
    notify_events: tuple[str, ...] = Field(ALARMS, max_length=256)

    @model_validator(mode="after")
    def _relations(self) -> Self:
        _check_endpoint(self.host, self.advertise_host, self.secret)
        problems = _notification_problems(self.notify_command, self.notify_url, self.notify_headers)
        if len(set(self.members)) != len(self.members):
            problems.append("members names a sentinel twice")
        if self.id not in self.members:
            problems.append(f"members does not name this sentinel ({self.id})")
        if self.quorum > len(self.members):
            problems.append(f"quorum {self.quorum} is above the number of members ({len(self.members)})")
        unknown = sorted(set(self.addresses) - set(self.members))
        if unknown:
            problems.append(f"addresses names {', '.join(unknown)}, which members does not")
        for peer, address in self.addresses.items():
            host, _, port = address.rpartition(":")
            if not host or not (port.isascii() and port.isdigit() and 0 < int(port) <= 65_535):
                problems.append(f"addresses.{peer}: {address!r} is not of the form host:port")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def majority(self) -> int:
        """How many votes authorise a failover: more than half of the configured sentinels, dead ones included."""
        return len(self.members) // 2 + 1

    @property
    def effective_quorum(self) -> int:
        return self.quorum or self.majority


def _notification_problems(command: str, url: str, headers: Mapping[str, str]) -> list[str]:
    problems = []
    try:
        words = shlex.split(command)
    except ValueError as error:
        problems.append(f"notify_command {command!r} cannot be split into words: {error}")
    else:
        if command and not (words and words[0]):
            problems.append(f"notify_command {command!r} names no program")
    # The URL itself is not shown: that of a webhook is often its password.
    if url and not _is_http(url):
        problems.append("notify_url: write for example https://host/path")
    for name, value in headers.items():
        if not (_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)):
            problems.append(f"notify_headers.{name}: not an HTTP header")
    if headers and not url:
        problems.append("notify_headers is of no use without notify_url")
    return problems


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _check_endpoint(host: str, advertise_host: str, secret: str) -> None:
    """Who can be reached from other machines needs a secret, and an address at which they reach it."""
    if not _stays_here(host) and not secret:
        raise ValueError(f"host {host} can be reached from other machines: give all processes the same secret")
    if host in ("0.0.0.0", "::") and not advertise_host:
        raise ValueError(f"host {host} is every address: advertise_host must say by which one others reach it")


def _stays_here(host: str) -> bool:
    """Whether what listens there can be reached from this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name: only this one is known to stay on the machine
        return host == "localhost"


def load(model: type[M], values: Mapping[str, Any]) -> M:
    """Build a config; ConfigError lists every problem with its path in one sentence."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = []
        for item in error.errors(include_url=False):
            where = ".".join(str(part) for part in item["loc"])
            message = _PLAIN.get(item["type"]) or item["msg"].removeprefix("Value error, ")
            if item["type"] == "string_pattern_mismatch":
                message = _SHAPES.get(item["ctx"]["pattern"], message)
            problems.append(f"{where}: {message}" if where else message)
        raise ConfigError("configuration refused: " + "; ".join(problems)) from None
