"""Who may be loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ha_stress.base.config import NodeConfig, load
from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import ALLOWED_NETWORKS_MAX
from ha_stress.base.targets import METADATA, AllowedTargets

DEFAULT = AllowedTargets.parse()


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd12::1"]
)
def test_loopback_and_private_addresses_may_be_loaded_by_default(address: str) -> None:
    assert DEFAULT.permits(address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "172.32.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "::",
        "2001:db8::1",
        "224.0.0.1",
        "255.255.255.255",
        "64:ff9b::1",
    ],
)
def test_nothing_else_may_be(address: str) -> None:
    assert not DEFAULT.permits(address)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "169.254.1.1", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254"]
)
def test_link_local_addresses_are_not_private(address: str) -> None:
    assert not DEFAULT.permits(address)


@pytest.mark.parametrize("address", sorted(map(str, METADATA)))
def test_a_metadata_service_is_allowed_by_itself_only(address: str) -> None:
    assert not AllowedTargets.parse(["any", "private", "169.254.0.0/16"]).permits(address)
    assert AllowedTargets.parse([address]).permits(address)


def test_an_ipv4_address_in_ipv6_clothes_is_that_ipv4_address() -> None:
    assert DEFAULT.permits("::ffff:127.0.0.1") and DEFAULT.permits("::ffff:7f00:1")
    assert not DEFAULT.permits("::ffff:8.8.8.8")
    assert AllowedTargets.parse(["::ffff:198.51.100.0/120"]).permits("198.51.100.7")
    assert not AllowedTargets.parse(["::/0"]).permits("::ffff:8.8.8.8"), "all of IPv6 is not all of IPv4"


@pytest.mark.parametrize("text", ["localhost", "", "127.1", "0x7f000001", "1.2.3.4/8", "::1]", "127.0.0.1\n"])
def test_what_is_not_an_address_may_not_be_loaded(text: str) -> None:
    assert not AllowedTargets.parse(["any"]).permits(text)


def test_a_list_replaces_the_default() -> None:
    allowed = AllowedTargets.parse(["198.51.100.0/24", "2001:db8::7"])
    assert allowed.permits("198.51.100.9") and allowed.permits("2001:db8::7")
    assert not allowed.permits("127.0.0.1") and not allowed.permits("2001:db8::8")
    assert AllowedTargets.parse(["198.51.100.7", "Loopback"]).permits("127.0.0.1")
    assert not AllowedTargets.parse([]).permits("127.0.0.1") and str(AllowedTargets.parse([])) == "nothing"


@pytest.mark.parametrize("items", [(), ("any",), ("loopback", "private"), ("10.1.2.3/8", "::1", "169.254.169.254")])
def test_what_is_sent_to_an_engine_means_the_same_there(items: tuple[str, ...]) -> None:
    allowed = AllowedTargets.parse(items)
    assert AllowedTargets.parse(allowed.to_json()) == allowed


@pytest.mark.parametrize("item", ["example.com", "10.0.0.0/33", "10.0.0", "", "*", "http://10.0.0.1"])
def test_what_cannot_be_allowed_is_refused_with_an_example(item: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be allowed: .*198\.51\.100\.0/24"):
        AllowedTargets.parse(["loopback", item])


def test_the_list_is_bounded() -> None:
    with pytest.raises(ConfigError, match="more than"):
        AllowedTargets.parse(f"10.{n // 256}.{n % 256}.0/24" for n in range(ALLOWED_NETWORKS_MAX + 1))


def test_a_node_refuses_a_list_that_cannot_be_read() -> None:
    values = {"id": "n1", "database_url": "sqlite:///x.db"}
    assert AllowedTargets.parse(NodeConfig(**values).allow) == DEFAULT  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="allow: 'nowhere' cannot be allowed"):
        load(NodeConfig, values | {"allow": ["nowhere"]})


def test_an_engine_that_asks_loads_nothing_large() -> None:
    script = (
        "import sys; from ha_stress.base.targets import AllowedTargets; "
        "assert not {'trio', 'pydantic', 'redis'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
