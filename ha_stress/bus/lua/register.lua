-- A process joins under its node's id. Guarantees: a sequence number is stable per id and never given to a second id
-- (field "" keeps the highest one ever given); the last process to register owns the id, and the description of its
-- predecessor is dropped. `known` > 0 is what the node remembers, for a Redis that lost its data.
-- KEYS sequences, nodes, node   ARGV node, incarnation, known
local highest = tonumber(redis.call('HGET', KEYS[1], '') or '0')
local number = redis.call('HGET', KEYS[1], ARGV[1])
if not number then
  local known = tonumber(ARGV[3])
  for _, taken in ipairs(redis.call('HVALS', KEYS[1])) do
    if tonumber(taken) == known then
      known = 0
      break
    end
  end
  number = known > 0 and known or highest + 1
  redis.call('HSET', KEYS[1], ARGV[1], digits(number), '', digits(math.max(highest, number)))
end
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  redis.call('DEL', KEYS[3])
end
return tonumber(number)
