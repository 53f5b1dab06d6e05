"""What a sentinel tells Prometheus. Read off the living state at each scrape; nothing is counted for it alone.

Names without `sentinel` mean the same on nodes. No label has more values than there are sentinels, causes or kinds of
event, so that a cluster of a thousand nodes is no more to store than one of three.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ha_stress.bus.outbox import Outbox
from ha_stress.cluster.members import SentinelInfo
from sentinel.hooks import Hooks
from sentinel.http import Page
from sentinel.pages import Self
from sentinel.peers import PeerLink

if TYPE_CHECKING:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

#: Prometheus' text format, which every version of it and everything like it reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Causes of `health`: there from the start, so that their first occurrence is a change of a known value.
CAUSES = ("crash", "silence", "restarted", "not-accepted", "not-acting", "switchover", "leaving")
#: The same for events.
NAMES = (
    "+sdown",
    "+odown",
    "+try-failover",
    "+vote-for-leader",
    "+elected-leader",
    "-failover-abort-not-elected",
    "-failover-abort-no-good-node",
    "-failover-abort-superseded",
    "-failover-abort-bus",
    "-accept-timeout",
    "+failover-end",
    "+tilt",
    "+vote-file-error",
    "+bus-down",
    "+hook-failed",
)


class Measured(Self, Protocol):
    """A sentinel with what is counted in it."""

    @property
    def outbox(self) -> Outbox: ...

    @property
    def hooks(self) -> Hooks | None: ...

    @property
    def peers(self) -> Iterable[PeerLink]: ...


class Metrics:
    """A collector as prometheus_client wants it, and the page that shows it."""

    def __init__(self, sentinel: Measured) -> None:
        self._sentinel = sentinel
        self._registry: Any = None

    def page(self) -> Page:
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

        if self._registry is None:
            self._registry = CollectorRegistry()
            self._registry.register(self)
            ProcessCollector(registry=self._registry)
        return Page(body=generate_latest(self._registry), content_type=CONTENT_TYPE)

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import InfoMetricFamily

        info = self._sentinel.info()
        about = {"sentinel": info.id, "incarnation": info.incarnation, "version": info.version}
        yield InfoMetricFamily("ha_stress_sentinel", "Who this is.", about)
        yield from self._standing(info)
        yield from self._views()
        yield from self._events()
        yield from self._notifications()

    def _standing(self, info: SentinelInfo) -> Iterator[Metric]:
        core = self._sentinel.core
        yield gauge("ha_stress_epoch", "Epoch of the newest mastership record that this process knows.", info.epoch)
        yield gauge("ha_stress_sentinel_voted_epoch", "Highest epoch that it has voted at, on disk.", info.voted_epoch)
        yield gauge("ha_stress_sentinel_tilt", "1: it distrusts itself and observes only.", info.tilt)
        yield gauge("ha_stress_sentinel_paused", "1: the operator has paused failovers.", info.paused)
        yield gauge("ha_stress_sentinel_leading", "1: it leads a failover.", info.leading)
        yield gauge("ha_stress_sentinel_vote_file_ok", "0: the vote file cannot be written.", not core.voter.problem)
        yield gauge("ha_stress_loop_lag_seconds", "Worst lateness of its loop in the last seconds.", info.loop_lag_s)
        yield gauge("ha_stress_redis_up", "1: Redis answered the last call.", core.watch.bus_up_since is not None)

    def _views(self) -> Iterator[Metric]:
        core = self._sentinel.core
        watch, master = core.watch, core.watch.master
        down = gauge("ha_stress_sentinel_master_down", "1: the master is down.", labels=("view",))
        down.add_metric(["subjective"], float(master is not None and master.down_since is not None))
        down.add_metric(["objective"], float(master is not None and master.objectively_down))
        yield down
        views = list(watch.nodes.values())
        connected = sum(view.connected for view in views)
        objective = sum(view.objectively_down for view in views)
        yield gauge("ha_stress_sentinel_nodes", "Nodes that it watches.", len(views))
        yield gauge("ha_stress_sentinel_nodes_connected", "Nodes to which it has a connection.", connected)
        yield gauge("ha_stress_sentinel_nodes_objectively_down", "Nodes that a quorum holds to be down.", objective)
        causes = Counter(view.down_cause for view in views if view.down_since is not None)
        by_cause = gauge("ha_stress_sentinel_nodes_down", "Nodes that it holds to be down itself.", labels=("cause",))
        _fill(by_cause, causes, CAUSES)
        yield by_cause
        heard = 1 + len(watch.fresh(self._sentinel.clock.now()))
        yield gauge("ha_stress_sentinel_members", "How many sentinels there are.", len(core.membership.members))
        yield gauge("ha_stress_sentinel_members_version", "Version of the membership.", core.membership.version)
        yield gauge("ha_stress_sentinel_members_heard", "Sentinels heard from just now, itself included.", heard)
        yield gauge("ha_stress_sentinel_majority", "Votes that authorise a failover.", core.campaign.majority)
        yield gauge("ha_stress_sentinel_quorum", "Views that declare a node down.", watch.quorum)
        dropped = counter(
            "ha_stress_sentinel_peer_messages_dropped", "Messages that a peer did not get in time.", labels=("peer",)
        )
        _fill(dropped, {link.peer: link.dropped for link in self._sentinel.peers})
        yield dropped

    def _events(self) -> Iterator[Metric]:
        outbox = self._sentinel.outbox
        events = counter("ha_stress_events", "Events that this process said, by name.", labels=("name",))
        _fill(events, outbox.said, NAMES)
        yield events
        yield gauge("ha_stress_events_waiting", "Events that Redis does not have yet.", outbox.waiting)
        yield counter("ha_stress_events_dropped", "Events lost while Redis was away too long.", outbox.dropped)

    def _notifications(self) -> Iterator[Metric]:
        hooks = self._sentinel.hooks
        if hooks is None:
            return
        outcomes = counter("ha_stress_notifications", "Notifications, by how they ended.", labels=("hook", "outcome"))
        retries = counter("ha_stress_notification_retries", "Tries beyond the first one.", labels=("hook",))
        for kind in hooks.kinds:
            outcomes.add_metric([kind, "delivered"], hooks.delivered[kind])
            outcomes.add_metric([kind, "failed"], hooks.failed[kind])
            retries.add_metric([kind], hooks.retries[kind])
        yield outcomes
        yield retries
        yield gauge("ha_stress_notifications_waiting", "Events whose notification has not begun.", hooks.waiting)
        yield counter("ha_stress_notifications_dropped", "Notifications for which there was no room.", hooks.dropped)


def gauge(name: str, meaning: str, value: float | None = None, labels: tuple[str, ...] = ()) -> GaugeMetricFamily:
    """One value, or with `labels` none yet."""
    from prometheus_client.metrics_core import GaugeMetricFamily

    return GaugeMetricFamily(name, meaning, None if value is None else float(value), labels or None)


def counter(name: str, meaning: str, value: float | None = None, labels: tuple[str, ...] = ()) -> CounterMetricFamily:
    """`_total` is added to the name."""
    from prometheus_client.metrics_core import CounterMetricFamily

    return CounterMetricFamily(name, meaning, value, labels or None)


def _fill(
    family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, int], always: Iterable[str] = ()
) -> None:
    """One sample for each value of the only label."""
    for label in dict.fromkeys((*always, *values)):
        family.add_metric([label], values.get(label, 0))
