-- The rest of release.lua, where a line stands, or where we are to be remembered as settled.

-- What we asked may still arrive, for so long: then it is to find us settled, and take neither the
-- key nor a seat.
local is_doubted = ARGV[4] ~= '0'
local is_line = has_line
if is_doubted or value ~= ARGV[1] then
  local may_write
  is_line, may_write = line_types()
  if may_write then
    local was_first = is_line and redis.call('ZRANGE', KEYS[2], 0, 0)[1] == ARGV[1]
    leave(ARGV[1])
    if is_doubted then
      pcall(settle, ARGV[1], ARGV[4])
    end
    if was_first and value and value ~= ARGV[1] then
      pcall(go_on_without)
    end
  end
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
