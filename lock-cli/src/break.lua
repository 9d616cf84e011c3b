-- Frees a lock when it is still the one that was meant, or the places of a key that were meant.
--
-- KEYS[1]  the lock
-- ARGV[1]  its token, or for a foreign lock its value as far as it is shown; '' for any
-- ARGV[2]  its owner; '' for any
--
-- No more of a value is answered than the tool shows: what others wrote may be huge.
--
-- Answers {1, milliseconds it had left or -1, its value} when it was and is gone now; with places, also
-- how many were freed, and how many others stay.
-- {0} when there is no such key, {-1, milliseconds left or -1, its value} when it is another.

-- Behind a '~' when it was released and is kept for its min_hold.
local function is_meant(value)
  local token, owner = string.match(value, '^~?([^;]*);(.+)$')
  token = token and string.match(token, '^(' .. string.rep('[%w_-]', 22) .. ')[ps]$') or token
  return (ARGV[1] == '' or ARGV[1] == token or ARGV[1] == value) and (ARGV[2] == '' or ARGV[2] == owner)
end

local value = redis.pcall('GET', KEYS[1])
if value == false then
  return {0}
end
if type(value) == 'table' and not string.find(value.err, 'WRONGTYPE', 1, true) then
  return value -- the user may not look
end
local left = redis.call('PTTL', KEYS[1])
if type(value) == 'string' then
  value = string.sub(value, 1, 513)
  if not is_meant(value) then
    return {-1, left, value}
  end
  redis.call('DEL', KEYS[1])
  return {1, left, value}
end

-- A sorted set is a lock's only if its first value has our form, and it has an expiry.
local form = '^~?' .. string.rep('[%w_-]', 22) .. '[ps];.'
local all = redis.pcall('ZRANGE', KEYS[1], 0, -1)
if all.err or not all[1] or not string.find(all[1], form) or left < 0 then
  return {-1, left, ''}
end
local freed, first = 0, nil
for _, place in ipairs(all) do
  if is_meant(place) then
    redis.call('ZREM', KEYS[1], place)
    first, freed = first or place, freed + 1
  end
end
if freed == 0 then
  return {-1, left, string.sub(all[1], 1, 513)}
end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
if last then
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.ceil(last / 1000)))
end
return {1, left, string.sub(first, 1, 513), freed, #all - freed}
