-- The race of the first masters. Guarantees: epoch 1 is given at most once, to one process, and only while no
-- mastership record exists; a record that exists is returned unchanged.
-- KEYS mastership, lease   ARGV node, incarnation, lease ttl in ms, why, election channel
local record, problem = read_record(KEYS[1])
if problem then return problem end
if record.epoch == 0 then
  local node, incarnation, why = ARGV[1], ARGV[2], ARGV[4]
  if redis.call('SET', KEYS[2], '1:' .. node .. ':' .. incarnation, 'NX', 'PX', ARGV[3]) then
    record = {epoch = 1, node = node, incarnation = incarnation, why = why}
    write_record(KEYS[1], 1, node, incarnation, why)
    publish_record(ARGV[5], 1, node, incarnation, why)
  end
end
return reply(record)
