//! Telling the other nodes who has a socket open at this one.
//!
//! Bounded by: a mark for each user whose first or last connection came or went since the last telling.

use std::{collections::HashSet, sync::Arc, time::Duration};

use entity::UserId;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Registry;
use crate::lease::{Away, Lease};

/// How often it is said that what was told still holds: well within the time after which it is forgotten.
const RENEWED_EVERY: Duration = Duration::from_secs(4);
/// What changes within so long is told together.
const GATHERED: Duration = Duration::from_millis(50);
/// Users told of at once.
const AT_ONCE: usize = 1000;

/// Who has come or gone and isn't told of yet.
pub(super) struct Online {
    lease: Arc<dyn Lease>,
    marks: Mutex<HashSet<UserId>>,
    woken: Notify,
}

impl std::fmt::Debug for Online {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Online")
    }
}

impl Online {
    /// Whether somebody is connected may have changed. Called under the registry's locks: asks nothing.
    pub(super) fn mark(&self, user: UserId) {
        if !self.lease.is_shared() {
            return;
        }
        let mut marks = self.marks.lock();
        marks.insert(user);
        if marks.len() == 1 {
            self.woken.notify_one();
        }
    }

    async fn tell(&self, users: Vec<UserId>, registry: &Registry) -> Result<(), Away> {
        for some in users.chunks(AT_ONCE) {
            let now = some
                .iter()
                .map(|user| (*user, registry.count_of(*user) > 0));
            self.lease.put_online(&now.collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    async fn renew(&self, registry: &Registry) -> Result<(), Away> {
        if self.lease.is_shared() && !self.lease.renew_online().await? {
            self.tell(registry.users(), registry).await?;
        }
        Ok(())
    }
}

impl Registry {
    /// Tells the other nodes who is online here, until `stop`; then nobody is.
    pub async fn keep_online(self: Arc<Self>, lease: Arc<dyn Lease>, stop: CancellationToken) {
        let online = Arc::new(Online {
            lease,
            marks: Mutex::default(),
            woken: Notify::new(),
        });
        self.tells_online(&online);
        let mut renewals = tokio::time::interval(RENEWED_EVERY);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let told = tokio::select! {
                () = online.woken.notified() => {
                    tokio::time::sleep(GATHERED).await;
                    let marks = std::mem::take(&mut *online.marks.lock());
                    online.tell(marks.into_iter().collect(), &self).await
                }
                _ = renewals.tick() => online.renew(&self).await,
                () = stop.cancelled() => break,
            };
            if let Err(error) = told {
                debug!("who is online here is not told, all is once it can be: {error}");
            }
        }
        let marks = std::mem::take(&mut *online.marks.lock());
        if let Err(error) = online.tell(marks.into_iter().collect(), &self).await {
            debug!("who was online here is found silent: {error}");
        }
    }
}
