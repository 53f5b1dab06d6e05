"""Layer 3: the processes that generate load. `pacing`, `users`, `hold`, `account`, `warm_up`, `failures` and
`histogram` are pure; `pool` is the node's side of it. What an engine process imports may not import trio, pydantic or
redis (`exchange` may import trio).

    node (trio)                         engine process, one per core
    EnginePool --apply, go-->  control socketpair  --> child --> loop --> lane (a task) --> origin --> dial --> connection
               <--report, idle, stalled--

A lane has sources of requests (`Cursor`, `Users`), an account for each revision, and an origin for each host and port. A
request takes an idle `Connection` of its origin, or a `Dial` gets it a new one. `Answer` parses.

Both kinds of engine, this one and `exchange`, begin by `entry`, keep their lanes in a `Roster`, wait when `Hold` says so,
and count what was due in the `WarmUp` apart.
Nothing is imported here: an engine process must start fast and stay small.
"""
