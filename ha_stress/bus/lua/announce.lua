-- Says again who the master is. Guarantees: a superseded record is never announced.
-- KEYS mastership   ARGV epoch, node, incarnation, why, election channel
local record, problem = read_record(KEYS[1])
if problem then return problem end
if not stands(record, tonumber(ARGV[1]), ARGV[2], ARGV[3]) then
  return 0
end
publish_record(ARGV[5], record.epoch, record.node, record.incarnation, record.why)
return 1
