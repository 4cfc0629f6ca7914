//! What is said in Redis, and to the other processes.

use std::{collections::BTreeMap, sync::Arc};

use redis::Pipeline;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Hint, link::Link};
use crate::{Entry, EntryId, Position, Topic};

/// Positions in one piece: some 75 kB.
pub(super) const PIECE: usize = 512;
/// Messages of others beyond this are no words of ours.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Seconds after which Redis forgets a namespace in which nobody was seen: positions that old leave anyway.
const KEPT_SECONDS: u64 = 24 * 3_600;

/// Keeps positions of a namespace unless newer ones are kept.
///
/// `KEYS`: a hash from the driver's name to the time in microseconds, a blank and the position; the same drivers by place.
/// `ARGV`: seconds to keep them; then driver, time, longitude, latitude, position of each.
const KEEP: &str = r"
for i = 2, #ARGV, 5 do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  if not held or tonumber(string.match(held, '^-?%d+') or 0) < tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 4])
    redis.pcall('GEOADD', KEYS[2], ARGV[i + 2], ARGV[i + 3], ARGV[i])
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[1])
return redis.status_reply('OK')
";

/// Lets go of positions of a namespace that are still the same. `KEYS` as above; `ARGV`: driver, time of each.
const LET_GO: &str = r"
for i = 1, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  if held and string.match(held, '^-?%d+') == ARGV[i + 1] then
    redis.call('HDEL', KEYS[1], ARGV[i])
    redis.call('ZREM', KEYS[2], ARGV[i])
  end
end
return redis.status_reply('OK')
";

/// Appends to a stream what is not there yet, unless the stream ends before what is taken for its last entry.
///
/// `KEYS`: the stream. `ARGV`: the entry taken for the last one, or nothing; how many are kept; then of each entry its number,
/// how many words it has, and the words. Numbers of entries are compared as texts of digits: they may be larger than what a
/// number of this language holds.
const APPEND: &str = r"
local function less(a, b)
  if a == '' then return b ~= '' end
  local am, an = string.match(a, '^(%d+)%-(%d+)$')
  local bm, bn = string.match(b, '^(%d+)%-(%d+)$')
  if am ~= bm then
    if #am ~= #bm then return #am < #bm end
    return am < bm
  end
  if #an ~= #bn then return #an < #bn end
  return an < bn
