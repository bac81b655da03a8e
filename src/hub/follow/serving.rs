//! The task that keeps the followers' seats: it shows them the chats that they enter, gives up those that ended, and
//! tells how much is unread.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use entity::{ChatId, Seq, Time};
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    PAGE, PAGES_MAX, Settling,
    followers::{Follower, Report},
};
use crate::{
    chat::{Actor, ChatError, ConnectionId, Domain},
    hub::{SharedFrame, hub::Hub, hubs::Hubs, unread::Unread},
};

/// Reports that are served at once.
const REPORTS_AT_ONCE: usize = 1024;
/// Places that are asked for by one query.
const PLACES_AT_ONCE: usize = 1000;
/// How much is unread in a chat is told no more often; what couldn't be shown is tried again as often.
const TOLD_EVERY: Duration = Duration::from_secs(1);

type Place = (ConnectionId, ChatId);

/// What is to be done.
struct Desk {
    hubs: Arc<Hubs>,
    domain: Arc<Domain>,
    /// Chats to be shown.
    entering: HashSet<Place>,
    /// Chats whose count of what is unread has changed.
    unread: HashSet<Place>,
}

/// Serves the followers until the hubs end.
pub(in crate::hub) async fn run(hubs: Arc<Hubs>, domain: Arc<Domain>, shutdown: CancellationToken) {
    let Some(mut reported) = hubs.followers.reported.lock().take() else {
        return;
    };
    let mut desk = Desk {
        hubs,
        domain,
        entering: HashSet::new(),
        unread: HashSet::new(),
    };
    let mut ticks = tokio::time::interval(TOLD_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            is_served = desk.hear(&mut reported) => {
                if !is_served {
                    return;
                }
                desk.show().await;
            }
            _ = ticks.tick() => {
                desk.show().await;
                desk.tell_unread().await;
            }
            () = shutdown.cancelled() => return,
        }
    }
}

/// Reports the memberships begun since a moment, and the support chats in which something was said; support chats are
/// taken from those who are no staff any more.
pub(in crate::hub) async fn sweep(
    hubs: &Hubs,
    domain: &Domain,
    since: Time,
) -> Result<(), ChatError> {
    let followers = &hubs.followers;
    if followers.is_empty() {
        *followers.swept_from.lock() = None;
        return Ok(());
    }
    let missed = *followers.swept_from.lock();
    let asked = missed.map_or(since, |missed| since.min(missed));
    for users in followers.users().chunks(PLACES_AT_ONCE) {
        for (chat, user) in domain.chats.memberships_since(users, asked).await? {
            followers.report(Report::Entered(user, chat));
        }
    }
    for connection in followers.overseen() {
        let Some(follower) = followers.find(connection) else {
            continue;
        };
        // The person, since the sign-in may be another by now; of whom there is none any more the connection ends.
        let is_staff = domain.sessions.is_staff(follower.follow.actor.id()).await;
        if is_staff.is_ok_and(|is_staff| !is_staff) {
            followers.forget_operator(connection);
            let mut farewells = Vec::new();
            for (chat, seated) in follower.operated() {
                follower.reports.waiting.forget(chat);
                follower.forget(chat);
                farewells.extend(seated.farewell());
            }
            follower.follow.queue.push_all(&mut farewells);
        }
    }
    if !followers.operators().is_empty() {
        for chat in domain.chats.open_support_chats(asked).await? {
            followers.report(Report::Support(chat));
        }
    }
    *followers.swept_from.lock() = Some(since);
    Ok(())
}

impl Desk {
    /// Waits for reports, and takes those that wait behind the first too. False where none will come.
    async fn hear(&mut self, reported: &mut mpsc::UnboundedReceiver<Report>) -> bool {
        let mut reports = Vec::new();
        if reported.recv_many(&mut reports, REPORTS_AT_ONCE).await == 0 {
            return false;
        }
        let hubs = self.hubs.clone();
        let followers = &hubs.followers;
        for report in reports {
            match report {
                Report::Ended(connection, chat) => {
                    if let Some(follower) = followers.find(connection) {
                        follower.forget_ended(chat);
                    }
                }
                Report::Stirred(connection, chat) => {
                    self.entering.insert((connection, chat));
                }
                Report::Unread(connection, chat) => {
                    self.unread.insert((connection, chat));
                }
                Report::Entered(user, chat) => {
                    let connections = followers.of_user(user);
                    self.enters(connections, chat);
                }
                Report::Support(chat) => {
                    let connections = followers.operators();
                    self.enters(connections, chat);
                }
            }
        }
        true
    }

    fn enters(&mut self, connections: Vec<ConnectionId>, chat: ChatId) {
        for connection in connections {
            let follower = self.hubs.followers.find(connection);
            if follower.is_some_and(|follower| follower.place(chat).is_none()) {
                self.entering.insert((connection, chat));
            }
        }
    }

