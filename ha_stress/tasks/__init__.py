"""Layer 1: the vocabulary of load: tasks, the schedule as data, the ledger. Pure."""
