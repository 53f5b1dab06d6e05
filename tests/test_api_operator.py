"""What an operator asks for over the API: checked against what lives, written once, told as an event."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.cluster.controls import NO_CONTROLS, Membership, Switchover, Tags, pause
from ha_stress.cluster.members import Role
from tests.api_support import RECORD, Api, open_api
from tests.operator_support import MEMBERS, answering, explanation, node_info, sentinel_info
from tests.redis_server import plain_client


@pytest.fixture
async def peopled(api: Api) -> Api:
    """n1 is the master, n2 and n3 are workers; three sentinels live."""
    bus = api.node.bus
    api.node.known = RECORD
    await bus.repair(RECORD)
    for node in ("n1", "n2", "n3"):
        await bus.publish_info(node_info(node), 60.0)
    for name in MEMBERS:
        await bus.publish_sentinel(sentinel_info(name))
    return api


async def told(api: Api) -> list[tuple[str, str, str]]:
    return [(event.name, event.subject, event.cause) for event in await api.node.bus.events()]


async def test_nothing_has_been_asked_for_at_first(api: Api) -> None:
    found = await api.call("GET", "/controls")
    assert found == {
        "revision": 0,
        "paused": False,
        "pause_why": "",
        "switchover": None,
        "membership": {"version": 0, "members": [], "floor": 0},
        "tags": {},
    }


async def test_a_pause_is_written_once_and_told_with_the_operators_words(peopled: Api) -> None:
    for _ in range(2):  # a caller whose answer was lost asks again, perhaps another node
        found = await peopled.call("POST", "/pause", {"why": "the switch is replaced"})
        assert (found["revision"], found["paused"], found["pause_why"]) == (1, True, "the switch is replaced")
    assert (await peopled.call("GET", "/status"))["controls"]["paused"] is True
    for _ in range(2):
        assert (await peopled.call("POST", "/resume"))["paused"] is False
    assert await told(peopled) == [("+paused", "", "the switch is replaced"), ("-paused", "", "")]
    [paused, _] = await peopled.node.bus.events()
    assert (paused.source, paused.epoch, paused.detail["revision"]) == ("n1", 1, 1)


async def test_what_is_too_long_or_unknown_is_refused(api: Api) -> None:
    assert "why" in await api.refused("POST", "/pause", {"why": "x" * 201}, status=400)
    assert "unknown field" in await api.refused("POST", "/pause", {"reason": "x"}, status=400)
    assert "priority" in await api.refused("PUT", "/nodes/n1/tags", {"priority": -1}, status=400)
    assert "sentinel id" in await api.refused("POST", "/sentinels", {"id": "a b"}, status=400)


async def test_a_switchover_is_asked_for_and_withdrawn(peopled: Api) -> None:
    found = await peopled.call("POST", "/switchover", {"to": "n2", "epoch": 1})
    assert found["switchover"] == {"epoch": 1, "to": "n2", "open": True}
    assert (await peopled.node.bus.controls()).switchover == Switchover(epoch=1, asked=1, to="n2")
    for _ in range(2):
        assert (await peopled.call("DELETE", "/switchover"))["switchover"] is None
    assert await told(peopled) == [("+switchover", "n2", "from n1"), ("-switchover", "", "withdrawn")]


async def test_a_switchover_without_a_target_is_to_the_best(peopled: Api) -> None:
    assert (await peopled.call("POST", "/switchover"))["switchover"]["to"] == ""


async def test_a_switchover_while_paused_is_carried_out_and_says_so(peopled: Api) -> None:
    await peopled.call("POST", "/pause")
    assert "paused" in (await peopled.call("POST", "/switchover", {"to": "n2"}))["notes"][0]


@pytest.mark.parametrize(
    ("to", "status", "says"),
    [
        ("n1", 409, "n1 is the master already"),
        ("n9", 404, "there are n1, n2, n3"),
        ("zero", 409, "configured with priority 0"),
        ("drain", 409, "draining"),
        ("leaves", 409, "leaving"),
        ("sick", 409, "unhealthy"),
        ("tagged", 409, "priority 0 by its tag"),
    ],
)
async def test_who_cannot_take_over_is_refused_with_the_reason(peopled: Api, to: str, status: int, says: str) -> None:
    bus = peopled.node.bus
    special: dict[str, dict[str, Any]] = {
        "zero": {"priority": 0},
        "drain": {"draining": True},
        "leaves": {"role": Role.LEAVING},
        "sick": {"healthy": False},
        "tagged": {},
    }
    if to in special:
        await bus.publish_info(node_info(to, **special[to]), 60.0)
    if to == "tagged":
        await peopled.call("PUT", "/nodes/tagged/tags", {"priority": 0})
    assert says in await peopled.refused("POST", "/switchover", {"to": to}, status=status)
    assert (await bus.controls()).switchover is None


async def test_a_switchover_that_nobody_could_carry_out_is_refused(peopled: Api) -> None:
    bus = peopled.node.bus
    for node in ("n2", "n3"):
        await peopled.call("PUT", f"/nodes/{node}/tags", {"draining": True})
    assert "nobody could take over: n2 is draining" in await peopled.refused("POST", "/switchover", status=409)
    await peopled.call("PUT", "/nodes/n2/tags", {})
    for name in ("s1", "s2"):
        await bus.publish_sentinel(sentinel_info(name, sent_at=time.time() - 60))
    assert "only 1 of 3 sentinels live" in await peopled.refused("POST", "/switchover", status=409)
    await bus.publish_sentinel(sentinel_info("s3", sent_at=time.time() - 60))
    assert "no sentinel lives" in await peopled.refused("POST", "/switchover", status=409)


async def test_a_wish_of_another_epoch_is_refused(peopled: Api) -> None:
    assert "the epoch is 1" in await peopled.refused("POST", "/switchover", {"epoch": 7}, status=409)


async def test_without_a_master_there_is_nothing_to_hand_over(api: Api) -> None:
    await api.node.bus.publish_sentinel(sentinel_info("s1"))
    assert "no master yet" in await api.refused("POST", "/switchover", status=409)


async def test_tags_are_set_whole_and_taken_away(peopled: Api) -> None:
    found = await peopled.call("PUT", "/nodes/n2/tags", {"priority": 0, "draining": True})
    assert found["tags"] == {"n2": {"priority": 0, "draining": True}}
    found = await peopled.call("PUT", "/nodes/n2/tags", {"priority": 5})
    assert found["tags"] == {"n2": {"priority": 5, "draining": False}}
    assert (await peopled.call("PUT", "/nodes/n2/tags", {}))["tags"] == {}
    assert [cause for _, _, cause in await told(peopled)] == ["priority 0, draining", "priority 5", "none"]
    assert "n1, n2, n3" in await peopled.refused("PUT", "/nodes/nn/tags", {"draining": True}, status=404)


async def test_tags_of_a_node_that_is_gone_can_be_taken_away(peopled: Api) -> None:
    await peopled.node.bus.set_controls(0, replace(NO_CONTROLS, revision=1, tags={"gone": Tags(priority=0)}))
    assert (await peopled.call("PUT", "/nodes/gone/tags", {}))["tags"] == {}


async def test_a_master_that_is_tagged_is_told_that_it_stays_master(peopled: Api) -> None:
    assert "switchover" in (await peopled.call("PUT", "/nodes/n1/tags", {"draining": True}))["notes"][0]


async def test_members_change_one_at_a_time_by_what_the_sentinels_themselves_answer(peopled: Api) -> None:
    bus, four = peopled.node.bus, [*MEMBERS, "s4"]
    answers = {name: explanation(name, voted_epoch=4) for name in four}
    answers["s4"]["members"] = four
    async with AsyncExitStack() as stack:
        for name in MEMBERS:
            port = await stack.enter_async_context(answering(name, answers[name]))
            await bus.publish_sentinel(sentinel_info(name, mesh_port=port))
        assert "does not run" in await peopled.refused("POST", "/sentinels", {"id": "s4"}, status=409)
        port = await stack.enter_async_context(answering("s4", answers["s4"]))
        await bus.publish_sentinel(sentinel_info("s4", mesh_port=port))
        found = await peopled.call("POST", "/sentinels", {"id": "s4"})
        assert found["membership"] == {"version": 1, "members": four, "floor": 4}
        # Nobody has the new membership on disk yet.
        assert "wait" in await peopled.refused("DELETE", "/sentinels/s1", status=409)
        for answer in answers.values():
            answer.update(members=four, members_version=1, voted_epoch=6, controls_revision=1)
        assert "already" in await peopled.refused("POST", "/sentinels", {"id": "s4"}, status=409)
        answers["s2"]["controls_revision"] = 9
        assert "writing them back" in await peopled.refused("DELETE", "/sentinels/s1", status=503)
        answers["s2"]["controls_revision"] = 1
        found = await peopled.call("DELETE", "/sentinels/s1")
        assert found["membership"] == {"version": 2, "members": ["s2", "s3", "s4"], "floor": 6}
        assert "still runs" in found["notes"][0]
    assert [(name, subject) for name, subject, _ in await told(peopled)] == [("+members", "s4"), ("+members", "s1")]


async def test_a_wish_to_a_redis_that_lost_what_the_sentinels_know_is_refused_until_they_have_written_it_back(
    peopled: Api,
) -> None:
    bus = peopled.node.bus
    async with answering("s2", explanation("s2", controls_revision=9)) as port:
        await bus.publish_sentinel(sentinel_info("s2", mesh_port=port))  # its words of before the change
        for method, path in (("POST", "/pause"), ("POST", "/switchover"), ("PUT", "/nodes/n2/tags")):
            assert "writing them back" in await peopled.refused(method, path, {}, status=503)
        await bus.repair_controls(replace(NO_CONTROLS, revision=9))
        assert (await peopled.call("POST", "/pause", {"why": "x"}))["revision"] == 10


async def test_a_switchover_to_a_node_that_a_sentinel_holds_to_be_down_is_refused_at_once(peopled: Api) -> None:
    down = [{"node": "n2", "down": True, "cause": "crash"}, {"node": "n3", "down": False}]
    async with AsyncExitStack() as stack:
        for name, nodes, tilt in (("s1", down, False), ("s2", [], False), ("s3", down, True)):
            port = await stack.enter_async_context(answering(name, explanation(name, nodes=nodes, tilt=tilt)))
            await peopled.node.bus.publish_sentinel(sentinel_info(name, mesh_port=port))
        refused = await peopled.refused("POST", "/switchover", {"to": "n2"}, status=409)
        assert "n2 cannot take over: it is down (crash) for s1" in refused
        assert (await peopled.call("POST", "/switchover", {"to": "n3"}))["switchover"]["to"] == "n3"


async def test_of_two_operators_at_once_both_are_heard(peopled: Api) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peopled.call, "PUT", "/nodes/n2/tags", {"draining": True})
        nursery.start_soon(peopled.call, "PUT", "/nodes/n3/tags", {"draining": True})
        nursery.start_soon(peopled.call, "POST", "/pause", {"why": "x"})
    stands = await peopled.node.bus.controls()
    assert (stands.revision, stands.paused, set(stands.tags)) == (3, True, {"n2", "n3"})


async def test_the_status_shows_what_was_asked_for_and_what_sentinels_have(peopled: Api) -> None:
    await peopled.node.bus.publish_sentinel(
        sentinel_info("s1", members_version=2, paused=True, http_url="http://127.0.0.1:9")
    )
    wanted = replace(
        pause(NO_CONTROLS, "why"), switchover=Switchover(epoch=0, asked=1), membership=Membership(version=2)
    )
    await peopled.node.bus.set_controls(0, wanted)
    status = await peopled.call("GET", "/status")
    one = status["sentinels"][0]
    assert (one["members_version"], one["paused"], one["http_url"]) == (2, True, "http://127.0.0.1:9")
    assert one["members"] == list(MEMBERS) and one["voted_epoch"] == 4
    assert status["controls"]["switchover"] == {"epoch": 0, "to": "", "open": False}


async def test_controls_that_cannot_be_read_are_a_sentence_in_the_status(peopled: Api, redis_url: str) -> None:
    keys = peopled.node.bus.keys
    plain_client(redis_url).hset(keys.controls, mapping={"revision": "1", "record": b"what"})
    assert f"delete the key {keys.controls}" in await peopled.refused("POST", "/pause", status=409)
    status = await peopled.call("GET", "/status")
    assert status["controls"] is None and "msgpack" in status["redis"]
    assert [one["id"] for one in status["nodes"]] == ["n1", "n2", "n3"]


# Explain and doctor.


async def test_every_sentinel_is_asked_at_once_and_silence_is_an_answer(peopled: Api) -> None:
    bus = peopled.node.bus
    async with (
        answering("s1", explanation("s1")) as first,
        answering("s2", None) as silent,
        answering("s3", explanation("s3"), secret="another") as refusing,
    ):
        for name, port in (("s1", first), ("s2", silent), ("s3", refusing)):
            await bus.publish_sentinel(sentinel_info(name, mesh_port=port))
        await bus.publish_sentinel(sentinel_info("s0", sent_at=5.0, members=()))  # of years ago
        began = trio.current_time()
        found = await peopled.call("GET", "/explain")
        assert trio.current_time() - began < 5
    said = {one["id"]: one for one in found["sentinels"]}
    assert list(said) == ["s1", "s2", "s3"]
    assert said["s1"]["ok"] and said["s1"]["explanation"]["something"] == "that a later version says"
    assert not said["s2"]["ok"] and "did not answer within 1 s" in said["s2"]["problem"]
    assert not said["s3"]["ok"] and "refused our secret" in said["s3"]["problem"]
    assert "n1 is the master of epoch 1" in found["summary"] and "Only 1 of 3" in found["summary"]


@pytest.mark.parametrize(
    "body", [{"problem": "unknown question"}, {"sentinel": "s1"}, {"epoch": "many", "sentinel": "s1"}]
)
async def test_an_answer_that_cannot_be_used_is_a_problem_of_that_sentinel(peopled: Api, body: dict[str, Any]) -> None:
    async with answering("s1", body) as port:
        await peopled.node.bus.publish_sentinel(sentinel_info("s1", mesh_port=port))
        found = await peopled.call("GET", "/explain")
    first = found["sentinels"][0]
    assert not first["ok"] and first["problem"] and first["explanation"] == {}
    assert "None of the 3 sentinels answers" in found["summary"]


async def test_while_redis_is_away_the_doctor_says_so_and_looks_at_the_database(tmp_path: Path) -> None:
    server = EmbeddedRedis.start(tmp_path / "redis")
    try:
        async with open_api(server.url, tmp_path) as api:
            server.kill()
            found = await api.call("GET", "/doctor")
            await api.refused("GET", "/explain", status=503)
            await api.refused("POST", "/pause", status=503)
    finally:
        server.kill()
    assert [(one["severity"], one["about"]) for one in found["findings"]] == [("problem", "redis"), ("ok", "database")]


async def test_only_a_few_look_at_once_and_the_others_are_told(peopled: Api) -> None:
    async with answering("s1", None) as silent:
        for name in MEMBERS:
            await peopled.node.bus.publish_sentinel(sentinel_info(name, mesh_port=silent))
        statuses: list[int] = []

        async def look() -> None:
            statuses.append((await peopled.http.get("/api/v1/doctor")).status_code)

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(look)
                # Meanwhile the API is there for everybody else.
                with trio.fail_after(10):
                    await peopled.call("GET", "/status")
    assert statuses.count(200) >= 2 and statuses.count(503) >= 1 and len(statuses) == 10


async def test_without_sentinels_explain_says_that_nobody_watches(api: Api) -> None:
    assert "nobody watches" in (await api.call("GET", "/explain"))["summary"]


async def test_the_doctor_finds_what_is_wrong_and_says_what_to_do(peopled: Api) -> None:
    async with answering("s1", explanation("s1", vote_file="disk full")) as port:
        await peopled.node.bus.publish_sentinel(sentinel_info("s1", mesh_port=port))
        found = await peopled.call("GET", "/doctor")
    assert found["ok"] is False and found["asked_by"] == "n1" and found["summary"].startswith("Something is wrong")
    severities = [one["severity"] for one in found["findings"]]
    assert severities == sorted(severities, key=["problem", "warning", "ok"].index)
    about = {one["about"]: one for one in found["findings"]}
    assert "disk full" in about["vote file"]["found"] and about["vote file"]["cure"]
    assert about["database"]["severity"] == "ok"
    assert about["redis persistence"]["severity"] == "ok"
    assert "1 of 3 sentinels live" in about["quorum"]["found"]


async def test_nothing_is_changed_while_redis_has_less_than_the_sentinels_know(peopled: Api) -> None:
    await peopled.node.bus.publish_sentinel(sentinel_info("s1", controls_revision=5))
    assert "writing them back" in await peopled.refused("POST", "/pause", {"why": "x"}, status=503)


async def test_nothing_is_changed_before_a_sentinel_has_said_what_it_knows(peopled: Api) -> None:
    with plain_client(peopled.node.config.redis_url) as client:
        client.delete(peopled.node.bus.keys.sentinels)
    assert "no sentinel has said yet" in await peopled.refused("POST", "/pause", {"why": "x"}, status=503)


async def test_sentinels_that_answer_live_whatever_their_clocks_say(api: Api) -> None:
    bus = api.node.bus
    api.node.known = RECORD
    await bus.repair(RECORD)
    for name in ("n1", "n2"):
        await bus.publish_info(node_info(name), 60.0)
    async with AsyncExitStack() as stack:
        for name in MEMBERS:
            port = await stack.enter_async_context(answering(name, explanation(name)))
            await bus.publish_sentinel(sentinel_info(name, mesh_port=port, sent_at=time.time() - 60))
        assert (await api.call("POST", "/switchover"))["switchover"]["open"]


async def test_failovers_of_the_database_are_told_when_those_in_redis_cannot_be_read(api: Api, redis_url: str) -> None:
    with plain_client(redis_url) as client:
        client.set(api.node.bus.keys.failovers, "x")
    assert await api.call("GET", "/failovers") == {"failovers": []}
