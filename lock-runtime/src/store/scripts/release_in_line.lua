-- The rest of release.lua, where a line stands, or where we are to be remembered as settled.

local is_line, may_write = line_types()

-- What we asked may still arrive, for so long: then it is to find us settled, and take neither the
-- key nor a seat.
local is_doubted = ARGV[4] ~= '0'
if may_write and (is_doubted or value ~= ARGV[1]) then
  local was_first = is_line and redis.call('ZRANGE', KEYS[2], 0, 0)[1] == ARGV[1]
  leave(ARGV[1])
  if is_doubted then
    pcall(settle, ARGV[1], ARGV[4])
  end
  if was_first and value and value ~= ARGV[1] then
    pcall(tell_first, 'f')
  end
end

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
  pass_on(first, seat)
  return true
end

-- Also when the key is gone: its time was over, and whoever waits may not know that yet.
if is_line and (value == ARGV[1] or not value) then
  -- Whatever fails in the line, a right that is missing or memory, the key is given back.
  local is_done, is_passed_on = pcall(hand_over)
  if is_done and is_passed_on then
    pcall(tell_first, 'f')
  else
    redis.call('DEL', KEYS[1])
  end
elseif value == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
if value == ARGV[1] or is_kept then
  return 1
end
return value and -1 or 0
