-- Begins a run with the lock, unless its period has had a success. Around acquire.lua or look.lua, as
-- `plain`, with release.lua as `give_back`.
--
-- GIVEN    "period early lifetime": the length of a period, or 0; how much before its beginning a run
--          counts to it; how long the record lives
--
-- Answers {what the plain script answers, started, period, kept} when the lock is ours (kept: 0 when the
-- record's key holds something else, which is left alone),
-- {what the plain script answers} when it is not,
-- {3, milliseconds until the next period, milliseconds since the success, whose it was} when the period is
-- done; then we have neither the key nor a seat,
-- {-2} when the record's key holds something else and there are periods. Then nothing was changed.
local length, early, lifetime = string.match(GIVEN, '^(%d+) (%d+) (%d+)$')
length = tonumber(length)
local period = 0
if length > 0 then
  local at = now + early
  period = at - at % length
end
local fields, lives = kept('run', 'done', 'success_at', 'success_by')
if not fields and length > 0 then
  return {-2}
end
local is_kept = fields and 1 or 0
fields, lives = fields or {}, lives or -2

-- The key may be ours without a run: by one who passed it on. Then the run begins only now.
local started, of, holder = string.match(fields[1] or '', '^(%d+) (%d+) %S+ (.+)$')
local is_begun = holder == ARGV[1]
if length > 0 and not is_begun then
  -- Rounded down to our own periods, for others may count with other ones.
  local done = tonumber(fields[2] or -1)
  done = done - done % length
  if done >= period then
    give_back()
    return {3, done + length - now, math.max(now - (fields[3] or now), 0), fields[4] or ''}
  end
end

local answer = plain()
if answer[1] ~= 1 and answer[1] ~= 2 then
  return {answer}
end
if is_begun and answer[1] == 2 then
  return {answer, tonumber(started), tonumber(of), 1}
end
if is_kept == 1 then
  local number = answer[2] > 0 and whole(answer[2]) or '-'
  local run = table.concat({whole(now), whole(period), number, ARGV[1]}, ' ')
  local written = redis.pcall('HSET', RECORD, 'run', run)
  if type(written) == 'table' and written.err then
    give_back()
    -- Not for want of memory: giving back was a write, and after the first one Redis lets a script go on.
    -- There would be a run without the lock.
    if not string.find(written.err, 'OOM', 1, true) then
      redis.call('HSET', RECORD, 'run', run) -- fails again, and the error names this line
      redis.call('HDEL', RECORD, 'run')
    end
    return {err = written.err}
  end
  keep(lives, lifetime)
end
return {answer, now, period, is_kept}
