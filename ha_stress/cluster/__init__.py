"""Layer 1: the vocabulary of the cluster: members, mastership, events. Pure."""
