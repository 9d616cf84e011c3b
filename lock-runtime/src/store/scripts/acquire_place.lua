-- Takes a place of a key that several may hold, when there is room and nobody who is there waits in
-- front; else takes a seat in the line, as look.lua does, and says how it stands.
--
-- It stands behind holders.lua.
--
-- KEYS      the lock, and those of pass_on.lua; without a line, the lock and maybe the counter
-- ARGV      those of look.lua, the letter of our value says what we want
-- ARGV[11]  for a permit: how many may have one; else ''
--
-- Answers as look.lua does. Where places are held, it gives in place of the holder's value what
-- shown_holders of holders.lua does, and the milliseconds until this request could have its place.

local limit = tonumber(ARGV[11])
local which = limit and 'p' or 's'
local is_fenced = ARGV[4] == '1'

-- The short way, in front of all that the line needs: where nobody waits, and there is room beside those
-- who have places now. Whatever else there is, it changes nothing, and the rest goes on.
local function take()
  local first = redis.pcall('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  if first.err or first[1] and letter(first[1]) ~= which then
    return false
  end
  local left = redis.call('PTTL', KEYS[1])
  local time = redis.call('TIME')
  local micros = time[1] * 1000000 + time[2]
  if first[1] and (left < 0 or tonumber(first[2]) <= micros) then
    return false
  end
  if limit and redis.call('ZCARD', KEYS[1]) >= limit then
    return false
  end
  if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
    return false -- ours already
  end
  -- As `put` of places.lua does; the expiry is left alone where another place lasts longer.
  local ends = micros + ARGV[2] * 1000
  if left <= tonumber(ARGV[2]) then
    redis.call('PEXPIREAT', KEYS[1], math.ceil(ends / 1000))
  end
  redis.call('ZADD', KEYS[1], ends, ARGV[1])
  if not first[1] then
    redis.call('PEXPIREAT', KEYS[1], math.ceil(ends / 1000))
  end
  return true
end

local is_short = not is_fenced and (not KEYS[3] or redis.pcall('EXISTS', KEYS[2], KEYS[3]) == 0)
if is_short and take() then
  return {1, 0}
end
