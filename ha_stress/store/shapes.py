"""Task specs and plans as JSON values. JSON has no bytes: a request body is stored as base64."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from ha_stress.base.errors import ProtocolError
from ha_stress.tasks.schedule import Plan
from ha_stress.tasks.spec import TaskSpec
from ha_stress.wire.codec import from_plain, to_plain


def spec_to_json(spec: TaskSpec) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(spec)
    return {**plain, "request": _request_to_json(plain["request"]), "mix": [_request_to_json(r) for r in plain["mix"]]}


def spec_from_json(value: Any) -> TaskSpec:
    """The inverse of `spec_to_json`; ProtocolError if it is not one."""
    try:
        request = _request_from_json(value["request"])
        mix = [_request_from_json(one) for one in value.get("mix", ())]
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise ProtocolError(f"a stored task cannot be read: {error!r}") from None
    return from_plain(TaskSpec, {**value, "request": request, "mix": mix})


def _request_to_json(request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "body": base64.b64encode(request["body"]).decode("ascii")}


def _request_from_json(request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "body": base64.b64decode(request.get("body", ""), validate=True)}


def plan_to_json(plan: Plan | None) -> dict[str, Any] | None:
    return None if plan is None else to_plain(plan)


def plan_from_json(value: Any) -> Plan | None:
    """The inverse of `plan_to_json`; ProtocolError if it is not one."""
    return None if value is None else from_plain(Plan, value)
