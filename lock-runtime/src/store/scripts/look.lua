-- Takes the lock when it is free and nobody who is there came before; else takes a seat in the line,
-- or shows that who has it is still there, and says how it stands.
--
-- KEYS     the lock, and those of pass_on.lua
-- ARGV[1]  our value: the token and the owner
-- ARGV[2]  the ttl in milliseconds
-- ARGV[3]  how long the counter lives, in milliseconds
-- ARGV[4]  1 when a fencing number is wanted, else 0
-- ARGV[5]  our bell, or '' to take no seat
-- ARGV[6]  the stamp of this look
-- ARGV[7]  for how long the key is to be passed on to us, in milliseconds
-- ARGV[8]  how long a seat lasts, in milliseconds
-- ARGV[9]  the place in the line that we have had, or ''
-- ARGV[10] 1 when we only come if nobody else waits, else 0
--
-- Answers {1, number} when the lock is ours now (number: 0 where none is wanted),
-- {2, number} when it was ours before, by an earlier look or since it was passed on to us,
-- {0, milliseconds left or -1, the holder's value, seat, rank, waiting, place, open} when it is busy:
--   seat 0: none was asked for, 1: we have one, 2: we have one anew, 3: our bell is not heard,
--        4: there is no line here, 5: somebody waits, so we do not, 6: we have given up before;
--   the holder's value: where several have places, what shown_holders of holders.lua says;
--   waiting: how many others wait;
--   open: for how many milliseconds the key is left to those who are in no line, or 0,
-- {-1} when the counter's key holds something else. Then nothing was changed.

-- What the key holds: false for nothing, '' for what is no string.
local value = redis.pcall('GET', KEYS[1])
local is_no_string = type(value) == 'table'
if is_no_string then
  if not string.find(value.err, 'WRONGTYPE', 1, true) then
    redis.call('GET', KEYS[1]) -- fails again, and the error names this line
  end
  value = ''
end
-- The short way, in front of all that the line needs.
if not value and ARGV[4] == '0' and redis.call('EXISTS', KEYS[2], KEYS[3]) == 0 then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return {1, 0}
end
