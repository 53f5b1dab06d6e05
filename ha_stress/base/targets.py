"""Who may be loaded: networks, and whether an address is in one of them. Pure; the engines import it too.

A load generator is a weapon, so nothing outside of loopback and private networks is loaded unless an operator says so. The
list is applied to *addresses*, after names were resolved: a name may mean something else tomorrow, or at another node.
Link-local addresses are not in the default, because one of them is the metadata service of most clouds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Self

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import ALLOWED_NETWORKS_MAX

Network = IPv4Network | IPv6Network

#: Words that stand for several networks.
WORDS: Final = {
    "loopback": ("127.0.0.0/8", "::1/128"),
    # The last of IPv4 is set aside for benchmarks (RFC 2544): it leaves no laboratory.
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15", "fc00::/7"),
    "any": ("0.0.0.0/0", "::/0"),
}
DEFAULT: Final = ("loopback", "private")
#: Metadata services of clouds, which hand out credentials. One of them is in a private network, and nobody who allows a
#: network means them: each is only allowed by itself.
METADATA: Final = frozenset(
    ip_address(text) for text in ("169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200")
)


@dataclass(frozen=True, slots=True)
class AllowedTargets:
    """Use `parse`. The default allows loopback and the private networks (RFC 1918, RFC 4193, RFC 2544)."""

    networks: tuple[Network, ...]

    @classmethod
    def parse(cls, items: Iterable[str] = DEFAULT) -> Self:
        """Of addresses, networks (`198.51.100.0/24`) and the words loopback, private and any; ConfigError names the item
        that is none of them. The list is all that is allowed: it replaces the default."""
        networks: dict[Network, None] = {}
        for item in items:
            for text in WORDS.get(item.strip().lower(), (item.strip(),)):
                networks[_network(text)] = None
        if len(networks) > ALLOWED_NETWORKS_MAX:
            raise ConfigError(f"more than {ALLOWED_NETWORKS_MAX} networks are allowed to be loaded: name larger ones")
        return cls(tuple(networks))

    def permits(self, address: str) -> bool:
        """Whether this numeric address may be loaded; False for what is not an address."""
        try:
            plain = _plain(ip_address(address))
        except ValueError:
            return False
        if plain in METADATA:
            return any(plain in network and network.num_addresses == 1 for network in self.networks)
        return any(plain in network for network in self.networks)

    def to_json(self) -> list[str]:
        """What `parse` makes the same of."""
        return [str(network) for network in self.networks]

    def __str__(self) -> str:
        return ", ".join(self.to_json()) or "nothing"


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address in IPv6 clothes is that IPv4 address: so the kernel treats it. A scope says where, not who."""
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def _network(text: str) -> Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ConfigError(
            f"{text!r} cannot be allowed: write an address, a network such as 198.51.100.0/24, or {', '.join(WORDS)}"
        ) from None
    mapped = isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped
    return IPv4Network((mapped, network.prefixlen - 96)) if mapped else network
