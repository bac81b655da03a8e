//! Who is typing in a chat on this node.
//!
//! Bounded by: one entry per connection that types, for at most `ENDS_AFTER`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::chat::{ConnectionId, Profile};

/// Typing that nobody renews ends.
pub(super) const ENDS_AFTER: Duration = Duration::from_secs(10);
/// Typing that changes nothing isn't sent on again before.
const RENEWED_AFTER: Duration = Duration::from_secs(3);

#[derive(Debug)]
struct Typist {
    connection: ConnectionId,
    user: Arc<Profile>,
    is_typing: bool,
    renewed: Instant,
    told: Instant,
}

/// The connections that type, or have just stopped.
#[derive(Debug, Default)]
pub(super) struct Typists(Vec<Typist>);

impl Typists {
    /// Notes that a connection types, or doesn't; whether the chat should hear of it.
    pub(super) fn types(
        &mut self,
        connection: ConnectionId,
        user: &Arc<Profile>,
        is_typing: bool,
        now: Instant,
    ) -> bool {
        let Some(typist) = self
            .0
            .iter_mut()
            .find(|typist| typist.connection == connection)
        else {
            self.0.push(Typist {
                connection,
                user: user.clone(),
                is_typing,
                renewed: now,
                told: now,
            });
            return true;
        };
        typist.renewed = now;
        let is_news =
            typist.is_typing != is_typing || now.duration_since(typist.told) >= RENEWED_AFTER;
        typist.is_typing = is_typing;
        if is_news {
            typist.told = now;
        }
        is_news
    }

    /// A connection types no more; who it was, where they typed on it and type on no other.
    pub(super) fn leave(&mut self, connection: ConnectionId) -> Option<Arc<Profile>> {
        let place = self
            .0
            .iter()
            .position(|typist| typist.connection == connection)?;
        let Typist {
            user, is_typing, ..
        } = self.0.swap_remove(place);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        let goes_on = self
            .0
            .iter()
            .any(|typist| typist.user.id == user.id && typist.is_typing);
        (is_typing && !goes_on).then_some(user)
    }

    /// Ends what wasn't renewed and forgets who stopped; whose typing ended.
    pub(super) fn tired(&mut self, now: Instant) -> Vec<Arc<Profile>> {
        let is_over = |typist: &Typist| {
            let after = if typist.is_typing {
                ENDS_AFTER
            } else {
                RENEWED_AFTER
            };
            now.duration_since(typist.renewed) >= after
        };
        let tired: Vec<ConnectionId> = self
            .0
            .iter()
            .filter(|typist| is_over(typist))
            .map(|typist| typist.connection)
            .collect();
        tired
            .into_iter()
            .filter_map(|connection| self.leave(connection))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use entity::UserId;

    use super::*;

    fn anna() -> Arc<Profile> {
        let name = String::new;
        Arc::new(Profile {
            id: UserId(1),
            username: name(),
            first_name: name(),
            last_name: name(),
        })
    }

    #[test]
    fn typing_is_told_once_in_three_seconds_and_ends_after_ten() {
        let (mut typists, anna, start) = (Typists::default(), anna(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let phone = ConnectionId(1);
        assert!(
            typists.types(ConnectionId(2), &anna, false, at(0)),
            "an absolute state"
        );
        assert!(!typists.types(ConnectionId(2), &anna, false, at(1)));
        assert!(typists.types(phone, &anna, true, at(0)));
        assert!(!typists.types(phone, &anna, true, at(2_999)));
        assert!(typists.types(phone, &anna, true, at(3_000)));
        assert!(typists.tired(at(12_999)).is_empty());
        assert_eq!(typists.tired(at(13_000)).len(), 1);
        assert!(typists.0.is_empty());
    }

    #[test]
    fn typing_on_two_phones_ends_with_the_second() {
        let (mut typists, anna, now) = (Typists::default(), anna(), Instant::now());
        assert!(typists.types(ConnectionId(1), &anna, true, now));
        assert!(typists.types(ConnectionId(2), &anna, true, now));
        assert!(typists.leave(ConnectionId(1)).is_none());
        assert!(typists.leave(ConnectionId(2)).is_some());
    }
}
