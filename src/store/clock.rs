//! The database's clock. Nodes sweep by what was written with it, so all of them must read the same one.
//!
//! SQLite lives on this machine: there it is this process's. A server's is this process's too, moved by what the two
//! differed when the server was last asked, which is often: a query for each moment would cost a round trip.

use std::{
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use chrono::{SubsecRound, TimeDelta, Utc};
use entity::Time;
use sea_orm::{ConnectionTrait, DbBackend};

use super::{
    Store, Stored,
    sql::{Sql, statement},
};

/// By how much the database is ahead of this process, which has one.
static AHEAD_MICROS: AtomicI64 = AtomicI64::new(0);
/// An answer that took longer says little.
const TRIP_MAX: Duration = Duration::from_secs(1);
/// Differences below are the trip's own.
const IGNORED_MICROS: u64 = 5_000;

static CLOCK: Sql = Sql::new(|database| match database {
    DbBackend::Postgres => "SELECT clock_timestamp() AS now".to_owned(),
    DbBackend::MySql => "SELECT utc_timestamp(6) AS now".to_owned(),
    _ => "SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00') AS now".to_owned(),
});

/// The database's clock, cut to what columns hold.
pub fn database_time() -> Time {
    let ahead = TimeDelta::microseconds(AHEAD_MICROS.load(Relaxed));
    (Utc::now() + ahead).trunc_subsecs(6)
}

impl Store {
    /// Asks a server what time it is.
    pub async fn read_clock(&self) -> Stored<()> {
        if self.database() == DbBackend::Sqlite {
            return Ok(());
        }
        let began = Instant::now();
        let asked = statement(self.read(), &CLOCK, []);
        let row = self.read().query_one_raw(asked).await?;
        let trip = began.elapsed();
        let theirs: Option<Time> = row.map(|row| row.try_get("", "now")).transpose()?;
        let Some(theirs) = theirs.filter(|_| trip < TRIP_MAX) else {
            return Ok(());
        };
        let then = Utc::now() - trip / 2;
        let ahead = (theirs - then).num_microseconds().unwrap_or_default();
        if ahead.abs_diff(AHEAD_MICROS.load(Relaxed)) > IGNORED_MICROS {
            AHEAD_MICROS.store(ahead, Relaxed);
        }
        Ok(())
    }
}
