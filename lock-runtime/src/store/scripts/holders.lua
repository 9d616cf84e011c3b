-- Who holds a lock whose key is no string: it stands in front of the scripts that say so.
--
-- A key that several may hold is a sorted set, value -> when its place ends, in microseconds of the
-- server's clock. Its own expiry is the end of the last place. A value is the token, the letter 's'
-- (shared) or 'p' (permit), ';' and the owner, all behind a '~' when it was released and stays.

-- The letter of a value that has a place, else nil.
local function letter(value)
  if string.sub(value, 23, 23) == ';' then
    return nil -- behind the token of a lock's own value, as most are
  end
  local token, which = string.match(value, '^~?([%w_-]+)([ps]);.')
  if token and #token == 22 then
    return which
  end
end

-- How many have places, and of the first three to end so much of the value as is shown of an owner;
-- '' when it is no such key, or a right is missing: then nobody can say more.
local function shown_holders(key)
  if redis.pcall('TYPE', key).ok ~= 'zset' then
    return ''
  end
  local time = redis.pcall('TIME')
  if time.err or redis.call('PTTL', key) < 0 then
    return ''
  end
  local after = string.format('(%.0f', time[1] * 1000000 + time[2])
  local first = redis.pcall('ZRANGEBYSCORE', key, after, '+inf', 'LIMIT', 0, 3)
  local count = redis.pcall('ZCOUNT', key, after, '+inf')
  if first.err or type(count) == 'table' or not first[1] or not letter(first[1]) then
    return ''
  end
  local shown = {count}
  for _, value in ipairs(first) do
    table.insert(shown, string.sub(value, 1, 428))
  end
  return shown
end
