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
const IGNORED_MICROS: i64 = 5_000;

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
        let (began, since) = (Utc::now(), Instant::now());
        let asked = statement(self.read(), &CLOCK, []);
        let row = self.read().query_one_raw(asked).await?;
        let trip = since.elapsed();
        let theirs: Option<Time> = row.map(|row| row.try_get("", "now")).transpose()?;
        let Some(theirs) = theirs.filter(|_| trip < TRIP_MAX) else {
            return Ok(());
        };
        let micros = |difference: TimeDelta| difference.num_microseconds().unwrap_or_default();
        let trip = micros(TimeDelta::from_std(trip).unwrap_or_default());
        let ahead = AHEAD_MICROS.load(Relaxed);
        AHEAD_MICROS.store(moved(ahead, micros(theirs - began), trip), Relaxed);
        Ok(())
    }
}

/// By how much the database is ahead, where it was thought to be `ahead` and told a time that is `told` after the
/// question and thus between `told - trip` and `told` ahead. What agrees with that stays: a slow answer must not turn the
/// clock back, as what was just signed would be of the future.
fn moved(ahead: i64, told: i64, trip: i64) -> i64 {
    let agrees = told - trip - IGNORED_MICROS..=told + IGNORED_MICROS;
    if agrees.contains(&ahead) {
        ahead
    } else {
        told - trip / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_moves_the_clock_only_where_it_disagrees() {
        let second = 1_000_000;
        for (ahead, told, trip, expected) in [
            (0, 100, 200, 0),
            // Answered early, and late, in half a second.
            (0, 1_000, second / 2, 0),
            (0, second / 2 - 1_000, second / 2, 0),
            (0, 3 * second, 2_000, 3 * second - 1_000),
            (3 * second, 3 * second + 100_000, 200_000, 3 * second),
            (3 * second, -second, 2_000, -second - 1_000),
        ] {
            assert_eq!(moved(ahead, told, trip), expected, "{ahead} {told} {trip}");
        }
    }
}
