-- A node leaves, or is taken off the list. Guarantees: only the process that is named is removed, never its successor.
-- KEYS nodes, node   ARGV node, incarnation, info channel
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
redis.call('PUBLISH', ARGV[3], '')
return 1
