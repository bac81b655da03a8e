//! What must be one step in Redis. Times are microseconds of Redis' clock; numbers up to 2^53 are exact in Lua.

use redis::{Cmd, Pipeline, cmd};
use sha1::{Digest, Sha1};

/// A script and the name by which Redis keeps it.
#[derive(Debug)]
pub(super) struct Script {
    text: String,
    hash: String,
}

impl Script {
    fn new(body: &str) -> Self {
        let text = format!("{CLOCK}{body}");
        let digest = Sha1::digest(&text);
        let hash = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Script { text, hash }
    }

    pub(super) fn call(&self, keys: &[String], arguments: &[String]) -> Cmd {
        let mut call = cmd("EVALSHA");
        call.arg(&self.hash)
            .arg(keys.len())
            .arg(keys)
            .arg(arguments);
        call
    }
}

/// The scripts, hashed once.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) take: Script,
    pub(super) look: Script,
    pub(super) recall: Script,
    pub(super) claim: Script,
    pub(super) renew: Script,
    pub(super) beat: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Scripts {
            take: Script::new(TAKE),
            look: Script::new(LOOK),
            recall: Script::new(RECALL),
            claim: Script::new(CLAIM),
            renew: Script::new(RENEW),
            beat: Script::new(BEAT),
        }
    }
}

impl Scripts {
    /// Hands all of them to Redis.
    pub(super) fn load(&self) -> Pipeline {
        let all = [
            &self.take,
            &self.look,
            &self.recall,
            &self.claim,
            &self.renew,
            &self.beat,
        ];
        let mut loading = Pipeline::with_capacity(all.len());
        for script in all {
            loading.cmd("SCRIPT").arg("LOAD").arg(&script.text).ignore();
        }
        loading
    }
}

const CLOCK: &str = "
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
";

/// Windows are sorted sets of places by their time. KEYS: windows; ARGV: limit, period, then of each place the number of
/// its window and its name.
const TAKE: &str = "
local limit, period = tonumber(ARGV[1]), tonumber(ARGV[2])
local waits = {}
for at = 3, #ARGV, 2 do
  local window = KEYS[tonumber(ARGV[at])]
  redis.call('ZREMRANGEBYSCORE', window, '-inf', now - period)
  local count = redis.call('ZCARD', window)
  if count < limit then
    redis.call('ZADD', window, now, ARGV[at + 1])
    redis.call('PEXPIRE', window, math.ceil(period / 1000))
    waits[#waits + 1] = 0
  else
    local oldest = redis.call('ZRANGE', window, count - limit, count - limit, 'WITHSCORES')
    waits[#waits + 1] = math.max(1, period - (now - tonumber(oldest[2])))
  end
end
return waits
";

/// KEYS: windows; ARGV: limit, period.
const LOOK: &str = "
local limit, period = tonumber(ARGV[1]), tonumber(ARGV[2])
local waits = {}
for at = 1, #KEYS do
  local from = '(' .. string.format('%.0f', now - period)
  local count = redis.call('ZCOUNT', KEYS[at], from, '+inf')
  if count < limit then
    waits[at] = 0
  else
    local oldest = redis.call('ZRANGEBYSCORE', KEYS[at], from, '+inf', 'WITHSCORES', 'LIMIT', count - limit, 1)
    waits[at] = math.max(1, period - (now - tonumber(oldest[2])))
  end
end
return waits
";

/// KEYS: windows; ARGV: period, then of each place the number of its window, its name and how long ago it was taken.
const RECALL: &str = "
local period = tonumber(ARGV[1])
local put = {}
for at = 2, #ARGV, 3 do
  local window = KEYS[tonumber(ARGV[at])]
  put[#put + 1] = redis.call('ZADD', window, 'NX', now - tonumber(ARGV[at + 2]), ARGV[at + 1])
  redis.call('PEXPIRE', window, math.ceil(period / 1000))
end
return put
";

/// A place that only one may have. `number` never falls, also where Redis lost its memory: it is the time, or one more than
/// the one before. KEYS: the place; ARGV: whoever has it stays, the number of one who doesn't answer, expiry, replacements of
/// a duel, its span, how long whoever has it stays then, the claiming node's name, a number that it is to be above.
const CLAIM: &str = "
local held = redis.call('HMGET', KEYS[1], 'number', 'until', 'stays', 'replaced')
local number = tonumber(held[1] or 0)
local was_taken = held[1] ~= ARGV[2] and tonumber(held[2] or 0) > now
if was_taken then
  if ARGV[1] == '1' or tonumber(held[3] or 0) > now then return {0, 0} end
  local replaced = {}
  for at in string.gmatch(held[4] or '', '%d+') do
    if now - tonumber(at) < tonumber(ARGV[5]) then replaced[#replaced + 1] = at end
  end
  replaced[#replaced + 1] = string.format('%.0f', now)
  local stays = 0
  if #replaced >= tonumber(ARGV[4]) then
    stays = now + tonumber(ARGV[6])
    replaced = {}
  end
  redis.call('HSET', KEYS[1], 'stays', string.format('%.0f', stays), 'replaced', table.concat(replaced, ' '))
end
number = math.max(math.max(number, tonumber(ARGV[8])) + 1, now)
redis.call('HSET', KEYS[1], 'number', string.format('%.0f', number), 'by', ARGV[7], 'until', string.format('%.0f', now + tonumber(ARGV[3])))
redis.call('PEXPIRE', KEYS[1], math.ceil((tonumber(ARGV[3]) + tonumber(ARGV[5])) / 1000))
return {number, was_taken and 1 or 0}
";

/// For each place the number by which the node owns it now; -1 where it doesn't. KEYS: places; ARGV: expiry, how long a
/// place is remembered, the node's name, then the number by which it knows each.
const RENEW: &str = "
local till = string.format('%.0f', now + tonumber(ARGV[1]))
local renewed = {}
for at = 1, #KEYS do
  local mine = tonumber(ARGV[at + 3])
  local held = redis.call('HMGET', KEYS[at], 'number', 'by', 'until')
  local known, is_ours = tonumber(held[1] or 0), held[2] == ARGV[3]
  local number = known
  if known <= mine then
    number = mine
  elseif not held[3] then
    number = math.max(known + 1, now)
  elseif not is_ours then
    number = -1
  end
  if number == known and is_ours then
    redis.call('HSET', KEYS[at], 'until', till)
  elseif number >= 0 then
    redis.call('HSET', KEYS[at], 'number', string.format('%.0f', number), 'by', ARGV[3], 'until', till)
  end
  if number >= 0 then redis.call('PEXPIRE', KEYS[at], ARGV[2]) end
  renewed[at] = number
end
return renewed
";

/// KEYS: the place; ARGV: the number, or nothing, and the node's name. Needs no clock, and is sent as it is, where nobody
/// waits for the answer.
pub(super) const DISOWN: &str = "
local held = redis.call('HMGET', KEYS[1], 'number', 'by')
if held[1] == ARGV[1] or (ARGV[1] == '' and held[2] == ARGV[2]) then redis.call('HDEL', KEYS[1], 'until') end
return 0
";

/// The time, and the nodes that live, none where this one isn't known. KEYS: the nodes by their last word; ARGV: this
/// one's name, how long a silent node counts, the same in milliseconds, whether it is new.
const BEAT: &str = "
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
if ARGV[4] == '0' and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return {now, {}} end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {now, redis.call('ZRANGE', KEYS[1], 0, -1)}
";
