-- Whoever knows more repairs the record (Redis may have lost its data). Guarantees: the stored epoch never falls; a
-- lease of a lower epoch does not outlive the record that allowed it.
-- KEYS mastership, lease   ARGV epoch, node, incarnation, why, election channel
local record, problem = read_record(KEYS[1])
if problem then return problem end
local epoch = tonumber(ARGV[1])
if epoch <= record.epoch then
  return 0
end
local owner = redis.call('GET', KEYS[2])
write_record(KEYS[1], epoch, ARGV[2], ARGV[3], ARGV[4])
if owner and tonumber(string.match(owner, '^(%d+):') or -1) < epoch then
  redis.call('DEL', KEYS[2])
end
publish_record(ARGV[5], epoch, ARGV[2], ARGV[3], ARGV[4])
return 1
