-- Lets a place live longer when it is ours and its time is not over. Never shortens what is left.
--
-- It stands behind places.lua.
--
-- KEYS, ARGV  those of extend.lua
--
-- Answers 1 when it was ours, 0 when it is gone or its time was over, -1 when the key is someone
-- else's.

local which = redis.call('TYPE', KEYS[1]).ok
if which ~= 'zset' then
  return which == 'none' and 0 or -1
end
local known = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0)
if known <= micros then
  return 0
end
local ends = micros + ARGV[2] * 1000
if known < ends then
  put(ARGV[1], ends)
end
return 1
