"""The sentinel: watches nodes, agrees with its peers that a master is down, elects a successor, publishes it.

    health      is this node subjectively down, and why           pure
    votes       the one vote of an epoch, and the pre-vote        pure
    selection   filter, then score                                pure
    failover    one campaign, from desync to the accepted winner  pure
    watch       what this sentinel and its peers see              pure
    handover    the operator's wish for another master            pure
    seat        puts these together: what a sentinel holds        pure
    core        what it does with it: step(event, now) -> effects pure
    explain     what it would do now, and why it does nothing     pure
    votefile    what must survive a crash, on disk                adapter
    probe       dials and pings nodes and peers                   adapter
    hooks       events to a command and a webhook (notify)        adapter
    http        health, metrics, explain (pages, metrics)         adapter
    server      performs effects, feeds events                    shell

From `ha_stress` it imports only the vocabulary (base, cluster, wire) and the adapters bus, mesh and log.
"""
