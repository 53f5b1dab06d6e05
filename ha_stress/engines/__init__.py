"""Layer 3: the processes that generate load. `pacing` and `histogram` are pure; `pool` is the node's side of it.

    node (trio)                         engine process, one per core
    EnginePool --apply, go-->  control socketpair  --> child --> loop --> lane (a task) --> http1 (a connection) --> target
               <--report, idle, stalled--

Nothing is imported here: an engine process must start fast and stay small.
"""
