"""The wire: whatever is encoded comes back, and whatever else arrives is a ProtocolError."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ha_stress.base.errors import ProtocolError
from ha_stress.base.limits import EPOCH_MAX, MESH_MESSAGE_BYTES_MAX
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import NodeInfo, Role, SentinelInfo
from ha_stress.tasks.figures import RequestFigures
from ha_stress.tasks.ledger import Counters, Frame
from ha_stress.tasks.schedule import Holder, NodeAssignment, Part, Plan, Revision, TaskShare
from ha_stress.tasks.spec import HttpRequest, TaskSpec
from ha_stress.wire import codec, messages
from ha_stress.wire.codec import decode, decode_message, encode, from_plain, to_plain

names = st.text(max_size=12)
#: What msgpack carries: 64 bit, and floats that equal themselves.
counts = st.integers(0, 2**63 - 1)
epochs = st.integers(0, EPOCH_MAX)
numbers = st.floats(allow_nan=False)
records = st.just(NOBODY) | st.builds(
    Mastership, epoch=st.integers(1, EPOCH_MAX), node=st.text(min_size=1, max_size=12), incarnation=names, why=names
)
infos = st.builds(
    NodeInfo,
    id=names,
    incarnation=names,
    sequence=counts,
    priority=counts,
    mesh_host=names,
    mesh_port=counts,
    api_url=names,
    role=st.sampled_from(Role),
    epoch=epochs,
    acting=st.booleans(),
    cpu_percent=st.none() | numbers,
    memory_percent=st.none() | numbers,
    applied=st.tuples(counts, counts),
    sent_at=numbers,
)
views = st.builds(messages.View, node=names, incarnation=names, down=st.booleans(), cause=names, age_s=numbers)
asked: dict[str, Any] = {"sender": names, "epoch": epochs, "record": records, "members": st.lists(names).map(tuple)}
answered: dict[str, Any] = {
    "sender": names,
    "epoch": epochs,
    "granted": st.booleans(),
    "reason": names,
    "voted_epoch": epochs,
}
#: One strategy for each type of message; the test below fails when a type is missing here.
STRATEGIES: dict[type, st.SearchStrategy[messages.Message]] = {
    messages.Ping: st.builds(
        messages.Ping, sender=names, number=counts, record=records, voted_epoch=epochs, sentinels=counts
    ),
    messages.Pong: st.builds(messages.Pong, number=counts, info=infos, record=records),
    messages.Views: st.builds(
        messages.Views,
        sender=names,
        voted_epoch=epochs,
        record=records,
        tilt=st.booleans(),
        leading_epoch=epochs,
        views=st.lists(views, max_size=4).map(tuple),
        ask=st.booleans(),
    ),
    messages.PreVoteRequest: st.builds(messages.PreVoteRequest, **asked),
    messages.VoteRequest: st.builds(messages.VoteRequest, **asked),
    messages.PreVoteReply: st.builds(messages.PreVoteReply, **answered),
    messages.VoteReply: st.builds(messages.VoteReply, **answered),
    messages.Question: st.builds(messages.Question, about=names),
    messages.Answer: st.builds(messages.Answer, sender=names, about=names, body=names),
}
any_message = st.one_of(*STRATEGIES.values())

holder = Holder("node-1", "i1")
counters = Counters(intended=3, started=2, completed=1, dropped=1, failed={"timeout": 1}, statuses={"200": 1})
request = HttpRequest(url="http://127.0.0.1:1/", headers=(("a", "b"),), body=b"\x00\xff")
part = Part(revision=1, at_s=0.5, rate=12.5, modulus=240, slots=(0, 2), limit=None)
share = TaskShare(task="t-1", request=request, in_flight_max=8, started_at=1.5, parts=(part,))
revision = Revision(number=1, at_s=0.0, rate=5.0, holders=(holder,), table=(0, 0), limit=10, why="start")
#: What else is kept as msgpack in Redis or in the database.
RECORDS = [
    NodeAssignment(epoch=1, revision=2, node="node-1", incarnation="i1", shares=(share,)),
    Frame(
        node="n",
        incarnation="i",
        sequence=1,
        epoch=1,
        task="t",
        revision=1,
        engine=0,
        second=9,
        counters=counters,
        response_us=b"HISTFAAA",
        requests={
            "GET /": RequestFigures(
                started=2, completed=1, failed={"timeout": 1}, statuses={"200": 1}, service_us=b"H"
            ),
            "GET /ä": RequestFigures(),
        },
    ),
    Plan(started_at=1.5, duration_s=None, revisions=(revision,), lost=(holder,)),
    TaskSpec(id="t-1", name="t", request=request, rate=0.1, duration_s=20.0, nodes_max=2, labels={"a": "b"}),
    SentinelInfo(id="s1", incarnation="i", mesh_host="h", mesh_port=1, epoch=3, tilt=True),
]


def read(data: bytes) -> messages.Message | None:
    """What a receiver makes of `data`: a message or a ProtocolError; any other exception fails the test."""
    try:
        return decode_message(data)
    except ProtocolError as error:
        assert str(error) and "\n" not in str(error)
        return None


def test_every_type_of_message_is_known_to_the_decoder_and_to_this_test() -> None:
    assert set(STRATEGIES) == set(codec._MESSAGES.values()) == set(messages.Message.__args__)


@given(any_message)
def test_a_message_round_trips(message: messages.Message) -> None:
    assert decode_message(encode(message)) == message


@given(any_message)
def test_a_record_whose_type_is_known_round_trips(message: messages.Message) -> None:
    assert decode(type(message), encode(message)) == message


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_what_is_stored_round_trips(record: Any) -> None:
    assert decode(type(record), encode(record)) == record
    assert from_plain(type(record), to_plain(record)) == record


@given(st.binary(max_size=300))
@example(b"")
@example(b"\xc1")
@example(b"\xdd\xff\xff\xff\xff")  # an array that claims 4 billion elements
@example(b"\x91" * 5_000)  # nested deeper than any stack
@example(b"\xc7\x05\xff\x00")
def test_random_bytes_are_a_protocol_error(data: bytes) -> None:
    read(data)


@given(any_message, st.data())
def test_a_truncated_packet_is_a_protocol_error(message: messages.Message, data: st.DataObject) -> None:
    packet = encode(message)
    cut = data.draw(st.integers(0, len(packet) - 1))
    with pytest.raises(ProtocolError):
        decode_message(packet[:cut])


@given(any_message, st.data())
def test_a_mutated_packet_is_a_message_or_a_protocol_error(message: messages.Message, data: st.DataObject) -> None:
    packet = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 6))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    read(bytes(packet))


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.sampled_from(sorted(codec._MESSAGES)), plain)
def test_any_fields_under_a_known_name_are_a_message_or_a_protocol_error(name: str, fields: Any) -> None:
    read(msgpack.packb([name, fields]))


@given(any_message, st.data())
def test_one_field_of_another_type_is_a_message_or_a_protocol_error(message: Any, data: st.DataObject) -> None:
    fields = to_plain(message)
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(plain)
    read(msgpack.packb([type(message).__name__, fields]))


@given(any_message)
def test_a_field_of_a_newer_sender_is_ignored(message: messages.Message) -> None:
    packet = msgpack.packb([type(message).__name__, {**to_plain(message), "of_a_later_version": [1, 2]}])
    assert decode_message(packet) == message


def test_a_field_that_an_older_sender_lacks_takes_its_default_or_is_named() -> None:
    views_fields = {"sender": "s1", "voted_epoch": 1, "record": {}, "tilt": False, "leading_epoch": 0, "views": []}
    message = decode_message(msgpack.packb(["Views", views_fields]))
    assert isinstance(message, messages.Views) and message.ask is False
    del views_fields["tilt"]
    with pytest.raises(ProtocolError, match="tilt: "):
        decode_message(msgpack.packb(["Views", views_fields]))


def test_a_frame_of_a_sender_that_knows_no_names_has_none() -> None:
    frame = next(record for record in RECORDS if isinstance(record, Frame))
    older = {name: value for name, value in to_plain(frame).items() if name != "requests"}
    assert from_plain(Frame, older).requests == {}


@pytest.mark.parametrize(
    "odd", [7, ["GET /"], {"GET /": 7}, {"GET /": {"started": "many"}}, {"GET /": {"failed": [1]}}]
)
def test_a_frame_whose_names_are_no_names_is_a_protocol_error(odd: object) -> None:
    frame = next(record for record in RECORDS if isinstance(record, Frame))
    with pytest.raises(ProtocolError):
        from_plain(Frame, to_plain(frame) | {"requests": odd})


def test_a_record_that_contradicts_itself_is_refused() -> None:
    """Epoch 0 with a node, or an epoch without one, must not enter through the wire."""
    for record in ({"epoch": 0, "node": "n"}, {"epoch": 3, "node": ""}, {"epoch": -1, "node": "n"}):
        fields = {"sender": "s", "number": 1, "record": record, "voted_epoch": 0, "sentinels": 3}
        with pytest.raises(ProtocolError):
            decode_message(msgpack.packb(["Ping", fields]))


def test_an_unknown_name_and_a_message_of_another_type_are_refused_by_name() -> None:
    with pytest.raises(ProtocolError, match="unknown message 'Gossip'"):
        decode_message(msgpack.packb(["Gossip", {}]))
    with pytest.raises(ProtocolError, match="expected a Plan, got a 'Holder'"):
        decode(Plan, encode(holder))


def test_a_record_that_is_no_message_does_not_pass_as_one() -> None:
    assert all(read(encode(record)) is None for record in RECORDS)


def test_a_message_over_the_limit_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ProtocolError, match="over the limit"):
        decode_message(b"\xc1" * (MESH_MESSAGE_BYTES_MAX + 1))
