-- The rest of look.lua, where the key is not free, or a line stands, or a number is wanted.

local function answer_busy(left, value, seat, open)
  local rank = redis.call('ZRANK', KEYS[2], ARGV[1])
  local place = redis.call('ZSCORE', KEYS[2], ARGV[1])
  return {
    0, left, string.sub(value, 1, 428), seat, rank or -1, redis.call('ZCARD', KEYS[2]),
    tonumber(place or 0), open
  }
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

if value == ARGV[1] then
  -- Never shortened: this may come late, when the holder has been told of more.
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
  end
  return ours(2)
end

local line, seats = redis.pcall('TYPE', KEYS[2]).ok, redis.pcall('TYPE', KEYS[3]).ok
local is_line = (line == 'none' or line == 'zset') and (seats == 'none' or seats == 'hash')
if not is_line then
  if not value and redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
    return ours(1)
  end
  return {0, redis.call('PTTL', KEYS[1]), string.sub(value, 1, 428), 3, -1, 0, 0, 0}
end

local open = 0
if not value then
  local first, seat
  if line == 'zset' then
    first, seat = first_there()
  end
  if first then
    open = math.max((tonumber(redis.call('HGET', KEYS[3], '#open') or 0)) - now, 0)
  end
  if not first or (first == ARGV[1] and open == 0) then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    if first then
      leave(first)
      tell_first('f')
    end
    return ours(1)
  end
  if open == 0 then
    if not pcall(pass_on, first, seat) then
      redis.call('DEL', KEYS[1])
      return {0, 0, '', 3, -1, 0, 0, 0}
    end
    value = first
    pcall(tell_first, 'f')
  end
end

local seat = 0
if ARGV[5] ~= '' and not is_heard(ARGV[5]) then
  seat = 2
elseif ARGV[5] ~= '' then
  seat = 1
  if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then
    -- Who died in the middle of the line would stay there for as long as the line stands.
    for _, before in ipairs(redis.call('ZRANGE', KEYS[2], -2, -1)) do
      if not seat_of(before) then
        leave(before)
      end
    end
    local place = ARGV[9]
    if place == '' then
      local end_of_line = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2] or 0
      place = whole(tonumber(end_of_line) + 1)
    end
    redis.call('ZADD', KEYS[2], place, ARGV[1])
  end
  local mine = {whole(now + ARGV[8]), ARGV[6], ARGV[7], ARGV[4], ARGV[5]}
  redis.call('HSET', KEYS[3], ARGV[1], table.concat(mine, ' '))
  redis.call('PEXPIRE', KEYS[2], ARGV[8])
  redis.call('PEXPIRE', KEYS[3], ARGV[8])
end
local left = redis.call('PTTL', KEYS[1])
if open > 0 then
  left = open
end
return answer_busy(left, value or '', seat, open)
