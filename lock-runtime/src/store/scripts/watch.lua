-- Tells the first of the line who has the lock and for how long, and registers the key for
-- invalidations where the connection tracks. It reads no other key: Redis 7.0 registers all that are
-- declared.
--
-- KEYS[1]  the lock
--
-- Answers 0 when the key is free, else {milliseconds left or -1, the holder's value}. With a third,
-- 1, several have places of it.
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'table' then
  if not string.find(value.err, 'WRONGTYPE', 1, true) then
    redis.call('GET', KEYS[1]) -- fails again, and the error names this line
  end
  if redis.pcall('TYPE', KEYS[1]).ok == 'zset' then
    return {redis.call('PTTL', KEYS[1]), '', 1}
  end
  value = ''
end
if value == false then
  return 0
end
return {redis.call('PTTL', KEYS[1]), string.sub(value, 1, 428)}
