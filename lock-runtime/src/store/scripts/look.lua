-- Takes the lock when it is free and nobody who is there came before; else takes a seat in the line,
-- or shows that who has it is still there, and says how it stands.
--
-- KEYS     those of pass_on.lua
-- ARGV[1]  our value: the token and the owner
-- ARGV[2]  the ttl in milliseconds
-- ARGV[3]  how long the counter lives, in milliseconds
-- ARGV[4]  1 when a fencing number is wanted, else 0
-- ARGV[5]  our bell, or '' to take no seat
-- ARGV[6]  the stamp of this look
-- ARGV[7]  for how long the key is to be passed on to us, in milliseconds
-- ARGV[8]  how long a seat lasts, in milliseconds
-- ARGV[9]  our place in the line that we lost, or ''
--
-- Answers {1, number} when the lock is ours now (number: 0 where none is wanted),
-- {2, number} when it was ours before, by an earlier look or since it was passed on to us,
-- {0, milliseconds left or -1, the holder's value, seat, rank, waiting, place, open} when it is busy:
--   seat 0: none was asked for, 1: we have one, 2: our bell is not heard, 3: there is no line here;
--   open: for how many milliseconds the key is left to those who are in no line, or 0,
-- {-1} when the counter's key holds something else. Then nothing was changed.

local function answer_busy(left, value, seat, open)
  local rank = redis.call('ZRANK', KEYS[2], ARGV[1])
  local place = redis.call('ZSCORE', KEYS[2], ARGV[1])
  return {
    0, left, string.sub(value, 1, 428), seat, rank or -1, redis.call('ZCARD', KEYS[2]),
    tonumber(place or 0), open
  }
end

-- What a key holds: false for nothing, '' for what is no string.
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'table' then
  if not string.find(value.err, 'WRONGTYPE', 1, true) then
    redis.call('GET', KEYS[1]) -- fails again, and the error names this line
  end
  value = ''
end

local is_fenced = ARGV[4] == '1'
local last = is_fenced and counted()
if last == nil then
  return {-1}
end

local function ours(how)
  if is_fenced then
    return {how, draw(last)}
  end
  return {how, 0}
end

if value == ARGV[1] then
  -- Never shortened: this may come late, when the holder has been told of more.
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
  end
  return ours(2)
end

local line, seats = redis.pcall('TYPE', KEYS[2]).ok, redis.pcall('TYPE', KEYS[3]).ok
local is_line = (line == 'none' or line == 'zset') and (seats == 'none' or seats == 'hash')
if not is_line then
  if not value and redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
    return ours(1)
  end
  return {0, redis.call('PTTL', KEYS[1]), string.sub(value, 1, 428), 3, -1, 0, 0, 0}
end

local open = 0
if not value then
  local first, seat
  if line == 'zset' then
    first, seat = first_there()
  end
  if first then
    open = math.max((tonumber(redis.call('HGET', KEYS[3], '#open') or 0)) - now, 0)
  end
  if not first or (first == ARGV[1] and open == 0) then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    if first then
      leave(first)
      tell_first('f')
    end
    return ours(1)
  end
  if open == 0 then
    if not pcall(pass_on, first, seat) then
      redis.call('DEL', KEYS[1])
      return {0, 0, '', 3, -1, 0, 0, 0}
    end
    value = first
    pcall(tell_first, 'f')
  end
end

local seat = 0
if ARGV[5] ~= '' and not is_heard(ARGV[5]) then
  seat = 2
elseif ARGV[5] ~= '' then
  seat = 1
  if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then
    -- Who died in the middle of the line would stay there for as long as the line stands.
    for _, before in ipairs(redis.call('ZRANGE', KEYS[2], -2, -1)) do
      if not seat_of(before) then
        leave(before)
      end
    end
    local place = ARGV[9]
    if place == '' then
      local end_of_line = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2] or 0
      place = whole(tonumber(end_of_line) + 1)
    end
    redis.call('ZADD', KEYS[2], place, ARGV[1])
  end
  local mine = {whole(now + ARGV[8]), ARGV[6], ARGV[7], ARGV[4], ARGV[5]}
  redis.call('HSET', KEYS[3], ARGV[1], table.concat(mine, ' '))
  redis.call('PEXPIRE', KEYS[2], ARGV[8])
  redis.call('PEXPIRE', KEYS[3], ARGV[8])
end
local left = redis.call('PTTL', KEYS[1])
if open > 0 then
  left = open
end
return answer_busy(left, value or '', seat, open)
