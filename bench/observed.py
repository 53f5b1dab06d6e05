"""A local cluster of real processes, seen from outside: its records, and the moments of what it publishes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

from bench.witness import Witness
from chaos.outside import Outside
from ha_stress.cli.local import LocalCluster, LocalSpec


@contextmanager
def observed(spec: LocalSpec, channels: str) -> Iterator[tuple[LocalCluster, Outside, Witness]]:
    """The cluster runs inside of the context. `channels` is a pattern of what the witness listens to."""
    with LocalCluster(spec) as cluster, closing(Witness()) as witness:
        outside = Outside(cluster.redis_url, spec.cluster)
        with closing(outside.client):
            port = urlsplit(cluster.redis_url).port
            assert port
            witness.subscribe(port, channels)
            yield cluster, outside, witness
