"""Layer 3: the processes that generate load. `pacing`, `users` and `histogram` are pure; `pool` is the node's side of it.

    node (trio)                         engine process, one per core
    EnginePool --apply, go-->  control socketpair  --> child --> loop --> lane (a task) --> origin --> dial --> connection
               <--report, idle, stalled--

A lane has sources of requests (`Cursor`, `Users`), an account for each revision, and an origin for each host and port. A
request takes an idle `Connection` of its origin, or a `Dial` gets it a new one. `Answer` parses.

Nothing is imported here: an engine process must start fast and stay small.
"""
