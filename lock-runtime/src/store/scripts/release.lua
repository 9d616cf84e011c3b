-- Gives the lock back when it is ours: to the first in line who is there, or to nobody. With a value
-- that has the lock not, it leaves the line.
--
-- KEYS[1]  the lock
-- KEYS[2]  the line, KEYS[3] the seats, KEYS[4] the fencing counter (none where there is no line)
-- ARGV[1]  our value: the token and the owner
-- ARGV[2]  milliseconds that the key must still stay, or 0 to give it back now
-- ARGV[3]  how long the counter lives, in milliseconds
-- ARGV[4]  for how many milliseconds a look of ours may still arrive, or 0
--
-- A key that stays gets another value, ours behind a '~': nothing that comes late, an extension or
-- this script once more, finds ours.
--
-- Answers 1 when it was ours or was released so before, 0 when there is no such key, -1 when it is
-- someone else's.
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'table' and not string.find(value.err, 'WRONGTYPE', 1, true) then
  value = redis.call('GET', KEYS[1]) -- fails again, and the error names this line
end
if value == '~' .. ARGV[1] then
  return 1
end
local is_kept = false
if value == ARGV[1] and ARGV[2] ~= '0' then
  local kept = redis.pcall('SET', KEYS[1], '~' .. value, 'PX', ARGV[2])
  if kept.err and string.find(kept.err, 'OOM', 1, true) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2]) -- all that can be done without memory
  elseif kept.err then
    redis.call('SET', KEYS[1], '~' .. value, 'PX', ARGV[2]) -- as above
  end
  if ARGV[4] == '0' or not KEYS[2] then
    return 1
  end
  value, is_kept = '~' .. value, true
end
-- The short way. A side key that holds something else is nobody's line.
local in_line = KEYS[2] and redis.pcall('ZCARD', KEYS[2])
local has_line = in_line ~= 0 and type(in_line) == 'number'
if not KEYS[2] or not has_line and ARGV[4] == '0' then
  if value == ARGV[1] then
    redis.call('DEL', KEYS[1])
    return 1
  end
  return value and -1 or 0
end
