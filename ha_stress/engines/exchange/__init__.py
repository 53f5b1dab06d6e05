"""The second kind of engine process, on trio: whatever is not plain HTTP/1.1, and scenarios.

    pool --apply, blob, go--> control socketpair --> child --> loop --> lane (a task) --> arrival
         <--report, idle, stalled, complaint--                                               |
                                          reach (names, allow-list, TLS) <-- tcp | websocket | web | play (a scenario)

Its books, its schedule and its control protocol are those of the fast engine; an arrival costs more, because it is a trio
task of its own. Nothing is imported here: httpx, trio-websocket and the like are loaded by the first task that needs them.
"""
