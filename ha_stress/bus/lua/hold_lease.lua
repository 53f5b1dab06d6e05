-- Takes or renews the lease. Guarantees: only the process that the record names holds it, and a lease of somebody else
-- at the same or a higher epoch is never touched.
-- KEYS mastership, lease   ARGV epoch, node, incarnation, ttl in ms
local record, problem = read_record(KEYS[1])
if problem then return problem end
local held = 0
if stands(record, tonumber(ARGV[1]), ARGV[2], ARGV[3]) then
  local mine = ARGV[1] .. ':' .. ARGV[2] .. ':' .. ARGV[3]
  local owner = redis.call('GET', KEYS[2])
  local lower = owner and tonumber(string.match(owner, '^(%d+):') or -1) < record.epoch
  if not owner or owner == mine or lower then
    redis.call('SET', KEYS[2], mine, 'PX', ARGV[4])
    held = 1
  end
end
return {held, reply(record)}