    /// Shows what can be shown; what can't is kept for later.
    async fn show(&mut self) {
        let mut due = Vec::new();
        self.entering.retain(|&(connection, chat)| {
            match self.hubs.followers.find(connection) {
                // What it began with may hold the chat already.
                Some(follower) if !follower.has_begun() => true,
                Some(follower) => {
                    due.push((follower, chat));
                    false
                }
                None => false,
            }
        });
        for some in due.chunks(PLACES_AT_ONCE) {
            if let Err(error) = self.show_some(some).await {
                let waiting = some.len();
                warn!(
                    waiting,
                    "{waiting} chats can't be shown to followers yet: {error}"
                );
                let again = some.iter();
                self.entering
                    .extend(again.map(|(follower, chat)| (follower.connection, *chat)));
            }
        }
    }

    async fn show_some(&mut self, due: &[(Arc<Follower>, ChatId)]) -> Result<(), ChatError> {
        // First the hubs, then the question where the chats stand: what is committed in between waits in the hubs.
        let hubs: Vec<Arc<Hub>> = due
            .iter()
            .map(|(_, chat)| self.hubs.find_or_make(*chat))
            .collect();
        let pairs: Vec<(&Actor, ChatId)> = due
            .iter()
            .map(|(follower, chat)| (&follower.follow.actor, *chat))
            .collect();
        let entered = self.domain.chats.enter_all(&pairs).await?;
        let announced: Vec<usize> = entered
            .iter()
            .filter(|(place, followed)| {
                !followed.is_quiet && due[*place].0.follow.announce.is_some()
            })
            .map(|(place, _)| *place)
            .collect();
        let mut listed = HashMap::new();
        if !announced.is_empty() {
            let pairs: Vec<_> = announced.iter().map(|place| pairs[*place]).collect();
            for (at, chat) in self.domain.chats.list_all(&pairs).await? {
                listed.insert(announced[at], chat);
            }
        }
        for (place, followed) in entered {
            let (follower, chat) = &due[place];
            if !follower.wants(&followed.entered.head) {
                continue;
            }
            let hub = hubs[place].clone();
            self.hubs.begin(&hub, &followed);
            let entered = &followed.entered;
            let mut settling = Settling::new(&followed, entered.last_seq, entered.unread_count);
            match (follower.follow.announce, listed.get(&place)) {
                _ if followed.is_quiet => {}
                (Some(announce), Some(listed)) => {
                    settling.since = listed.last_seq;
                    settling.unread = listed.unread_count;
                    settling.frames.push((announce.added)(listed));
                }
                // It was left between the two questions.
                (Some(_), None) => continue,
                (None, _) => {
                    let oldest = Seq(entered.last_seq.0 - PAGE as i64 * PAGES_MAX as i64 / 2);
                    settling.since = followed.news_after.max(oldest);
                }
            }
            match self.hubs.settle(follower, hub, settling).await {
                Ok(true) => continue,
                Ok(false) => debug!(%chat, "chat {chat}: a follower is shown it later"),
                // The others have been shown theirs, and mustn't be once more.
                Err(error) => warn!(%chat, "chat {chat}: a follower is shown it later: {error}"),
            }
            self.entering.insert((follower.connection, *chat));
        }
        Ok(())
    }

    /// Tells what has changed of what is unread, each connection at once: what isn't known is counted, by one query for
    /// all.
    async fn tell_unread(&mut self) {
        let mut told = Counts::default();
        let mut uncounted = Vec::new();
        for (connection, chat) in self.unread.drain() {
            let Some(follower) = self.hubs.followers.find(connection) else {
                continue;
            };
            let hub = self.hubs.find(chat);
            match hub.and_then(|hub| hub.take_unread(connection)) {
                Some(Unread::Count(count)) => told.add(&follower, chat, count),
                Some(Unread::Uncounted) => uncounted.push((follower, chat)),
                None => {}
            }
        }
        for some in uncounted.chunks(PLACES_AT_ONCE) {
            let pairs: Vec<_> = some
                .iter()
                .map(|(follower, chat)| (&follower.follow.actor, *chat))
                .collect();
            match self.domain.chats.enter_all(&pairs).await {
                Ok(counted) => {
                    for (place, followed) in counted {
                        let (follower, chat) = &some[place];
                        told.add(follower, *chat, followed.entered.unread_count);
                    }
                }
                // What is read or said next tells it.
                Err(error) => warn!("what is unread can't be counted: {error}"),
            }
        }
        for (follower, mut frames) in told.0.into_values() {
            follower.follow.queue.push_all(&mut frames);
        }
    }
}

/// The frames that tell what is unread, for each connection.
#[derive(Default)]
struct Counts(HashMap<ConnectionId, (Arc<Follower>, Vec<SharedFrame>)>);

impl Counts {
    fn add(&mut self, follower: &Arc<Follower>, chat: ChatId, count: u64) {
        let Some(announce) = follower.follow.announce else {
            return;
        };
        let of_follower = self.0.entry(follower.connection);
        let (_, frames) = of_follower.or_insert_with(|| (follower.clone(), Vec::new()));
        frames.push((announce.unread)(chat, count));
    }
}
