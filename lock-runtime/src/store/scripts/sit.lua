-- How one that looks takes its seat: it stands in the middle of the scripts that look, behind
-- pass_on.lua. Their arguments are those of look.lua.

-- Takes a seat, or shows that who has it is still there. `place` is where that stands in the line.
-- Answers as look.lua does, and where it stands now.
local function sit(place)
  if ARGV[5] == '' then
    return 0, place
  end
  if not is_heard(ARGV[5]) then
    return 3, place
  end
  local is_new = not place
  local wanted = ARGV[9]
  if is_new then
    local last = redis.call('ZRANGE', KEYS[2], -2, -1, 'WITHSCORES')
    if not last[1] then
      -- The first of a line finds out for all: this changes nothing, but tells of rights that are missing
      -- only later. Without those of `leave`, a release would delete the key and tell nobody; without the
      -- other, so would one who has looked at a key that is free.
      leave('')
      redis.call('EXISTS', KEYS[2])
    end
    -- Who died in the middle of the line would stay there for as long as the line stands.
    for number = 1, #last, 2 do
      if not seat_of(last[number]) then
        leave(last[number])
      end
    end
    if wanted == '' then
      -- The clock keeps places growing when the line has been empty: one that was had may come back.
      wanted = whole(math.max(tonumber(last[#last] or 0) + 1, micros))
    end
    redis.call('ZADD', KEYS[2], wanted, ARGV[1])
  elseif wanted ~= '' and tonumber(wanted) < tonumber(place) then
    -- A look that came late, from before the place was known, has moved us to the end.
    redis.call('ZADD', KEYS[2], wanted, ARGV[1])
  else
    wanted = place
  end
  local fenced = ARGV[4]
  if ARGV[11] then
    fenced = fenced .. ':' .. ARGV[11]
  end
  local mine = {whole(now + ARGV[8]), ARGV[6], ARGV[7], fenced, ARGV[5]}
  redis.call('HSET', KEYS[3], ARGV[1], table.concat(mine, ' '))
  redis.call('PEXPIRE', KEYS[2], ARGV[8])
  keep_seats(ARGV[8])
  return is_new and 2 or 1, wanted
end
