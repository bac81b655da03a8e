//! Every two seconds a node asks the database what it hasn't heard of: chats that are ahead of their hubs, sessions
//! revoked, users changed. So everything takes effect within three seconds, whatever the channel layer does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use entity::{ChatId, Seq};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::hubs::Hubs;
use crate::chat::{ChatError, Domain};

const EVERY: Duration = Duration::from_secs(2);
/// What was changed shortly before the last sweep may have been committed after it.
const OVERLAP: TimeDelta = TimeDelta::seconds(10);
/// Hubs asked for by one query.
const HUBS_AT_ONCE: usize = 1000;
/// How often typing that nobody renews is looked for.
const TYPING_EVERY: Duration = Duration::from_secs(1);

/// Sweeps until the hubs end.
pub(super) async fn run(hubs: Arc<Hubs>, domain: Arc<Domain>, shutdown: CancellationToken) {
    let mut tick = tokio::time::interval(TYPING_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut swept = Instant::now();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = shutdown.cancelled() => return,
        }
        end_typing(&hubs);
        if swept.elapsed() < EVERY {
            continue;
        }
        swept = Instant::now();
        hubs.forget_empty();
        if let Err(error) = sweep(&hubs, &domain).await {
            warn!("the sweep could not ask the database: {error}");
        }
    }
}

fn end_typing(hubs: &Arc<Hubs>) {
    let now = Instant::now();
    for hub in hubs.all() {
        for user in hub.tired_typists(now) {
            hubs.tell_typing(&hub, user, false, None);
        }
    }
}

async fn sweep(hubs: &Arc<Hubs>, domain: &Domain) -> Result<(), ChatError> {
    domain.sessions.sweep(domain.now() - OVERLAP).await?;
    domain.users.write_seen().await?;
    let all = hubs.all();
    for some in all.chunks(HUBS_AT_ONCE) {
        let chats: Vec<ChatId> = some.iter().map(|hub| hub.chat()).collect();
        for (chat, last_seq) in domain.chats.last_seqs(&chats).await? {
            let Some(hub) = hubs.find(chat) else { continue };
            if hub
                .delivered()
                .is_some_and(|delivered: Seq| delivered < last_seq)
            {
                debug!(chat = %chat, "chat {chat}: the sweep found it ahead, at {last_seq}");
                hubs.repair(&hub);
            }
        }
        some.iter().for_each(|hub| hubs.join(hub));
    }
    Ok(())
}
