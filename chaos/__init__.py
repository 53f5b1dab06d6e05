"""Faults for real processes. Rounds of all of them on a cluster of their own, or one by hand on a cluster that runs.

    python -m chaos                     rounds under load, with every invariant and the books checked: see `rounds`

    python -m chaos.kill_master         kill -9 the acting master's process tree
    python -m chaos.kill_worker         kill -9 a worker's process tree
    python -m chaos.kill_leader         kill -9 the sentinel that led the last failover
    python -m chaos.pause master        SIGSTOP a process tree, SIGCONT it later
    python -m chaos.restart_redis       kill -9 Redis and start it again with its data

The scripts strike whatever cluster runs on this machine. All of them look at the cluster with a plain Redis client and at
processes with psutil; they share nothing with the running program but the names of the keys. Exit code 0: recovered, and
all invariants hold; 1: not; 2: bad input.

    outside      what can be seen of a cluster from outside
    invariants   what must be true of it
    script       the frame of every script: arguments, steps, verdict
    rounds       what is behind `python -m chaos`
"""
