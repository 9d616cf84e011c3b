-- What is done with the places of a key that several may hold: see holders.lua, which stands in
-- front, and clock.lua.
--
-- KEYS[1]  the lock

-- What holds the key: {count = 0} when it is free; {letter, count} when some have places, after those
-- whose time is over are gone; {value} when it is anything else, '' for what is no string.
--
-- A set is ours only by the form of its first value and by its expiry: another's is not touched.
local function look_at_key()
  local first = redis.pcall('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  if first.err then
    if not string.find(first.err, 'WRONGTYPE', 1, true) then
      redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES') -- fails again, and the error names this line
    end
    local is_string = redis.call('TYPE', KEYS[1]).ok == 'string'
    return {value = is_string and redis.call('GET', KEYS[1]) or ''}
  end
  if not first[1] then
    return {count = 0}
  end
  local kind = letter(first[1])
  if not kind or redis.call('PTTL', KEYS[1]) < 0 then
    return {value = ''}
  end
  if tonumber(first[2]) <= micros then
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', whole(micros))
  end
  return {letter = kind, count = redis.call('ZCARD', KEYS[1])}
end

-- Whether there is room for one of this letter beside what holds the key: for one that has none, the
-- key must be free; for a permit, fewer than its number must have places.
local function has_room(held, which, limit)
  if held.value then
    return false
  end
  return held.count == 0 or which == held.letter and (which == 's' or held.count < limit)
end

-- When there is room for one of this letter, as those who have places now end: for one of another
-- kind, when all have ended.
local function room_from(held, which, limit)
  local last = -1
  if which == 'p' and held.letter == 'p' then
    last = math.max(held.count - limit, 0)
  end
  return tonumber(redis.call('ZRANGE', KEYS[1], last, last, 'WITHSCORES')[2])
end

-- Makes the key live until the last place has ended.
local function expire_at(micros)
  redis.call('PEXPIREAT', KEYS[1], whole(math.ceil(micros / 1000)))
end

-- Gives this value a place until then, or moves its end.
--
-- The expiry comes first, also where there is no key yet. Whoever may not set one has added nothing
-- then, and no set is left without an expiry. And where memory is full, Redis refuses a script its
-- first write, but not what follows one: a place is extended like any other lock.
local function put(value, ends)
  local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
  expire_at(math.max(ends, tonumber(last or 0)))
  redis.call('ZADD', KEYS[1], whole(ends), value)
  if not last then
    expire_at(ends)
  end
end
