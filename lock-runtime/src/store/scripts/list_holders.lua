-- Who holds a lock: all of them, the first to end in front, a thousand at most.
--
-- It stands behind holders.lua.
--
-- KEYS[1]  the lock
--
-- Answers, for each, {milliseconds left or -1, so much of the value as is shown of an owner}.
local value = redis.pcall('GET', KEYS[1])
if value == false then
  return {}
end
local left = redis.call('PTTL', KEYS[1])
if type(value) == 'string' then
  return {{left, string.sub(value, 1, 428)}}
end
if not string.find(value.err, 'WRONGTYPE', 1, true) then
  redis.call('GET', KEYS[1]) -- fails again, and the error names this line
end
local first = redis.call('TYPE', KEYS[1]).ok == 'zset' and redis.call('ZRANGE', KEYS[1], 0, 0)[1]
if not first or not letter(first) or left < 0 then
  return {{left, ''}}
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local after = string.format('(%.0f', now)
local places = redis.call('ZRANGEBYSCORE', KEYS[1], after, '+inf', 'WITHSCORES', 'LIMIT', 0, 1000)
local holders = {}
for place = 1, #places, 2 do
  local ends = math.ceil((places[place + 1] - now) / 1000)
  table.insert(holders, {ends, string.sub(places[place], 1, 428)})
end
return holders
