-- Lets the lock live longer when it is ours. Never shortens what is left: a late extension
-- must not cut the lease of the next holder in the same process. Where the connection tracks, the key
-- is registered for invalidations afterwards: from then on, the holder is told when others change it.
--
-- KEYS[1]  the lock
-- ARGV[1]  our value: the token and the owner
-- ARGV[2]  the ttl in milliseconds
--
-- Answers 1 when it was ours, 0 when there is no such key, -1 when it is someone else's.
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'table' and not string.find(value.err, 'WRONGTYPE', 1, true) then
  value = redis.call('GET', KEYS[1]) -- fails again, and the error names this line
end
if value == false then
  return 0
end
if value ~= ARGV[1] then
  return -1
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  redis.call('GET', KEYS[1]) -- the connection's own write has ended the registration
end
return 1
