-- The record of a lock's runs, around another script: record_begin.lua around one that acquires,
-- record_end.lua around release.lua. The last key and the last argument are the record's; the script
-- inside does not see them.
--
-- The record is a hash with an expiry of its own. All times are the server's, in milliseconds since 1970.
--   run         the run under way: "started period number|- value"; nobody writes over another's but
--               by acquiring the lock
--   started, ended, owner, outcome, number   the last run that ended
--   success_at, success_by                   when the last success ended, and whose it was
--   done        the beginning of the latest period that has had a success
local RECORD, GIVEN = KEYS[#KEYS], ARGV[#ARGV]
local KEYS, ARGV = {unpack(KEYS, 1, #KEYS - 1)}, {unpack(ARGV, 1, #ARGV - 1)}

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function whole(number)
  return string.format('%.0f', number)
end

-- These fields of the record, and how long it lives; nothing where its key holds something else.
local function kept(...)
  local lives = redis.call('PTTL', RECORD)
  local fields = redis.pcall('HMGET', RECORD, ...)
  if fields.err and not string.find(fields.err, 'WRONGTYPE', 1, true) then
    redis.call('HMGET', RECORD, ...) -- fails again, and the error names this line
  end
  if not fields.err and lives ~= -1 then
    return fields, lives
  end
end

-- Never shortened: another may have asked for more.
local function keep(lives, lifetime)
  if lives < tonumber(lifetime) then
    redis.call('PEXPIRE', RECORD, lifetime)
  end
end
