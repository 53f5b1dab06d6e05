-- An elected sentinel names the new master. Guarantees: the epoch only grows, so of two awards at one epoch exactly one
-- wins; an award without its ticket changes nothing, and a ticket serves once, so an award that arrives when its sender
-- has long given up replaces nobody; record, dropped lease, event, failover record and announcement happen together or not
-- at all.
-- Returns won, the record that stands, late.
-- KEYS mastership, lease, events, event_sequence, failovers, ticket
-- ARGV epoch, node, incarnation, why, source, failover JSON, election channel, events channel, event cap, failover cap
local record, problem = read_record(KEYS[1])
if problem then return problem end
local epoch = tonumber(ARGV[1])
if epoch <= record.epoch then
  return {0, reply(record), 0}
end
-- Wrong types are found before the first write: a script that fails half-way is not rolled back.
for index, wanted in ipairs({'hash', 'string', 'stream', 'string', 'hash'}) do
  local found = redis.call('TYPE', KEYS[index]).ok
  if found ~= 'none' and found ~= wanted then
    return redis.error_reply('PROTOCOL ' .. KEYS[index] .. ' is a ' .. found .. ', not a ' .. wanted)
  end
end
if redis.call('DEL', KEYS[6]) == 0 then
  return {0, reply(record), 1}
end
append_event(KEYS[3], KEYS[4], ARGV[8], ARGV[9], {
  epoch = ARGV[1], name = '+switch-master', source = ARGV[5], subject = ARGV[2], cause = ARGV[4],
  detail = '{"incarnation":' .. cjson.encode(ARGV[3]) .. ',"from_epoch":' .. digits(record.epoch)
    .. ',"from_node":' .. cjson.encode(record.node) .. ',"from_incarnation":' .. cjson.encode(record.incarnation) .. '}',
})
keep_failover(KEYS[5], ARGV[1], ARGV[6], ARGV[10])
write_record(KEYS[1], epoch, ARGV[2], ARGV[3], ARGV[4])
redis.call('DEL', KEYS[2])
publish_record(ARGV[7], epoch, ARGV[2], ARGV[3], ARGV[4])
return {1, {ARGV[1], ARGV[2], ARGV[3], ARGV[4]}, 0}
