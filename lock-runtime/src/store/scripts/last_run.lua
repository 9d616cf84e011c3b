-- What is kept of a lock's runs.
--
-- KEYS[1]  the lock
-- KEYS[2]  the record: see with_record.lua
--
-- Answers {the lock's value or false, run, started, ended, owner, outcome, number, success_at}, or
-- {-1} when the record's key holds something else.
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'table' then
  if not string.find(value.err, 'WRONGTYPE', 1, true) then
    redis.call('GET', KEYS[1]) -- fails again, and the error names this line
  end
  value = ''
end
local names = {'run', 'started', 'ended', 'owner', 'outcome', 'number', 'success_at'}
local fields = redis.pcall('HMGET', KEYS[2], unpack(names))
if fields.err then
  if not string.find(fields.err, 'WRONGTYPE', 1, true) then
    redis.call('HMGET', KEYS[2], unpack(names)) -- fails again, and the error names this line
  end
  return {-1}
end
return {value, unpack(fields, 1, #names)}
