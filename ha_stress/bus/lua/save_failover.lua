-- Keeps a failover record under its epoch. Guarantees: no more than the cap are kept, the newest ones.
-- KEYS failovers   ARGV epoch, JSON, cap
keep_failover(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
return 1
