//! Every two seconds a node asks the database what it hasn't heard of: chats that are ahead of their hubs, sessions
//! revoked, users changed, memberships begun. So everything takes effect within three seconds, whatever the channel layer does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use entity::ChatId;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{follow, hubs::Hubs};
use crate::{
    chat::{ChatError, Domain},
    metrics,
};

const EVERY: Duration = Duration::from_secs(2);
// Everything takes effect within 3 s: asking and acting have the third.
const _: () = assert!(EVERY.as_secs() <= 2);
/// After a loss it looks at once, but no more often than this.
const LEAST: Duration = Duration::from_millis(250);
/// What was changed shortly before the last sweep may have been committed after it.
const OVERLAP: TimeDelta = TimeDelta::seconds(10);
/// Hubs asked for by one query.
const HUBS_AT_ONCE: usize = 1000;
/// How often it is looked for typing that nobody renews, and for chats that are owed a count of who is there.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

/// Sweeps until the hubs end.
pub(super) async fn run(hubs: Arc<Hubs>, domain: Arc<Domain>, shutdown: CancellationToken) {
    let (mut sweeps, mut looks) = (every(EVERY), every(LOOKS_EVERY));
    let mut last = Instant::now();
    loop {
        tokio::select! {
            _ = sweeps.tick() => hubs.forget_empty(),
            // What is lost too soon after the last sweep is left to the next.
            () = hubs.lost.notified(), if last.elapsed() >= LEAST => {}
            _ = looks.tick() => {
                look_around(&hubs);
                continue;
            }
            () = shutdown.cancelled() => return,
        }
        sweep(&hubs, &domain).await;
        last = Instant::now();
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn look_around(hubs: &Arc<Hubs>) {
    let now = Instant::now();
    for hub in hubs.all() {
        hub.tell_presence(now);
        for user in hub.tired_typists(now) {
            hubs.tell_typing(&hub, user, false, None);
        }
    }
}

/// What can't be asked about sessions doesn't hold chats up, nor the other way round.
async fn sweep(hubs: &Hubs, domain: &Domain) {
    metrics::SWEEPS.one();
    let since = domain.now() - OVERLAP;
    let (clock, sessions, seen, chats, followers) = tokio::join!(
        domain.read_clock(),
        domain.sessions.sweep(since),
        domain.users.write_seen(),
        repair(hubs, domain),
        follow::sweep(hubs, domain, since)
    );
    if let Err(error) = clock.and(sessions).and(seen).and(chats).and(followers) {
        metrics::SWEEPS_FAILED.one();
        warn!("the sweep could not ask the database: {error}");
    }
}

/// Repairs the hubs whose chats are ahead of them.
async fn repair(hubs: &Hubs, domain: &Domain) -> Result<(), ChatError> {
    let all = hubs.all();
    all.iter().for_each(|hub| hubs.join(hub));
    for some in all.chunks(HUBS_AT_ONCE) {
        let chats: Vec<ChatId> = some.iter().map(|hub| hub.chat()).collect();
        for (chat, last_seq) in domain.chats.last_seqs(&chats).await? {
            let Some(hub) = hubs.find(chat) else { continue };
            if hub
                .delivered()
                .is_some_and(|delivered| delivered < last_seq)
            {
                debug!(chat = %chat, "chat {chat}: the sweep found it ahead, at {last_seq}");
                hubs.repair(&hub);
            }
        }
    }
    Ok(())
}
