/**
 * What must be atomic in Redis: scripts in Lua, which Redis runs one at a time. They do what table.ts does.
 *
 * Under `milter:{PART}:` there are `e:KEY`, an entry (`ENDS:VALUE`; milliseconds since 1970, or nothing); `w:KEY`, a hash with
 * the amounts of a window by their times; and two sorted sets, `listed` with the keys that scan finds and `ends` with those of
 * them that expire. Time is that of the filter, so that all stores agree on it; Redis lets go of what has expired a minute later.
 */

/** How long after its end a key may go, in milliseconds: the clocks of filters may be that far apart. */
export const GRACE = 60_000;

/** Arguments of each call in {@link CALLS}. */
const CALL_ARGUMENTS = 6;

/**
 * KEYS: listed, ends, and the entry of each call. ARGV: now, the length of `milter:{PART}:e:`, then of each call its name, the
 * value or number, when it ends, its time to live for Redis, whether it is listed, and for `cas` what is expected after `=`.
 */
export const CALLS = `
local now, skip = tonumber(ARGV[1]), tonumber(ARGV[2])

local function read(key)
  local kept = redis.call('GET', key)
  if not kept then return false end
  local colon = string.find(kept, ':', 1, true)
  local ends = string.sub(kept, 1, colon - 1)
  if ends ~= '' and tonumber(ends) <= now then return false end
  return string.sub(kept, colon + 1), ends
end

local function unlist(member)
  redis.call('ZREM', KEYS[1], member)
  redis.call('ZREM', KEYS[2], member)
end

local function write(key, value, ends, ttl, listed)
  if ends == '' then redis.call('SET', key, ':' .. value)
  else redis.call('SET', key, ends .. ':' .. value, 'PX', ttl) end
  local member = string.sub(key, skip + 1)
  if listed == '' then return unlist(member) end
  redis.call('ZADD', KEYS[1], 0, member)
  if ends == '' then redis.call('ZREM', KEYS[2], member)
  else redis.call('ZADD', KEYS[2], ends, member) end
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 10)) do unlist(old) end
end

local results = {}
for i = 3, #KEYS do
  local key, at = KEYS[i], 3 + (i - 3) * ${CALL_ARGUMENTS}
  local call, value, ends, ttl, listed, expected = unpack(ARGV, at, at + ${CALL_ARGUMENTS - 1})
  local result = false
  if call == 'get' then
    result = read(key)
  elseif call == 'set' then
    write(key, value, ends, ttl, listed)
  elseif call == 'increment' then
    local before, kept = read(key)
    local sum = tonumber(value)
    if before and string.match(before, '^%-?%d+$') then sum = sum + tonumber(before) end
    result = string.format('%.0f', sum)
    if before then redis.call('SET', key, kept .. ':' .. result, 'KEEPTTL')
    else write(key, result, ends, ttl, listed) end
  elseif call == 'delete' then
    redis.call('DEL', key)
    unlist(string.sub(key, skip + 1))
  elseif call == 'cas' then
    local before = read(key)
    if (before and '=' .. before or '') == expected then
      write(key, value, ends, ttl, listed)
      result = '1'
    else
      -- What was to be done together with it is not done.
      return { false }
    end
  end
  results[#results + 1] = result
end
return results`;

/** Arguments of each window in {@link ADMIT} and {@link GIVE_BACK}. */
const WINDOW_ARGUMENTS = 6;

const READ_WINDOW = `
local function arguments(i)
  return unpack(ARGV, (i - 1) * ${WINDOW_ARGUMENTS} + 1, i * ${WINDOW_ARGUMENTS})
end

-- What was added in the future counts as window.ts says.
local function read(key, now, ended)
  local window, total, over = {}, 0, {}
  local latest = 2 * tonumber(now) - tonumber(ended)
  local all = redis.call('HGETALL', key)
  for j = 1, #all, 2 do
    if tonumber(all[j]) > tonumber(ended) and tonumber(all[j]) < latest then
      window[#window + 1] = { all[j], tonumber(all[j + 1]) }
      total = total + tonumber(all[j + 1])
    else
      over[#over + 1] = all[j]
    end
  end
  table.sort(window, function(a, b) return tonumber(a[1]) < tonumber(b[1]) end)
  return window, total, over
end

local function forget(key, over)
  for _, time in ipairs(over) do redis.call('HDEL', key, time) end
end
`;

/**
 * KEYS: windows. ARGV, of each: now, when its slice began, the time up to which nothing counts any more, what to add, the
 * most, its time to live for Redis. Returns nothing if it was added; else the number of the window, from 1, and its times
 * and amounts.
 */
export const ADMIT = `${READ_WINDOW}
for i, key in ipairs(KEYS) do
  local now, _, ended, add, most = arguments(i)
  local window, total = read(key, now, ended)
  if total + tonumber(add) > tonumber(most) then
    local result = { tostring(i) }
    for _, one in ipairs(window) do
      result[#result + 1] = one[1]
      result[#result + 1] = string.format('%.0f', one[2])
    end
    return result
  end
end
for i, key in ipairs(KEYS) do
  local now, began, ended, add, _, ttl = arguments(i)
  if add ~= '0' then
    local window, _, over = read(key, now, ended)
    forget(key, over)
    local last = window[#window]
    if last and tonumber(last[1]) >= tonumber(began) then
      if tonumber(last[1]) >= tonumber(now) then now = last[1]
      else
        redis.call('HDEL', key, last[1])
        redis.call('HINCRBY', key, now, string.format('%.0f', last[2]))
      end
    end
    redis.call('HINCRBY', key, now, add)
    redis.call('PEXPIRE', key, ttl)
  end
end
return {}`;

/** KEYS and ARGV as for {@link ADMIT}. Takes out of the newest first. */
export const GIVE_BACK = `${READ_WINDOW}
for i, key in ipairs(KEYS) do
  local now, _, ended, add = arguments(i)
  local window, _, over = read(key, now, ended)
  forget(key, over)
  local left = tonumber(add)
  for j = #window, 1, -1 do
    local time, held = unpack(window[j])
    local taken = math.min(held, left)
    left = left - taken
    if taken == held then redis.call('HDEL', key, time)
    elseif taken > 0 then redis.call('HINCRBY', key, time, string.format('-%.0f', taken)) end
  end
end
return {}`;
