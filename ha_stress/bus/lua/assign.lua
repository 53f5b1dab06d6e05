-- The master writes a node's desired state. Guarantees: only the process that the mastership record names may write, and
-- (epoch, revision) of a node's assignment never falls. Writing the same revision again only repeats the hint.
-- KEYS mastership, assignment, assignment_versions
-- ARGV epoch, node, incarnation, worker, assignment epoch, assignment revision, assignment, task channel
-- Returns {code, epoch}: 1 written, 0 fenced by `epoch`, -1 the stored revision of this epoch is higher.
local record, problem = read_record(KEYS[1])
if problem then return problem end
if not stands(record, tonumber(ARGV[1]), ARGV[2], ARGV[3]) then
  return {0, digits(record.epoch)}
end
local epoch, revision = string.match(redis.call('HGET', KEYS[3], ARGV[4]) or '', '^(%d+):(%d+)$')
if epoch and redis.call('EXISTS', KEYS[2]) == 1 then
  epoch, revision = tonumber(epoch), tonumber(revision)
  if epoch > tonumber(ARGV[5]) then
    return {0, digits(epoch)}
  end
  if epoch == tonumber(ARGV[5]) and revision > tonumber(ARGV[6]) then
    return {-1, digits(epoch)}
  end
end
redis.call('HSET', KEYS[3], ARGV[4], ARGV[5] .. ':' .. ARGV[6])
redis.call('SET', KEYS[2], ARGV[7])
redis.call('PUBLISH', ARGV[8], ARGV[5] .. ':' .. ARGV[6])
return {1, digits(record.epoch)}
