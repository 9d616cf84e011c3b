-- The server's clock, asked once: on Redis 7.0 it moves on while a script runs.
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)

local function whole(number)
  return string.format('%.0f', number)
end
