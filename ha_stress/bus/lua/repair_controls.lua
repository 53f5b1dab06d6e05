-- Whoever knows a later revision of the operator's controls writes it back (Redis may have lost its data). Guarantees:
-- the stored revision never falls.
-- KEYS controls   ARGV revision, record, controls channel
local revision = redis.call('HGET', KEYS[1], 'revision') or '0'
if not string.match(revision, '^%d+$') then
  return redis.error_reply('PROTOCOL the revision of ' .. KEYS[1] .. ' is not a number')
end
if tonumber(ARGV[1]) <= tonumber(revision) then
  return 0
end
redis.call('HSET', KEYS[1], 'revision', ARGV[1], 'record', ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[1])
return 1
