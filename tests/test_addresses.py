"""How an address and a port are written."""

from __future__ import annotations

import pytest

from ha_stress.base.addresses import endpoint


@pytest.mark.parametrize(
    ("host", "written"),
    [
        ("127.0.0.1", "127.0.0.1:80"),
        ("node-1.example", "node-1.example:80"),
        ("::1", "[::1]:80"),
        ("[fd00::1]", "[fd00::1]:80"),
    ],
)
def test_an_address_with_colons_stands_in_brackets(host: str, written: str) -> None:
    assert endpoint(host, 80) == written
