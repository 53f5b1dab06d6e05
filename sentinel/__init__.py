"""The sentinel: watches nodes, agrees with its peers that a master is down, elects a successor, publishes it.

    health      is this node subjectively down, and why           pure
    votes       the one vote of an epoch, and the pre-vote        pure
    selection   filter, then score                                pure
    failover    one campaign, from desync to the accepted winner  pure
    core        puts these together: step(event, now) -> effects  pure
    votefile    what must survive a crash, on disk                adapter
    probe       dials and pings nodes and peers                   adapter
    server      performs effects, feeds events                    shell

From `ha_stress` it imports only the vocabulary (base, cluster, wire) and the adapters bus, mesh and log.
"""
