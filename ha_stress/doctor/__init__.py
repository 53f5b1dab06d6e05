"""What is wrong with a cluster, and what to do: facts are collected by a shell, judged by pure rules."""
