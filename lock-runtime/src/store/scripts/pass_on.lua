-- What is done with the line, by the scripts that look and that release: it stands in the middle of
-- them, behind holders.lua, clock.lua and places.lua.
--
-- KEYS[1]  the lock
-- KEYS[2]  the line: a sorted set of the values that wait, in the order of their coming
-- KEYS[3]  the seats: a hash, value -> "till stamp reservation fenced bell", with ":number" behind
--          fenced for a permit of that number; '#row' -> "since last",
--          from when and until when the key was passed on without a break; '#open' -> until when
--          the key is left to those who are in no line; value -> "settled till" of one that has
--          given the key back, or its seat, while a look of its may still arrive
-- KEYS[4]  the fencing counter; KEYS[2] where there is no line
-- ARGV[3]  how long the counter lives, in milliseconds
--
-- All times in it are the server's, in milliseconds; a stamp means something to its process only.
--
-- A bell's message is a letter, its numbers, the value's length, the value and the key:
-- 'g stamp reservation number|-' when the key was passed on to the value, 'f' when the value is the
-- first of the line now, 'o milliseconds' when it is first, and is to look after that time.

local DOOR_EVERY, DOOR_OPEN = 1000, 30

-- So many are let in by one script: then one of those goes on.
local AT_ONCE = 64

local COUNTER = KEYS[4] or KEYS[2]

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

-- {value, seat} of the first who is there, or {} where nobody is, once that was asked for.
local head

local function leave(value)
  if head and head[1] == value then
    head = nil
  end
  redis.call('ZREM', KEYS[2], value)
  redis.call('HDEL', KEYS[3], value)
end

local function seat_of(value)
  local seat = redis.call('HGET', KEYS[3], value) or ''
  local till, stamp, reservation, fenced, limit, bell =
    string.match(seat, '^(%d+) (%d+) (%d+) ([01]):?(%d*) (.+)$')
  if till and tonumber(till) > now then
    return {
      stamp = stamp,
      reservation = reservation,
      fenced = fenced == '1',
      limit = tonumber(limit) or 1,
      bell = bell,
    }
  end
end

-- Whether a line stands, and whether the side keys are ours to write.
local function line_types()
  if not KEYS[3] then
    return false, false
  end
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
  while not head do
    local value = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
    local seat = value and seat_of(value)
    if not value then
      head = {}
    elseif seat and is_heard(seat.bell) then
      head = {value, seat}
    else
      leave(value)
    end
  end
  return head[1], head[2]
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
  local last = redis.pcall('GET', COUNTER)
  if not last then
    return false
  end
  local is_number = type(last) == 'string' and string.find(last, '^%d+$') and #last <= 16
  if is_number and redis.call('PTTL', COUNTER) >= 0 then
    return last
  end
  return nil
end

-- The clock keeps the number growing when the counter has expired or was lost, the counter does
-- when the clock stands still or steps back.
local function draw(last)
  local number = math.max((tonumber(last or 0)) + 1, micros)
  redis.call('SET', COUNTER, whole(number), 'PX', ARGV[3])
  return number
end

-- Gives the key, or a place of it, to this value. Ringing comes last: nothing that may fail follows,
-- since who was rung has the lock.
local function pass_on(value, seat, held)
  if not letter(value) then
    redis.call('SET', KEYS[1], value, 'PX', seat.reservation)
  else
    if held.count == 0 then
      redis.call('DEL', KEYS[1]) -- the value that is given back
    end
    put(value, micros + seat.reservation * 1000)
  end
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

-- Lets in the first of the line, and those behind it for whom there is room, too. `held` is what
-- holds the key, and follows. Answers how many were let in.
local function let_in(held)
  for count = 0, AT_ONCE - 1 do
    -- Nothing may fail from here on: who was let in has been told.
    local is_known, value, seat = pcall(first_there)
    local which = is_known and value and letter(value)
    if not is_known or not value or not has_room(held, which, seat.limit) then
      return count
    end
    if not pcall(pass_on, value, seat, held) then
      if which then
        redis.pcall('ZREM', KEYS[1], value)
      end
      return count
    end
    if which then
      held.letter, held.count = which, held.count + 1
    else
      held.value, held.letter = value, nil
    end
  end
  return AT_ONCE
end

-- One that did not have the key has left the line, and was its first: what it stood in the way of
-- goes on.
local function go_on_without()
  local held = look_at_key()
  if held.letter then
    let_in(held)
  end
  tell_first('f')
end
