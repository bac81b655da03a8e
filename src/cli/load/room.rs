//! One chat under load: its members, and what each of its senders has on the way.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use tokio::sync::Notify;

use super::people::{Chat, Seat};

pub(super) struct Room {
    pub(super) members: Vec<Member>,
    /// The first members' windows: these send.
    pub(super) windows: Vec<Window>,
}

pub(super) struct Member {
    pub(super) seat: Seat,
    pub(super) heard: Cell<u64>,
}

/// One sender's messages on their way, and how many there may be.
pub(super) struct Window {
    width: usize,
    sent: Cell<u64>,
    /// By message, oldest first: how many members still have to hear it.
    owed: RefCell<VecDeque<usize>>,
    pub(super) has_room: Notify,
}

impl Room {
    /// The chat, whose senders have windows of these widths.
    pub(super) fn new(chat: Chat, widths: impl Iterator<Item = usize>) -> Self {
        let member = |seat| Member {
            seat,
            heard: Cell::default(),
        };
        Self {
            members: chat.seats.into_iter().map(member).collect(),
            windows: widths.map(Window::new).collect(),
        }
    }

    /// Messages that were sent here.
    pub(super) fn sent(&self) -> u64 {
        self.windows.iter().map(|window| window.sent.get()).sum()
    }
}

impl Window {
    fn new(width: usize) -> Self {
        Self {
            width,
            sent: Cell::default(),
            owed: RefCell::default(),
            has_room: Notify::new(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.owed.borrow().len() >= self.width
    }

    /// One more is on its way, to so many members. Gives back its number.
    pub(super) fn send(&self, members: usize) -> u64 {
        let number = self.sent.get();
        self.sent.set(number + 1);
        self.owed.borrow_mut().push_back(members);
        number
    }

    /// One more member has the message. Gives back how many came to their end by it: a message that
    /// was overtaken by a later one holds that up.
    pub(super) fn hear(&self, number: u64) -> u64 {
        let mut owed = self.owed.borrow_mut();
        let oldest = self.sent.get() - owed.len() as u64;
        let place = number
            .checked_sub(oldest)
            .and_then(|place| usize::try_from(place).ok());
        if let Some(owed) = place.and_then(|place| owed.get_mut(place)) {
            *owed = owed.saturating_sub(1);
        }
        let mut ended = 0;
        while owed.front() == Some(&0) {
            owed.pop_front();
            ended += 1;
        }
        ended
    }
}

/// The share of the sender with this number in `in_flight`, which is dealt out to all in turn.
pub(super) fn width(in_flight: usize, senders: usize, number: usize) -> usize {
    (in_flight + senders - 1 - number) / senders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_flight_is_dealt_out_evenly_and_whole() {
        for (in_flight, senders) in [(256, 256), (256, 128), (4, 8), (17, 5), (1, 1), (0, 3)] {
            let widths: Vec<_> = (0..senders)
                .map(|number| width(in_flight, senders, number))
                .collect();
            assert_eq!(widths.iter().sum::<usize>(), in_flight);
            assert!(widths[0] - widths[senders - 1] <= 1, "{widths:?}");
        }
    }

    #[test]
    fn a_window_has_room_again_when_its_oldest_message_is_heard_by_all() {
        let window = Window::new(2);
        assert_eq!((window.send(2), window.send(2)), (0, 1));
        assert!(window.is_full());
        assert_eq!([1, 1, 0].map(|number| window.hear(number)), [0, 0, 0]);
        assert!(window.is_full());
        assert_eq!(window.hear(0), 2);
        assert!(!window.is_full());
        assert_eq!(window.send(1), 2);
        assert_eq!([0, 9, 2].map(|number| window.hear(number)), [0, 0, 1]);
    }
}
