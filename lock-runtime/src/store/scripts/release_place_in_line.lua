-- The rest of release_place.lua, behind open_door.lua: where a line stands, or the place stays, or it is
-- not ours, or a look may still arrive.

local held = look_at_key()
local kept = '~' .. ARGV[1]
local ended = held.letter and redis.call('ZSCORE', KEYS[1], ARGV[1])
if held.letter and not ended and redis.call('ZSCORE', KEYS[1], kept) then
  return 1
end

local answer = held.value and -1 or 0
if ended then
  answer = 1
  redis.call('ZREM', KEYS[1], ARGV[1])
  held.count = held.count - 1
  if ARGV[2] ~= '0' then
    put(kept, micros + ARGV[2] * 1000)
    held.count = held.count + 1
  end
  local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
  if last and tonumber(last) < tonumber(ended) then
    expire_at(tonumber(last))
  end
end

local is_line, may_write = line_types()
local was_first = false
if may_write and (is_doubted or answer ~= 1) then
  was_first = is_line and redis.call('ZRANGE', KEYS[2], 0, 0)[1] == ARGV[1]
  leave(ARGV[1])
  if is_doubted then
    pcall(settle, ARGV[1], ARGV[4])
  end
end

-- Whether what is given back would have kept the first of the line out for longer than what is left.
local function is_sooner()
  local value, seat = first_there()
  return ended and value and tonumber(ended) > room_from(held, letter(value), seat.limit)
end

local function serve()
  if held.count == 0 then
    if hand_over() then
      tell_first('f')
    end
  elseif let_in(held) > 0 or was_first or is_sooner() then
    tell_first('f')
  end
end

-- Whatever fails in the line, the place is given back.
if is_line then
  pcall(serve)
end
return answer
