//! What must happen in one step in Redis: scripts, since a plain transaction cannot look before it writes.
//!
//! | Key | Type | Content |
//! |---|---|---|
//! | `xo2:owner` | string, expires | `id token name` of the server that may write |
//! | `xo2:head` | hash | `layout`, `store` (a random id), `revision` and `commit` (id) of the last change |
//! | `xo2:records:<collection>` | hash | id to record |
//!
//! Today's product has keys that begin with `xo:`; no pattern of the one takes the other's.

pub(super) const OWNER: &str = "xo2:owner";
pub(super) const HEAD: &str = "xo2:head";
pub(super) const RECORDS: &str = "xo2:records:";
/// Version of the above.
pub(super) const LAYOUT: &str = "1";

/// Takes the lease, unless somebody else has it or the store is not the one that is expected.
///
/// KEYS: owner, head, records...; ARGV: id, token, name, lease in ms, expected store (empty: any).
/// Answers: word, then what the word needs.
pub(super) const ACQUIRE: &str = r"
local owner = redis.call('GET', KEYS[1])
if owner and string.sub(owner, 1, #ARGV[1]) ~= ARGV[1] then return {'owned', owner} end
local head = redis.call('HMGET', KEYS[2], 'layout', 'store', 'revision', 'commit')
if ARGV[5] ~= '' and head[2] ~= ARGV[5] then return {'other', head[2]} end
if not head[2] then
  for index = 3, #KEYS do
    if redis.call('EXISTS', KEYS[index]) == 1 then return {'headless', KEYS[index]} end
  end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[4])
return {'held', head[1], head[2], head[3], head[4]}
";

/// Makes a new store. KEYS: owner, head; ARGV: owner's value, layout, store.
pub(super) const FOUND: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'owner' end
if redis.call('EXISTS', KEYS[2]) == 1 then return 'head' end
redis.call('HSET', KEYS[2], 'layout', ARGV[2], 'store', ARGV[3], 'revision', '0', 'commit', '')
return 'done'
";

/// Keeps the lease. An owner who is gone is not the same as another owner: somebody slept too long, and may
/// take the lease again if nothing happened meanwhile. KEYS: owner, head; ARGV: owner's value, lease in ms, store, revision.
pub(super) const RENEW: &str = r"
local owner = redis.call('GET', KEYS[1])
if not owner then return 'expired' end
if owner ~= ARGV[1] then return 'owner' end
local head = redis.call('HMGET', KEYS[2], 'store', 'revision')
if head[1] ~= ARGV[3] or head[2] ~= ARGV[4] then return 'head' end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 'done'
";

/// Gives the lease back. KEYS: owner; ARGV: owner's value.
pub(super) const RELEASE: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 'done'
";

/// Reads, and says which store that was. A transaction would do, but a Redis that is full refuses those.
/// KEYS: head, records; ARGV: id.
pub(super) const GET: &str = r"
return {redis.call('HGET', KEYS[1], 'store'), redis.call('HGET', KEYS[2], ARGV[1])}
";
pub(super) const LIST: &str = r"
return {redis.call('HGET', KEYS[1], 'store'), redis.call('HGETALL', KEYS[2])}
";

/// All changes or none: whatever can fail is looked at before the first write.
///
/// KEYS: owner, head, records...; ARGV: owner's value, store, revision, next revision, commit, lease in ms, and
/// for each change: number of its key, id, `=` or `-`, value.
pub(super) const COMMIT: &str = r"
local owner = redis.call('GET', KEYS[1])
if not owner then return 'expired' end
if owner ~= ARGV[1] then return 'owner' end
local head = redis.call('HMGET', KEYS[2], 'store', 'revision')
if head[1] ~= ARGV[2] or head[2] ~= ARGV[3] then return 'head' end
for index = 3, #KEYS do
  local kind = redis.call('TYPE', KEYS[index]).ok
  if kind ~= 'none' and kind ~= 'hash' then return 'kind ' .. KEYS[index] end
end
redis.call('HSET', KEYS[2], 'revision', ARGV[4], 'commit', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
for index = 7, #ARGV, 4 do
  local key = KEYS[tonumber(ARGV[index])]
  if ARGV[index + 2] == '=' then
    redis.call('HSET', key, ARGV[index + 1], ARGV[index + 3])
  else
    redis.call('HDEL', key, ARGV[index + 1])
  end
end
return 'done'
";
