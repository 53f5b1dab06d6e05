"""Large things that tasks name by their digest: request bodies, scenario data. Written once, never changed.

A blob that no open task names is unused. It is kept a little, because it is written before the task that names it; then it
goes when the next one comes.
"""

from __future__ import annotations

import time
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection, delete, func, select

from ha_stress.base.errors import Conflict, NotFound
from ha_stress.base.limits import BLOBS_MAX
from ha_stress.store.open_tasks import open_specs
from ha_stress.store.schema import blobs
from ha_stress.store.upsert import insert
from ha_stress.tasks.digests import digests_of

#: Between writing a blob and the task that names it lies one request to the API.
UNUSED_KEPT_S: Final = 600.0


def digest_of(data: bytes) -> str:
    return sha256(data).hexdigest()


def put_blob(connection: Connection, data: bytes) -> str:
    """Keep it and return its digest; the same again is kept for as long as if it were new."""
    now = time.time()
    _sweep(connection, now - UNUSED_KEPT_S)
    digest = digest_of(data)
    held = connection.execute(select(func.count()).select_from(blobs).where(blobs.c.digest != digest)).scalar_one()
    if held >= BLOBS_MAX:
        raise Conflict(f"{held} large bodies and data files are stored already: end tasks that use some, or wait")
    statement = insert(connection, blobs).values(digest=digest, data=data, created_at=now)
    connection.execute(statement.on_conflict_do_update(index_elements=["digest"], set_={"created_at": now}))
    return digest


def read_blob(connection: Connection, digest: str) -> bytes:
    data = connection.execute(select(blobs.c.data).where(blobs.c.digest == digest)).scalar()
    if data is None:
        raise NotFound(f"there is no stored data {digest[:16]}")
    return bytes(data)


def _sweep(connection: Connection, before: float) -> None:
    old = set(connection.execute(select(blobs.c.digest).where(blobs.c.created_at < before)).scalars())
    if not old:
        return
    unused = old.difference(*(digests_of(spec) for spec in open_specs(connection)))
    if unused:
        connection.execute(delete(blobs).where(blobs.c.digest.in_(unused), blobs.c.created_at < before))
