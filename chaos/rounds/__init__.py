"""Behind `python -m chaos`: rounds of faults on a cluster of its own, under load.

conduct    one round after the other: load, fault, healing, verdict
faults     the list, each a function; `late` writes as a master whose time is over
stage      hands and eyes of a fault
cluster    the processes; `network` their hosts, `servers` their Redis and their small disks
gate       before Redis: can hold back the award of an elected sentinel
target     counts requests by the node that sent them
sampler    looks at record, lease, fence and votes all the time, for
history    pure: what must never be seen, over all rounds
books      pure: every arrival of the plan against the ledger and the target
deck       pure: which fault comes when
tally      pure: the table and the JSON document
"""
