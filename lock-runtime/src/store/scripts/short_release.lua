-- The short way to pass the lock on, in front of all that the line needs: to a first of the line who
-- wants no number. It does what the rest would do, in two thirds of the time. What else it finds, one who is
-- gone or a door that has to be opened, it leaves to the rest.
if has_line and value == ARGV[1] and ARGV[4] == '0' then
  local DOOR_EVERY = 1000 -- as in pass_on.lua
  local line, seats = KEYS[2], KEYS[3]
  local is_begun = false

  local function pass_on()
    local first, second = unpack(redis.call('ZRANGE', line, '0', '1'))
    local seat = redis.call('HGET', seats, first)
    local next_seat = seat
    if second then
      next_seat = redis.call('HGET', seats, second)
    end
    local till, stamp, reservation, bell = string.match(seat or '', '^(%d+) (%d+) (%d+) 0 (.+)$')
    local next_till, next_bell = string.match(next_seat or '', '^(%d+) %d+ %d+ [01]:?%d* (.+)$')
    if not till or not next_till then
      return false
    end
    local time = redis.call('TIME')
    local now = math.floor(time[1] * 1000 + time[2] / 1000)
    local row = redis.call('HGET', seats, '#row')
    local since, last = string.match(row or '', '^(%d+) (%d+)$')
    if not since or now - last > DOOR_EVERY then
      since = string.format('%.0f', now)
    end
    if tonumber(till) <= now or tonumber(next_till) <= now or now - since >= DOOR_EVERY then
      return false
    end
    local is_sharded = string.sub(bell, -1) == '}'
    if (string.sub(next_bell, -1) == '}') ~= is_sharded then
      return false
    end
    local heard = redis.call('PUBSUB', is_sharded and 'SHARDNUMSUB' or 'NUMSUB', bell, next_bell)
    if heard[2] == 0 or heard[4] == 0 then
      return false
    end
    is_begun = true
    redis.call('HSET', seats, '#row', since .. ' ' .. string.format('%.0f', now))
    redis.call('SET', KEYS[1], first, 'PX', reservation)
    redis.call('ZREM', line, first)
    redis.call('HDEL', seats, first)
    local publish = is_sharded and 'SPUBLISH' or 'PUBLISH'
    local numbers = stamp .. ' ' .. reservation .. ' - ' .. #first .. ' '
    redis.call(publish, bell, 'g ' .. numbers .. first .. KEYS[1])
    if second then
      redis.pcall(publish, next_bell, 'f ' .. #second .. ' ' .. second .. KEYS[1])
    end
    return true
  end

  local is_done, is_passed_on = pcall(pass_on)
  if is_begun and not is_done then
    redis.call('DEL', KEYS[1]) -- as the rest does where a right is missing, or memory
  end
  if is_begun or is_done and is_passed_on then
    return 1
  end
end
