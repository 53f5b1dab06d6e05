"""Exhaustive exploration: every state that three sentinels and two nodes can reach within a stated bound.

Where the simulation (`tests/sim`) throws dice, this goes through all outcomes. The cores are the real ones
(`sentinel.core.Sentinel`, `ha_stress.node.core.NodeCore`, `ha_stress.worker.core.WorkerCore`); the judge
(`tests.sim.checks.Checks`), the store's fence and the planted defects are the simulation's. Around them are a network,
disks, a Redis of one record and one lease, and a clock of instants. A move is one thing that happens: a process's turn (it
probes, reads the record, ticks), the arrival of one message, vote write, Redis command or answer, a fault. `shelf` makes
numbers of cores, `state` and `world` put them together, `moves` says what can happen next, `search` visits everything
breadth first, `tell` prints the path to a violation, which is a shortest one.

What the bound means. "Exhausted" says that no state was left out that can be reached from the start with this budget, in
this many instants. The budget (`budget.KINDS`) counts what goes wrong:

  - *overtake*: by default things happen in the order in which they were sent. Each unit lets one thing happen before all
    that is ahead of it, whichever thing and whenever; so a budget of 3 covers every order that differs from first come,
    first served in at most three places. Without counting (`overtake 99`) every order is tried: that is done from starts
    in the middle of an election, where the order matters most, and there within one instant.
  - *late*: what arrives after its instant, any number of instants later or never (which is how a message is lost);
  - duplicates, failing disks, deaths in both variants of a write under way, restarts, pauses, unanswered commands, a Redis
    that loses its data, the end of a partition.

What is checked after every move: all sentences of `Checks` about records, votes, elections, leases, commands and the
fence; that nobody acts after its lease, and no two nodes act in one epoch; that a core raises nothing, and a deadline that
was met is over.

What is not covered, or covered more coarsely than it is:

  - Liveness. A failover that never ends breaks nothing here; `successions` counts the states in which a successor acts,
    so that one sees that the explorations get there. The simulation demands it.
  - Time is coarse: deadlines are met at the next instant, a turn comes once an instant, chance is the shortest wait. A
    deadline between two messages of one instant is tried only as far as their order goes.
  - A turn is atomic: a ping and its pong, and a read and its answer, have no message in between. A record or a pong that
    arrives long after it was sent is not tried (what is written late by Redis commands, is).
  - Views of one sentinel to another replace each other unless the earlier are late, and a repetition is not sent.
  - The registry and its expiry, leaving, and what operators ask for (pause, switchover, members): the simulation's.
  - Views do not grow stale and announcements are not repeated within the few instants of a run.
"""
