-- Takes the lock when it is free or ours already; says who has it when it is not.
--
-- KEYS[1]  the lock
-- KEYS[2]  the fencing counter (only when a fencing number is wanted)
-- ARGV[1]  our value: the token and the owner
-- ARGV[2]  the ttl in milliseconds
-- ARGV[3]  how long the counter lives, in milliseconds
--
-- Answers {1, number} when the lock is ours now (number: 0 without a counter),
-- {2, number} when it was ours before,
-- {0, milliseconds left or -1, the holder's value} when it is busy; where several have places of it,
-- what shown_holders of holders.lua says, instead of the value,
-- {-1} when the counter's key holds something else. Then nothing was changed.
--
-- Reading the busy key also registers it for invalidations where the connection tracks.

-- What a key holds: false for nothing; '', and true, for what is no string.
local function read(key)
  local value = redis.pcall('GET', key)
  if type(value) ~= 'table' then
    return value
  end
  if not string.find(value.err, 'WRONGTYPE', 1, true) then
    redis.call('GET', key) -- fails again, and the error names this line
  end
  return '', true
end

local last = KEYS[2] and read(KEYS[2])
if last then
  local is_number = string.find(last, '^%d+$') and #last <= 16
  if not is_number or redis.call('PTTL', KEYS[2]) < 0 then
    return {-1}
  end
end
local ours = 1
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  local value, is_no_string = read(KEYS[1])
  if is_no_string then
    return {0, redis.call('PTTL', KEYS[1]), shown_holders(KEYS[1])}
  end
  value = value or ''
  if value ~= ARGV[1] then
    -- Of a value in our form, the token and the hundred characters that are shown of the owner.
    return {0, redis.call('PTTL', KEYS[1]), string.sub(value, 1, 428)}
  end
  ours = 2
  -- Never shortened: this may come late, when the holder has been told of more.
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
  end
end
if not KEYS[2] then
  return {ours, 0}
end
-- The clock keeps the number growing when the counter has expired or was lost,
-- the counter does when the clock stands still or steps back.
local time = redis.call('TIME')
local number = math.max((tonumber(last) or 0) + 1, time[1] * 1000000 + time[2])
redis.call('SET', KEYS[2], string.format('%.0f', number), 'PX', ARGV[3])
return {ours, number}
