"""Where a run takes place: in a cluster that runs already, or in one that is started for it and gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ha_stress.cli import options
from ha_stress.cli.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`existing`: the cluster that other commands find with `api` and `data_dir`. Else `nodes` are started here."""

    existing: bool = False
    api: Sequence[str] = ()
    data_dir: Path | None = None
    nodes: int = 1
    engines: int = 1
    allow: tuple[str, ...] = ()
    timing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """`gone` says what has happened to a cluster that was started here and of which nobody is left; "" otherwise."""

    client: Client
    gone: Callable[[], str] = str


@contextmanager
def opened(place: Place) -> Iterator[Opened]:
    """The cluster, for as long as it is needed."""
    if place.existing:
        with options.client_of(place.api, place.data_dir) as client:
            client.status()  # so that a cluster that is not there is said before anything else
            yield Opened(client=client)
        return
    from ha_stress.cli.local import LocalCluster, LocalSpec

    with tempfile.TemporaryDirectory(prefix="ha-stress-") as directory:
        spec = LocalSpec(
            data_dir=Path(directory),
            nodes=place.nodes,
            sentinels=0 if place.nodes == 1 else 3,
            engines=place.engines,
            allow=place.allow,
            timing=place.timing,
        )
        with LocalCluster(spec) as cluster, cluster.client() as client:
            yield Opened(client=client, gone=cluster.gone)
