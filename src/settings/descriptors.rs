//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Connections;

/// For the database, logs, listeners and what else is no connection.
const RESERVED: u64 = 256;
/// Where there is no limit: more than one machine serves.
const NO_LIMIT: u64 = 10_000_000;

/// Raises the soft limit, which is 1024 on most systems for the sake of `select`, to the hard one.
/// Nothing here uses `select`.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(errno) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%errno, "the descriptor limit stays as it is: {errno}");
    }
}

impl Connections {
    /// Connections in all: as given, else what the descriptor limit leaves room for.
    pub fn connections_max(&self) -> usize {
        self.max_connections.unwrap_or_else(|| {
            let limit = getrlimit(Resource::Nofile).current.unwrap_or(NO_LIMIT);
            let room = limit.min(NO_LIMIT).saturating_sub(RESERVED).max(1);
            usize::try_from(room).unwrap_or(usize::MAX)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::Settings;

    #[test]
    fn there_is_room_for_what_is_no_connection() {
        let mut connections = Settings::defaults().connections;
        let by_default = connections.connections_max();
        assert!((1..10_000_000).contains(&by_default), "{by_default}");
        connections.max_connections = Some(7);
        assert_eq!(connections.connections_max(), 7);
    }
}