end
if redis.call('GET', KEYS[2]) ~= ARGV[3] then
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[2], ARGV[3])
end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
last = last and last[1] or ''
if ARGV[1] ~= '' and less(last, ARGV[1]) then return {'behind', last} end
local added, i = 0, 4
while i <= #ARGV do
  local id, words = ARGV[i], tonumber(ARGV[i + 1])
  if less(last, id) then
    local command = {'XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], id}
    for j = i + 2, i + 1 + words do command[#command + 1] = ARGV[j] end
    redis.call(unpack(command))
    last, added = id, added + 1
  end
  i = i + 2 + words
end
return {'all', tostring(added)}
";

/// What one process tells the others. Fields that are not known are passed over: another version may say more.
#[derive(Serialize)]
struct Said<'a> {
    from: Uuid,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    positions: Vec<&'a Position>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    wake: Vec<&'static str>,
}

#[derive(Deserialize)]
pub(super) struct Heard {
    pub(super) from: Uuid,
    #[serde(default)]
    pub(super) positions: Vec<Position>,
    #[serde(default)]
    wake: Vec<String>,
}

impl Heard {
    /// `None` for what is no word of ours.
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        (message.len() <= MESSAGE_BYTES_MAX).then(|| serde_json::from_slice(message).ok()).flatten()
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = Topic> {
        self.wake.iter().filter_map(|name| Topic::named(name))
    }
}

/// The channel on which all is said.
pub(super) fn channel(link: &Link) -> String {
    link.key("live")
}

/// Shows the value that Redis loses when it is emptied.
pub(super) fn marker(link: &Link) -> String {
    link.key("marker")
}

/// The namespaces of which positions are kept.
pub(super) fn namespaces(link: &Link) -> String {
    link.key("namespaces")
}

/// The positions of a namespace.
pub(super) fn positions(link: &Link, namespace: &str) -> String {
    link.key(&format!("positions:{namespace}"))
}

fn places(link: &Link, namespace: &str) -> String {
    link.key(&format!("places:{namespace}"))
}

/// A position as the hash keeps it.
pub(super) fn kept(value: &[u8]) -> Option<Position> {
    let blank = value.iter().position(|byte| *byte == b' ')?;
    serde_json::from_slice(&value[blank + 1..]).ok()
}

/// A sign of life, which is also what a listener hears when nobody says anything.
pub(super) fn beat(pipeline: &mut Pipeline, link: &Link, from: Uuid) {
    publish(pipeline, link, &Said { from, positions: Vec::new(), wake: Vec::new() });
}

/// Tells the others and Redis what these hints say: of each driver the newest.
pub(super) fn tell(pipeline: &mut Pipeline, link: &Link, from: Uuid, hints: &[Hint]) {
    let mut seen = BTreeMap::<(&str, &str), &Arc<Position>>::new();
    let mut gone = BTreeMap::<&str, Vec<&Position>>::new();
    let mut wake: Vec<&'static str> = Vec::new();
    for hint in hints {
        match hint {
            Hint::Seen(position) => {
                let slot = seen.entry((&position.namespace, &position.driver)).or_insert(position);
                if slot.at < position.at {
                    *slot = position;
                }
            }
            Hint::Gone(position) => gone.entry(&position.namespace).or_default().push(position),
            Hint::Wake(topic) => wake.push(topic.name()),
        }
    }
    wake.dedup();
    let positions: Vec<&Position> = seen.into_values().map(|position| &**position).collect();
    for (namespace, gone) in gone {
        let script = pipeline.cmd("EVAL").arg(LET_GO).arg(2);
        script.arg(self::positions(link, namespace)).arg(places(link, namespace));
        for position in gone {
            script.arg(&position.driver).arg(position.at.as_microsecond());
        }
        script.ignore();
    }
    keep(pipeline, link, &positions);
    if !positions.is_empty() || !wake.is_empty() {
        publish(pipeline, link, &Said { from, positions, wake });
    }
}

/// Appends entries to a stream.
pub(super) fn append(
    pipeline: &mut Pipeline,
    link: &Link,
    (stream, epoch): (&str, &str),
    after: Option<EntryId>,
    entries: &[Entry],
    keep: usize,
) {
    let script =
        pipeline.cmd("EVAL").arg(APPEND).arg(2).arg(link.key(stream)).arg(link.key(&format!("{stream}:epoch")));
    script.arg(after.map(EntryId::text).unwrap_or_default()).arg(keep).arg(epoch);
    for entry in entries {
        script.arg(entry.id.text()).arg(entry.fields.len() * 2);
        for (name, value) in &entry.fields {
            script.arg(*name).arg(value);
        }
    }
}

/// `positions` are sorted by namespace.
fn keep(pipeline: &mut Pipeline, link: &Link, positions: &[&Position]) {
    for positions in positions.chunk_by(|a, b| a.namespace == b.namespace) {
        let namespace = &positions[0].namespace;
        pipeline.cmd("SADD").arg(namespaces(link)).arg(namespace).ignore();
        let script = pipeline.cmd("EVAL").arg(KEEP).arg(2);
        script.arg(self::positions(link, namespace)).arg(places(link, namespace)).arg(KEPT_SECONDS);
        for position in positions {
            // Numbers and texts always have a JSON form.
            let body = serde_json::to_string(position).unwrap_or_default();
            script.arg(&position.driver).arg(position.at.as_microsecond());
            script.arg(position.longitude).arg(position.latitude).arg(body);
        }
        script.ignore();
    }
}

fn publish(pipeline: &mut Pipeline, link: &Link, said: &Said<'_>) {
    let message = serde_json::to_string(said).unwrap_or_default();
    pipeline.cmd("PUBLISH").arg(channel(link)).arg(message).ignore();
}
