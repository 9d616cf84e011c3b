-- What look.lua and release.lua do with the line; it stands in the middle of them.
--
-- KEYS[1]  the lock
-- KEYS[2]  the line: a sorted set of the values that wait, in the order of their coming
-- KEYS[3]  the seats: a hash, value -> "till stamp reservation fenced bell"; '#row' -> "since last",
--          from when and until when the key was passed on without a break; '#open' -> until when
--          the key is left to those who are in no line; value -> "settled till" of one that has
--          given the key back, or its seat, while a look of its may still arrive
-- KEYS[4]  the fencing counter
-- ARGV[3]  how long the counter lives, in milliseconds
--
-- All times in it are the server's, in milliseconds; a stamp means something to its process only.
--
-- A bell's message is a letter, its numbers, the value's length, the value and the key:
-- 'g stamp reservation number|-' when the key was passed on to the value, 'f' when the value is the
-- first of the line now, 'o milliseconds' when it is first, and is to look after that time.

local DOOR_EVERY, DOOR_OPEN = 1000, 30

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function whole(number)
  return string.format('%.0f', number)
end

-- A bell is a channel. On a cluster it is a sharded one in the slot of the lock, whose name ends with
-- the key's hash tag.
local function is_sharded(bell)
  return string.sub(bell, -1) == '}'
end

local function is_heard(bell)
  if is_sharded(bell) then
    return redis.call('PUBSUB', 'SHARDNUMSUB', bell)[2] > 0
  end
  return redis.call('PUBSUB', 'NUMSUB', bell)[2] > 0
end

local function leave(value)
  redis.call('ZREM', KEYS[2], value)
  redis.call('HDEL', KEYS[3], value)
end

local function seat_of(value)
  local seat = redis.call('HGET', KEYS[3], value) or ''
  local till, stamp, reservation, fenced, bell = string.match(seat, '^(%d+) (%d+) (%d+) ([01]) (.+)$')
  if till and tonumber(till) > now then
    return {stamp = stamp, reservation = reservation, fenced = fenced == '1', bell = bell}
  end
end

-- Whether a line stands, and whether the side keys are ours to write.
local function line_types()
  local line, seats = redis.call('TYPE', KEYS[2]).ok, redis.call('TYPE', KEYS[3]).ok
  local is_line = line == 'zset' and seats == 'hash'
  return is_line, (line == 'none' or line == 'zset') and (seats == 'none' or seats == 'hash')
end

-- The seats last at least so long from now.
local function keep_seats(millis)
  if redis.call('PTTL', KEYS[3]) < tonumber(millis) then
    redis.call('PEXPIRE', KEYS[3], millis)
  end
end

local function settle(value, millis)
  redis.call('HSET', KEYS[3], value, 'settled ' .. whole(now + millis))
  keep_seats(millis)
end

local function is_settled(value)
  local till = string.match(redis.call('HGET', KEYS[3], value) or '', '^settled (%d+)$')
  return till and tonumber(till) > now
end

-- The first who is there, and its seat. Those before it are gone, and leave.
local function first_there()
  while true do
    local value = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
    if not value then
      return nil
    end
    local seat = seat_of(value)
    if seat and is_heard(seat.bell) then
      return value, seat
    end
    leave(value)
  end
end

local function ring(value, seat, words)
  local message = words .. ' ' .. #value .. ' ' .. value .. KEYS[1]
  if is_sharded(seat.bell) then
    redis.call('SPUBLISH', seat.bell, message)
  else
    redis.call('PUBLISH', seat.bell, message)
  end
end

-- Tells the first who is there that it is.
local function tell_first(words)
  local value, seat = first_there()
  if value then
    ring(value, seat, words)
  end
end

-- What the counter holds: false for nothing, nil for something that is no counter.
local function counted()
  local last = redis.pcall('GET', KEYS[4])
  if not last then
    return false
  end
  local is_number = type(last) == 'string' and string.find(last, '^%d+$') and #last <= 16
  if is_number and redis.call('PTTL', KEYS[4]) >= 0 then
    return last
  end
  return nil
end

-- The clock keeps the number growing when the counter has expired or was lost, the counter does
-- when the clock stands still or steps back.
local function draw(last)
  local number = math.max((tonumber(last or 0)) + 1, time[1] * 1000000 + time[2])
  redis.call('SET', KEYS[4], whole(number), 'PX', ARGV[3])
  return number
end

-- Gives the key to this value. Ringing comes last: nothing that may fail follows, since who was rung
-- has the lock.
local function pass_on(value, seat)
  redis.call('SET', KEYS[1], value, 'PX', seat.reservation)
  leave(value)
  local number = '-'
  if seat.fenced then
    local last = counted()
    if last ~= nil then
      number = whole(draw(last))
    end
  end
  ring(value, seat, 'g ' .. seat.stamp .. ' ' .. seat.reservation .. ' ' .. number)
end

