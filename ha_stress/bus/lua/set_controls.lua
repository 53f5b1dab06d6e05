-- The operator's controls, compare and set. Guarantees: the revision only grows, and a change is never made to a record
-- that its author has not seen. Saying exactly the same again is written too, so that the call can be repeated.
-- KEYS controls   ARGV expected revision, new revision, record, controls channel
-- Returns {written, revision, record}: what stands now; revision 0 without a record.
local stored = redis.call('HMGET', KEYS[1], 'revision', 'record')
local revision, record = stored[1] or '0', stored[2] or ''
if not string.match(revision, '^%d+$') then
  return redis.error_reply('PROTOCOL the revision of ' .. KEYS[1] .. ' is not a number')
end
if revision == ARGV[2] and record == ARGV[3] then
  return {1, revision, record}
end
if tonumber(revision) ~= tonumber(ARGV[1]) then
  return {0, revision, record}
end
redis.call('HSET', KEYS[1], 'revision', ARGV[2], 'record', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[2])
return {1, ARGV[2], ARGV[3]}
