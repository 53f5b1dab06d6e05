"""Layer 2: what a worker decides. Pure: which assignment to carry out, which frames to send and to keep."""
