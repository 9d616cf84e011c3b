-- Writes how our run ended, and gives the lock back. Around release.lua, as `plain`.
--
-- GIVEN    "started period number|- outcome lifetime" of a run that has ended, or '' where nobody has
--          had it
--
-- Answers what release.lua answers.
local function end_run()
  local fields, lives = kept('run', 'done', 'started', 'owner')
  if not fields then
    return
  end
  local run = fields[1]
  local began, holder = string.match(run or '', '^(%d+) %d+ %S+ (.+)$')
  if run and holder ~= ARGV[1] then
    return -- the next one's
  end
  -- An eviction may have taken the run away while the lock is ours. Otherwise it was written before.
  if not run and redis.pcall('GET', KEYS[1]) ~= ARGV[1] then
    return
  end
  local started, period, number, outcome, lifetime = string.match(GIVEN, '^(%d+) (%d+) (%S+) (%S+) (%d+)$')
  local owner = string.match(ARGV[1], ';(.*)$') or ''
  local is_written = not run and fields[3] == started and fields[4] == owner
  -- A run of ours that began at another time is none: its command came late.
  if started and not is_written and (not run or began == started) then
    redis.call('HSET', RECORD, 'started', started, 'ended', whole(now), 'owner', owner, 'outcome', outcome, 'number', number)
    if outcome == 'ok' then
      redis.call('HSET', RECORD, 'success_at', whole(now), 'success_by', owner)
      local of = tonumber(period)
      if of > 0 and of >= tonumber(fields[2] or 0) then
        redis.call('HSET', RECORD, 'done', period)
      end
    end
    keep(lives, lifetime)
  end
  if run then
    redis.call('HDEL', RECORD, 'run')
  end
end

-- Where periods count, the lock stays until the run's end is written, or its time is over.
if not string.find(GIVEN, '^%d+ 0 ') then
  end_run()
  return plain()
end
local is_written = pcall(end_run)
local answer = plain()
if not is_written then
  end_run() -- fails again, and the error names the line
end
return answer
