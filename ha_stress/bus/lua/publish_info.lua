-- A node describes itself: expiring key, membership, hint. Guarantees: a process whose id was taken over by a later
-- registration cannot overwrite its successor's description. Returns 0 in that case. Where there was no description, it is
-- that of a newcomer, of whom others are told who do not want to hear of everybody all the time.
-- KEYS nodes, node   ARGV node, incarnation, info, expiry in ms, info channel, newcomers channel
local registered = redis.call('HGET', KEYS[1], ARGV[1])
if registered and registered ~= ARGV[2] then
  return 0
end
if not registered then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
local newcomer = redis.call('EXISTS', KEYS[2]) == 0
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
redis.call('PUBLISH', ARGV[5], ARGV[3])
if newcomer then
  redis.call('PUBLISH', ARGV[6], ARGV[1])
end
return 1
