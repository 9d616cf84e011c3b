-- Takes the lock when it is free or ours already; says who has it when it is not.
--
-- KEYS[1]  the lock
-- KEYS[2]  the fencing counter (only when a fencing number is wanted)
-- ARGV[1]  our value: the token and the owner
-- ARGV[2]  the ttl in milliseconds
-- ARGV[3]  how long the counter lives, in milliseconds
--
-- Answers {1, number} when the lock is ours (number: 0 without a counter),
-- {0, milliseconds left or -1, the holder's value} when it is busy.
--
-- Reading the busy key also registers it for invalidations where the connection tracks.
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  local value = redis.pcall('GET', KEYS[1])
  if type(value) == 'table' and not string.find(value.err, 'WRONGTYPE', 1, true) then
    value = redis.call('GET', KEYS[1]) -- fails again, and the error names this line
  end
  if value ~= ARGV[1] then
    if type(value) ~= 'string' then value = '' end
    return {0, redis.call('PTTL', KEYS[1]), value}
  end
  -- Never shortened: this may come late, when the holder has been told of more.
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
  end
end
if not KEYS[2] then
  return {1, 0}
end
-- The clock keeps the number growing when the counter has expired or was lost,
-- the counter does when the clock stands still or steps back.
local last = redis.pcall('GET', KEYS[2])
last = type(last) == 'string' and tonumber(last) or 0
local time = redis.call('TIME')
local number = math.max(last + 1, time[1] * 1000000 + time[2])
redis.call('SET', KEYS[2], string.format('%.0f', number), 'PX', ARGV[3])
return {1, number}
