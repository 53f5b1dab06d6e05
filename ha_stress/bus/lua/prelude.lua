-- Put before every script. Reads and writes the mastership record, and appends events; nothing here decides.
-- A script runs as one step on the server: nobody sees a half of it. TIME is the only clock.

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Whole numbers as digits: Lua prints large ones as 1e+15.
local function digits(number)
  return string.format('%.0f', number)
end

-- The stored record and nil, or nil and an error reply. Epoch 0 means that there is none.
local function read_record(key)
  local f = redis.call('HMGET', key, 'epoch', 'node', 'incarnation', 'why')
  if not f[1] then
    if redis.call('EXISTS', key) == 1 then
      return nil, redis.error_reply('PROTOCOL the mastership record at ' .. key .. ' has no epoch')
    end
    return {epoch = 0, node = '', incarnation = '', why = ''}
  end
  if not string.match(f[1], '^%d+$') or f[1] == '0' or not f[2] or f[2] == '' or not f[3] then
    return nil, redis.error_reply('PROTOCOL the mastership record at ' .. key .. ' is not {epoch, node, incarnation}')
  end
  return {epoch = tonumber(f[1]), node = f[2], incarnation = f[3], why = f[4] or ''}
end

local function write_record(key, epoch, node, incarnation, why)
  redis.call('HSET', key, 'epoch', digits(epoch), 'node', node, 'incarnation', incarnation, 'why', why,
    'at_ms', digits(now_ms()))
end

-- A record as the reply that the client decodes.
local function reply(record)
  return {digits(record.epoch), record.node, record.incarnation, record.why}
end

local function stands(record, epoch, node, incarnation)
  return record.epoch == epoch and record.node == node and record.incarnation == incarnation
end

-- Tells who waits on the election channel. Only a hint: the record is the truth.
local function publish_record(channel, epoch, node, incarnation, why)
  redis.call('PUBLISH', channel, '{"epoch":' .. digits(epoch) .. ',"node":' .. cjson.encode(node)
    .. ',"incarnation":' .. cjson.encode(incarnation) .. ',"why":' .. cjson.encode(why) .. '}')
end

-- Appends one event; `detail` is JSON already. Sequences have no gaps: the number is drawn and used in one step, and an
-- entry's stream id is "<sequence>-0", so that a reader finds its place. Returns sequence and at_ms.
local function append_event(stream, counter, channel, cap, event)
  local sequence = redis.call('INCR', counter)
  local top = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  if top then
    local last = tonumber(string.match(top[1], '^(%d+)-'))
    if last >= sequence then -- the counter was lost, the stream was not: go on above it
      sequence = last + 1
      redis.call('SET', counter, digits(sequence))
    end
  end
  local number, at = digits(sequence), digits(now_ms())
  redis.call('XADD', stream, 'MAXLEN', '~', cap, number .. '-0', 'sequence', number, 'epoch', event.epoch,
    'name', event.name, 'source', event.source, 'subject', event.subject, 'cause', event.cause, 'at_ms', at,
    'detail', event.detail)
  redis.call('PUBLISH', channel, '{"sequence":' .. number .. ',"epoch":' .. event.epoch
    .. ',"name":' .. cjson.encode(event.name) .. ',"source":' .. cjson.encode(event.source)
    .. ',"subject":' .. cjson.encode(event.subject) .. ',"cause":' .. cjson.encode(event.cause)
    .. ',"at_ms":' .. at .. ',"detail":' .. event.detail .. '}')
  return number, at
end

-- Keeps a failover record under its epoch, and drops the oldest above the cap.
local function keep_failover(key, epoch, json, cap)
  redis.call('HSET', key, epoch, json)
  while redis.call('HLEN', key) > tonumber(cap) do
    local oldest
    for _, known in ipairs(redis.call('HKEYS', key)) do
      local number = tonumber(known)
      if not number then
        return redis.call('HDEL', key, known)
      end
      if not oldest or number < oldest then
        oldest = number
      end
    end
    redis.call('HDEL', key, digits(oldest))
  end
end
