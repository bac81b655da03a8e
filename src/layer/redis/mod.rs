//! Channel layers on Redis, in the two forms of channels_redis 4.3: a Django project on the same Redis takes part.
//!
//! Not here: what is told to whom (`hub`). The names, bytes and commands are channels_redis' own; where this differs
//! (nobody can tell from outside) a comment says why.
//! Bounded by: `INBOX_*` for what waits in a channel, `MESSAGE_BYTES_MAX` for one message, a deadline for each command.

mod core;
mod inbox;
mod pubsub;
mod seal;
mod subscriptions;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use self::core::CoreLayer;
pub use pubsub::PubSubLayer;

use super::LayerError;
use crate::redis::{Address, LinkError};

/// How long Redis may take for what it is asked.
const DEADLINE: Duration = Duration::from_secs(2);
/// A larger message is dropped.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// What both layers need to know.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// The servers: groups are spread over them. The order counts, and is the same for all nodes.
    pub addresses: Vec<Address>,
    /// What every name on Redis begins with.
    pub prefix: String,
    /// The first one encrypts, all decrypt; without any nothing is encrypted.
    pub encryption_keys: Vec<String>,
}

impl From<LinkError> for LayerError {
    fn from(error: LinkError) -> Self {
        LayerError::Away(error.to_string())
    }
}

/// Which of so many servers a name belongs to, as channels_redis spreads them.
fn shard(name: &str, servers: usize) -> usize {
    if servers < 2 {
        return 0;
    }
    let slot = crc32fast::hash(name.as_bytes()) & 0xfff;
    (f64::from(slot) / (4096.0 / servers as f64)) as usize
}

/// Seconds since 1970, as Python's `time.time()` tells them.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

fn hex() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spread_as_channels_redis_spreads_them() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/vectors/sharding.json"))
                .expect("JSON");
        let mut seen = 0;
        for vector in vectors["vectors"].as_array().expect("vectors") {
            let name = vector["name"].as_str().expect("a name");
            for (servers, index) in vector["index_by_host_count"]
                .as_object()
                .expect("an object")
            {
                let servers = servers.parse().expect("a number");
                assert_eq!(
                    Some(shard(name, servers) as u64),
                    index.as_u64(),
                    "{name} of {servers}"
                );
                seen += 1;
            }
        }
        assert!(seen > 100);
    }
}
