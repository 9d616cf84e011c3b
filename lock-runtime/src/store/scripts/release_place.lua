-- Gives a place of a key back, and lets in those of the line for whom there is room then. With a
-- value that has no place, it leaves the line.
--
-- KEYS, ARGV  those of release.lua
--
-- A place that stays gets another value, as in release.lua, and has its holder's room until it ends.
--
-- Answers 1 when it was ours or was released so before, 0 when it is gone or its time was over, -1
-- when the key is someone else's.

-- The short way, in front of all that the line needs: where nobody waits, and what is ours goes now.
-- Whatever else there is, it changes nothing, and the rest goes on.
local function give()
  local later = redis.pcall('ZREVRANK', KEYS[1], ARGV[1])
  if type(later) ~= 'number' then
    return false
  end
  local time = redis.call('TIME')
  if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1])) <= time[1] * 1000000 + time[2] then
    return false
  end
  redis.call('ZREM', KEYS[1], ARGV[1])
  local last = later == 0 and redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
  if last then
    -- The key lives until the last place has ended.
    redis.call('PEXPIREAT', KEYS[1], math.ceil(last / 1000))
  end
  return true
end

local is_doubted = KEYS[2] and ARGV[4] ~= '0'
local is_short = ARGV[2] == '0' and not is_doubted and (not KEYS[2] or redis.pcall('EXISTS', KEYS[2]) == 0)
if is_short and give() then
  return 1
end
