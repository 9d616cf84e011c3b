-- The rest of release.lua, where a line stands.

local function hand_over()
  local first, seat = first_there()
  if not first then
    return false
  end
  local row = redis.call('HGET', KEYS[3], '#row') or ''
  local since, last = string.match(row, '^(%d+) (%d+)$')
  if not since or now - tonumber(last) > DOOR_EVERY then
    since = whole(now)
  end
  if now - tonumber(since) >= DOOR_EVERY then
    local open = now + DOOR_OPEN
    redis.call('HSET', KEYS[3], '#row', whole(open) .. ' ' .. whole(open), '#open', whole(open))
    ring(first, seat, 'o ' .. DOOR_OPEN)
    return false
  end
  redis.call('HSET', KEYS[3], '#row', since .. ' ' .. whole(now))
  pass_on(first, seat)
  return true
end

if value == ARGV[1] then
  -- Whatever fails in the line, a right that is missing or memory, the key is given back.
  local is_done, is_passed_on = pcall(hand_over)
  if not (is_done and is_passed_on) then
    redis.call('DEL', KEYS[1])
    return 1
  end
  pcall(tell_first, 'f')
  return 1
end

local rank = redis.call('ZRANK', KEYS[2], ARGV[1])
if rank then
  leave(ARGV[1])
  if rank == 0 then
    pcall(tell_first, 'f')
  end
end
return value and -1 or 0
