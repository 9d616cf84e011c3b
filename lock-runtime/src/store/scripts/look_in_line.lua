-- The rest of look.lua, where the key is not free, or a line stands, or a number is wanted.

local function busy(left, value, seat, open, place)
  local rank, waiting = false, 0
  if seat ~= 4 then
    rank = redis.call('ZRANK', KEYS[2], ARGV[1])
    waiting = redis.call('ZCARD', KEYS[2]) - (rank and 1 or 0)
  end
  -- Of a value in our form, the token and the hundred characters that are shown of the owner.
  local shown = string.sub(value or '', 1, 428)
  if is_no_string then
    shown = shown_holders(KEYS[1])
  end
  return {0, left, shown, seat, rank or -1, waiting, tonumber(place or 0), open}
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

local is_line, may_write = line_types()
if may_write and is_settled(ARGV[1]) then
  return busy(-1, value, 6, 0)
end

if value == ARGV[1] and not is_no_string then
  -- Never shortened: this may come late, when the holder has been told of more.
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
  end
  return ours(2)
end

if not may_write then
  if not value and redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
    return ours(1)
  end
  return busy(redis.call('PTTL', KEYS[1]), value, 4, 0)
end

local first
if is_line then
  first = first_there()
end
local place = first and redis.call('ZSCORE', KEYS[2], ARGV[1])
-- Somebody waits who has not begun, so that what we came for will be done.
local is_owed = ARGV[10] == '1' and first and not place

local open = 0
if not value then
  if first then
    open = math.max(tonumber(redis.call('HGET', KEYS[3], '#open') or 0) - now, 0)
  end
  if not first or (first == ARGV[1] and open == 0) then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    if first then
      leave(first)
      pcall(tell_first, 'f')
    end
    return ours(1)
  end
  if open == 0 then
    if let_in({count = 0}) == 0 then
      redis.call('DEL', KEYS[1])
      return busy(0, '', 4, 0)
    end
    -- Several may have it now.
    value, is_no_string = first, letter(first) ~= nil
    pcall(tell_first, 'f')
    -- We may have been among those whom that found gone.
    place = place and redis.call('ZSCORE', KEYS[2], ARGV[1])
  end
end

local sits, stands = 5, false
if not is_owed then
  sits, stands = sit(place)
end
return busy(open > 0 and open or redis.call('PTTL', KEYS[1]), value, sits, open, stands)
