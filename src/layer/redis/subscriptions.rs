//! What one connection to Redis is subscribed to: it is told what is wanted, and brings that about in batches, anew
//! after each reconnection.
//!
//! Bounded by: the names that are wanted, and those that are subscribed to and aren't wanted any more; what else was
//! touched since they were last looked at is forgotten then.

use std::{collections::HashSet, iter::chain, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use tracing::debug;

use super::DEADLINE;
use crate::redis::Link;

/// Names in one command.
const AT_ONCE: usize = 1000;
/// When a subscription that could not be made is tried again.
const RETRY: Duration = Duration::from_millis(200);

#[derive(Default)]
pub(super) struct Subscriptions {
    wanted: Mutex<Wanted>,
    changed: Notify,
    /// The last change that has been brought about.
    applied: watch::Sender<u64>,
}

#[derive(Default)]
struct Wanted {
    names: HashSet<String>,
    /// Names that were wanted or forgotten since they were last looked at, or whose turn didn't come then.
    touched: HashSet<String>,
    changes: u64,
}

impl Subscriptions {
    /// Wants to hear a name. What comes back is for `applied`.
    pub(super) fn want(&self, name: &str) -> u64 {
        let mut wanted = self.wanted.lock();
        if wanted.names.insert(name.to_owned()) {
            wanted.touch(name);
            self.changed.notify_one();
        }
        wanted.changes
    }

    pub(super) fn forget(&self, name: &str) {
        let mut wanted = self.wanted.lock();
        if wanted.names.remove(name) {
            wanted.touch(name);
            self.changed.notify_one();
        }
    }

    /// Waits until a change has been brought about; whether it was, in time.
    pub(super) async fn applied(&self, change: u64) -> bool {
        let mut applied = self.applied.subscribe();
        let done = timeout(DEADLINE, applied.wait_for(|applied| *applied >= change)).await;
        matches!(done, Ok(Ok(_)))
    }

    /// Brings about what is wanted, for ever. After a reconnection `back` is called once all is as it was.
    pub(super) async fn keep(&self, link: &Link, mut made: watch::Receiver<u64>, back: impl Fn()) {
        let mut subscribed = HashSet::new();
        let mut connections = *made.borrow_and_update();
        let mut is_back = false;
        loop {
            let now = *made.borrow_and_update();
            if std::mem::replace(&mut connections, now) != now {
                subscribed.clear();
                self.wanted.lock().touch_all();
                is_back = true;
            }
            let is_whole = self.apply(link, &mut subscribed).await;
            if is_whole && link.is_up() && std::mem::take(&mut is_back) {
                back();
            }
            tokio::select! {
                () = self.changed.notified() => {}
                _ = made.changed() => {}
                () = tokio::time::sleep(RETRY), if !is_whole => {}
            }
        }
    }

    /// Whether nothing is left to do. `subscribed` are the names that Redis may send: one is in there from when it is
    /// asked for until Redis says that it ended.
    async fn apply(&self, link: &Link, subscribed: &mut HashSet<String>) -> bool {
        let (changes, add, remove) = {
            let mut wanted = self.wanted.lock();
            let (add, remove) = wanted.look(subscribed);
            (wanted.changes, add, remove)
        };
        let Some(mut connection) = link.connection() else {
            self.wanted.lock().touched.extend(chain(add, remove));
            return false;
        };
        let mut failed = None;
        for names in remove.chunks(AT_ONCE) {
            match timeout(DEADLINE, connection.unsubscribe(names)).await {
                Ok(Ok(())) => names.iter().for_each(|name| {
                    subscribed.remove(name);
                }),
                Ok(Err(error)) => failed = Some(link.failed(&error).to_string()),
                Err(_) => failed = Some("late".to_owned()),
            }
        }
        for names in add.chunks(AT_ONCE) {
            subscribed.extend(names.iter().cloned());
            match timeout(DEADLINE, connection.subscribe(names)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failed = Some(link.failed(&error).to_string()),
                Err(_) => failed = Some("late".to_owned()),
            }
        }
        if let Some(error) = failed {
            debug!("the channel layer's subscriptions are tried again: {error}");
            self.wanted.lock().touched.extend(chain(add, remove));
            return false;
        }
        self.applied.send_replace(changes);
        true
    }
}

impl Wanted {
    fn touch(&mut self, name: &str) {
        self.touched.insert(name.to_owned());
        self.changes += 1;
    }

    /// What is to be subscribed to, and what not any more, of the names that were touched.
    fn look(&mut self, subscribed: &HashSet<String>) -> (Vec<String>, Vec<String>) {
        let (mut add, mut remove) = (Vec::new(), Vec::new());
        for name in std::mem::take(&mut self.touched) {
            match (self.names.contains(&name), subscribed.contains(&name)) {
                // Also where it is subscribed to: an UNSUBSCRIBE that was late may still be done, before this SUBSCRIBE
                // as both go by one connection. To Redis a second one is nothing.
                (true, _) => add.push(name),
                (false, true) => remove.push(name),
                (false, false) => {}
            }
        }
        (add, remove)
    }

    fn touch_all(&mut self) {
        self.touched = self.names.iter().cloned().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_that_is_opened_again_while_its_unsubscribe_is_late_is_subscribed_to_again() {
        let subscriptions = Subscriptions::default();
        let subscribed = HashSet::from(["trip".to_owned()]);
        let look = || subscriptions.wanted.lock().look(&subscribed);
        let trip = || vec!["trip".to_owned()];
        subscriptions.want("trip");
        subscriptions.forget("trip");
        assert_eq!(look(), (vec![], trip()));
        // No answer came, which may mean anything: `apply` tries it again, and finds it wanted by then.
        subscriptions.want("trip");
        subscriptions.wanted.lock().touched.extend(trip());
        assert_eq!(look(), (trip(), vec![]));
        assert_eq!(look(), (vec![], vec![]), "once");
    }

    #[tokio::test]
    async fn chats_that_come_and_go_while_redis_is_away_leave_nothing_behind() {
        // Nobody listens there.
        let link = Link::open("redis://127.0.0.1:1".parse().unwrap(), None).await;
        let subscriptions = Subscriptions::default();
        let mut subscribed = HashSet::from(["left".to_owned()]);
        subscriptions.want("left");
        subscriptions.forget("left");
        subscriptions.want("stays");
        for round in 0..3 {
            for chat in 0..1000 {
                let name = format!("chat {round} {chat}");
                subscriptions.want(&name);
                subscriptions.forget(&name);
            }
            assert!(!subscriptions.apply(&link, &mut subscribed).await);
            let touched = subscriptions.wanted.lock().touched.clone();
            assert_eq!(touched, HashSet::from(["left", "stays"].map(str::to_owned)));
        }
    }
}
