-- How a key that is free now is passed on, by the scripts that release: it stands in the middle of
-- them, behind pass_on.lua.

-- Passes the key on, unless it is time to leave it to those who are in no line.
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
  return let_in({count = 0}) > 0
end
