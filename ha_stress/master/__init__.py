"""Layer 2: what a master of any driver decides. Pure: who is a member, and what has to be sent to whom."""
