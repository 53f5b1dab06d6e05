-- Appends an event to the history. Guarantees: sequences have no gaps; the time is the server's.
-- KEYS events, event_sequence   ARGV epoch, name, source, subject, cause, detail JSON, events channel, cap
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'none' and found ~= 'stream' then
  return redis.error_reply('PROTOCOL ' .. KEYS[1] .. ' is a ' .. found .. ', not a stream')
end
local sequence, at = append_event(KEYS[1], KEYS[2], ARGV[7], ARGV[8], {
  epoch = ARGV[1], name = ARGV[2], source = ARGV[3], subject = ARGV[4], cause = ARGV[5], detail = ARGV[6],
})
return {sequence, at}
