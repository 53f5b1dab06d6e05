"""Every request says which process has sent it, so that whoever is loaded can tell, and so that books can be compared with
what the other side counted, sender by sender. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from ha_stress.tasks.schedule import Holder, TaskShare
from ha_stress.tasks.spec import HttpRequest

#: Its value is "node/incarnation": a node that was started again is another sender.
NODE_HEADER: Final = "X-HA-Stress-Node"


def sender_name(holder: Holder) -> str:
    return f"{holder.node}/{holder.incarnation}"


def signed(share: TaskShare, holder: Holder) -> TaskShare:
    """The share with the header in each request; a task's own header of that name is replaced."""
    name = sender_name(holder)
    return replace(share, request=_signed(share.request, name), mix=tuple(_signed(one, name) for one in share.mix))


def _signed(request: HttpRequest, sender: str) -> HttpRequest:
    if urlsplit(request.url).scheme == "tcp":  # bytes as they are
        return request
    kept = [pair for pair in request.headers if pair[0].lower() != NODE_HEADER.lower()]
    return replace(request, headers=(*kept, (NODE_HEADER, sender)))
