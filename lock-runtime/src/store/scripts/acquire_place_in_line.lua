-- The rest of acquire_place.lua, behind sit.lua: where there is no room, or a line stands, or a number is
-- wanted, or it is ours.

if is_fenced and counted() == nil then
  return {-1}
end

local held = look_at_key()

local is_line, may_write = line_types()

local function busy(seat, open, place, in_front)
  local rank, waiting = false, 0
  if seat ~= 4 then
    rank = redis.call('ZRANK', KEYS[2], ARGV[1])
    waiting = redis.call('ZCARD', KEYS[2]) - (rank and 1 or 0)
  end
  local left, shown = open, string.sub(held.value or '', 1, 428)
  if held.value then
    left = redis.call('PTTL', KEYS[1])
  elseif held.count > 0 then
    -- Behind another: when all have ended.
    local from = room_from(held, not in_front and which, limit)
    left, shown = math.ceil((from - micros) / 1000), shown_holders(KEYS[1])
    if shown == '' then
      shown = {held.count} -- a right to say more is missing
    end
  end
  return {0, left, shown, seat, rank or -1, waiting, tonumber(place or 0), open}
end

if may_write and is_settled(ARGV[1]) then
  return busy(6, 0)
end

-- The place is ours until then at least. Never shortened: this may come late, when its holder has
-- been told of more.
local function ours(how)
  local ends = micros + ARGV[2] * 1000
  local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
  if not known or tonumber(known) < ends then
    put(ARGV[1], ends)
  end
  return {how, is_fenced and draw(counted()) or 0}
end

if held.letter and redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return ours(2)
end

if not may_write then
  if has_room(held, which, limit) then
    return ours(1)
  end
  return busy(4, 0)
end

local first
if is_line then
  first = first_there()
end
local place = first and redis.call('ZSCORE', KEYS[2], ARGV[1])
-- Somebody waits who has not begun, so that what we came for will be done.
local is_owed = ARGV[10] == '1' and first and not place
local open = 0
if first and held.count == 0 then
  open = math.max(tonumber(redis.call('HGET', KEYS[3], '#open') or 0) - now, 0)
end

if first and first ~= ARGV[1] and open == 0 and let_in(held) > 0 then
  -- There was room that nobody has told of: a place has ended, or one who waited in front has gone.
  pcall(tell_first, 'f')
  if held.letter and redis.call('ZSCORE', KEYS[1], ARGV[1]) then
    return ours(1)
  end
  first = first_there()
  place = place and redis.call('ZSCORE', KEYS[2], ARGV[1])
end

if open == 0 and (not first or first == ARGV[1]) and has_room(held, which, limit) then
  local granted = ours(1)
  if first then
    -- Those behind us may have room, too.
    leave(first)
    held.letter, held.count = which, held.count + 1
    let_in(held)
    pcall(tell_first, 'f')
  end
  return granted
end

local sits, stands = 5, false
if not is_owed then
  sits, stands = sit(place)
end
return busy(sits, open, stands, first and first ~= ARGV[1])
