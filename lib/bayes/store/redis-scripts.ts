/**
 * Scripts of the dictionaries in Redis: each happens at one moment. A dictionary's keys begin with one prefix, KEYS[1], whose braces
 * keep them on one server of a cluster. Below it are
 *
 * - `meta`, a hash: messages learned as `spam` and `ham`, `tokens`, and `changes`, which grows with every change;
 * - `t` and two bytes, hashes: a share of the tokens each. A token's key has six bytes; the first two tell which hash, the last five are
 *   the field. Small hashes are packed closely by Redis;
 * - `r` and a digest: what a message taught (see `record.ts`).
 *
 * A token's value has eight bytes: messages as spam and as ham (three bytes each), and a day.
 */

const PLACES = `
local P, STEP = KEYS[1], tonumber(ARGV[1])
local META = P .. 'meta'
local function place(key)
  local second = string.byte(key, 2)
  return P .. 't' .. string.sub(key, 1, 1) .. string.char(second - second % STEP), string.sub(key, 2)
end
local function read(bucket, field)
  local value = redis.call('HGET', bucket, field)
  if value then return struct.unpack('>I3I3I2', value) end
end
local function number(name) return tonumber(redis.call('HGET', META, name) or '0') end
`;

/** ARGV: step, keys. Answers totals, changes, and the two counts of each key. */
export const READ: string = `${PLACES}
local answer = { number('spam'), number('ham'), number('changes') }
local keys = ARGV[2]
for at = 1, #keys, 6 do
  local bucket, field = place(string.sub(keys, at, at + 5))
  local spam, ham = read(bucket, field)
  answer[#answer + 1] = spam or 0
  answer[#answer + 1] = ham or 0
end
return answer`;

/**
 * ARGV: step, task, kind (1 spam, 0 ham), digest, record to be kept, seconds to keep it, keys of the header, of the body, day, days
 * after which a use is written again, tokens that a hash may have. Answers the outcome, and changes.
 */
export const PERFORM: string = `${PLACES}
local task, kind, digest, record, ttl = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local header, body, day, touch, most = ARGV[7], ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local added = 0
local function distinct(...)
  local seen, list = {}, {}
  for _, keys in ipairs({...}) do
    for at = 1, #keys, 6 do
      local key = string.sub(keys, at, at + 5)
      if not seen[key] then
        seen[key] = true
        list[#list + 1] = key
      end
    end
  end
  return list
end
local function write(bucket, field, spam, ham, last)
  redis.call('HSET', bucket, field, struct.pack('>I3I3I2', spam, ham, last))
end
local function makeRoom(bucket)
  if redis.call('HLEN', bucket) < most then return end
  local all = redis.call('HGETALL', bucket)
  local oldest, rank
  for i = 1, #all, 2 do
    local spam, ham, last = struct.unpack('>I3I3I2', all[i + 1])
    local own = last * 1000000 + spam + ham
    if not rank or own < rank then oldest, rank = all[i], own end
  end
  if oldest then added = added - redis.call('HDEL', bucket, oldest) end
end
local function within(count) return math.min(${2 ** 18 - 1}, math.max(0, count)) end
local function count(keys, isSpam, by)
  for _, key in ipairs(keys) do
    local bucket, field = place(key)
    local spam, ham, last = read(bucket, field)
    if spam or by > 0 then
      if not spam then
        makeRoom(bucket)
        spam, ham, last = 0, 0, day
        added = added + 1
      end
      if isSpam then spam = within(spam + by) else ham = within(ham + by) end
      if spam + ham == 0 then added = added - redis.call('HDEL', bucket, field)
      else write(bucket, field, spam, ham, by > 0 and math.max(last, day) or last) end
    end
  end
  local total = isSpam and 'spam' or 'ham'
  redis.call('HSET', META, total, string.format('%d', math.max(0, number(total) + by)))
end
local old = redis.call('GET', P .. 'r' .. digest)
local wasSpam, isLearned = 0, false
if old then
  local flags = string.byte(old, 1)
  wasSpam, isLearned = flags % 2, flags >= 2
end
if task == 'unlearn' and not old then return { 'unknown', number('changes') } end
if isLearned and task ~= 'unlearn' and (task == 'note' or wasSpam == kind) then return { 'known', number('changes') } end
if isLearned then
  if string.sub(old, 2, 8) ~= string.sub(record, 2, 8) then return { 'other-release', number('changes') } end
  count(distinct(string.sub(old, 9), body), wasSpam == 1, -1)
end
local outcome = isLearned and 'moved' or 'learned'
if task == 'unlearn' then
  redis.call('DEL', P .. 'r' .. digest)
  outcome = isLearned and 'unlearned' or 'noted'
else
  redis.call('SET', P .. 'r' .. digest, record, 'EX', ttl)
  if task == 'learn' then count(distinct(header, body), kind == 1, 1)
  else
    outcome = 'noted'
    for _, key in ipairs(distinct(header, body)) do
      local bucket, field = place(key)
      local spam, ham, last = read(bucket, field)
      if spam and day - last >= touch then write(bucket, field, spam, ham, day) end
    end
  end
end
if added ~= 0 then redis.call('HINCRBY', META, 'tokens', string.format('%d', added)) end
return { outcome, redis.call('HINCRBY', META, 'changes', 1) }`;

/** ARGV: step, spam and ham messages, then for each token its key, spam, ham and day. Adds them as they are. */
export const IMPORT: string = `${PLACES}
local added = 0
for i = 4, #ARGV, 4 do
  local bucket, field = place(ARGV[i])
  local spam, ham, last = read(bucket, field)
  if not spam then spam, ham, last, added = 0, 0, 0, added + 1 end
  local function within(count) return math.min(${2 ** 18 - 1}, count) end
  redis.call('HSET', bucket, field, struct.pack('>I3I3I2', within(spam + tonumber(ARGV[i + 1])), within(ham + tonumber(ARGV[i + 2])),
    math.max(last, tonumber(ARGV[i + 3]))))
end
redis.call('HINCRBY', META, 'spam', ARGV[2])
redis.call('HINCRBY', META, 'ham', ARGV[3])
redis.call('HINCRBY', META, 'tokens', string.format('%d', added))
redis.call('HINCRBY', META, 'changes', 1)`;

/**
 * ARGV: step, day, first hash, hashes to look at, days for once, rare, neutral and all, tokens that a hash may have. Answers how many
 * tokens went.
 */
export const SWEEP: string = `${PLACES}
local day, first, hashes = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local once, rare, neutral, all = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local spams, hams, dropped = math.max(1, number('spam')), math.max(1, number('ham')), 0
local least = math.min(once, rare, neutral, all)
for hash = first, first + hashes - 1 do
  local bucket = P .. 't' .. struct.pack('>I2', hash * STEP)
  local fields = redis.call('HGETALL', bucket)
  for i = 1, #fields, 2 do
    local spam, ham, last = struct.unpack('>I3I3I2', fields[i + 1])
    local age, sum = day - last, spam + ham
    if age > least then
      local inSpam, inHam = spam / spams, ham / hams
      local share = inSpam / (inSpam + inHam)
      local isStale = age > all or (sum == 1 and age > once) or (sum > 1 and sum <= 3 and age > rare)
        or (sum > 3 and share > 0.3 and share < 0.7 and age > neutral)
      if isStale then dropped = dropped + redis.call('HDEL', bucket, fields[i]) end
    end
  end
end
if dropped > 0 then
  redis.call('HINCRBY', META, 'tokens', string.format('%d', -dropped))
  redis.call('HINCRBY', META, 'changes', 1)
end
return dropped`;
