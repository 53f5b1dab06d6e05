-- Frames below these sequences are in the database. Guarantees: a mark never falls.
-- KEYS committed   ARGV holder, sequence, holder, sequence, ...
for index = 1, #ARGV, 2 do
  local known = redis.call('HGET', KEYS[1], ARGV[index])
  if not known or tonumber(known) < tonumber(ARGV[index + 1]) then
    redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
  end
end
return 1
