-- Frees a lock when it is still the one that was meant.
--
-- KEYS[1]  the lock
-- ARGV[1]  its token, or for a foreign lock its value as far as it is shown; '' for any
-- ARGV[2]  its owner; '' for any
--
-- No more of a value is answered than the tool shows: what others wrote may be huge.
--
-- Answers {1, milliseconds it had left or -1, its value} when it was and is gone now,
-- {0} when there is no such key, {-1, milliseconds left or -1, its value} when it is another.
local value = redis.pcall('GET', KEYS[1])
if value == false then
  return {0}
end
if type(value) == 'table' and not string.find(value.err, 'WRONGTYPE', 1, true) then
  return value -- the user may not look
end
local left = redis.call('PTTL', KEYS[1])
if type(value) ~= 'string' then
  return {-1, left, ''}
end
value = string.sub(value, 1, 513)
-- Behind a '~' when it was released and is kept for its min_hold.
local token, owner = string.match(value, '^~?([^;]*);(.+)$')
local is_meant = (ARGV[1] == '' or ARGV[1] == token or ARGV[1] == value)
  and (ARGV[2] == '' or ARGV[2] == owner)
if not is_meant then
  return {-1, left, value}
end
redis.call('DEL', KEYS[1])
return {1, left, value}
