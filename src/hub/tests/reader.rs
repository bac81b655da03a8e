//! A connection without a socket, and events in a form that can be read back.

use std::{
    future::poll_fn,
    mem::take,
    sync::Arc,
    task::{Poll, Waker},
};

use chrono::DateTime;
use entity::{ChatId, ChatKind, ContentType, MessageId, Role, Seq, UserId};

use crate::{
    chat::{ChatEvent, ChatHead, ConnectionId, Message, Profile, What},
    hub::{
        Audience, Backlog, Close, Ends, Queue, QueueLimits, QueueTotal, Seat, SharedFrame, Voice,
        Written, typing::ENDS_AFTER,
    },
};

pub(super) const CHAT: ChatId = ChatId(1);

/// Somebody who reads what their queue holds, when told to.
pub(super) struct Reader {
    pub(super) seat: Seat,
    written: Written,
}

impl Reader {
    pub(super) fn new(connection: u64, user: i64) -> Self {
        Self::with_limits(connection, user, QueueLimits::default())
    }

    pub(super) fn with_limits(connection: u64, user: i64, limits: QueueLimits) -> Self {
        let queue = Queue::new(ConnectionId(connection), QueueTotal::new(limits));
        queue.open();
        let voice = Voice {
            number: 0,
            encode,
            ends: Ends::Connection,
        };
        let seat = Seat {
            connection: ConnectionId(connection),
            user: UserId(user),
            is_operator: false,
            in_literals: false,
            hears_presence: true,
            voice,
            queue,
            reports: None,
        };
        Reader {
            seat,
            written: Written::default(),
        }
    }

    /// What has come since it was asked last.
    pub(super) fn heard(&mut self) -> Vec<String> {
        let mut in_hand = Backlog::default();
        let written = take(&mut self.written);
        self.seat
            .queue
            .turn(Waker::noop(), written, &mut in_hand, false);
        self.read(in_hand)
    }

    /// What comes next: waits for it. Nothing comes any more where the connection has ended.
    pub(super) async fn hears(&mut self) -> Result<Vec<String>, Close> {
        let in_hand = poll_fn(|cx| {
            let mut in_hand = Backlog::default();
            let written = take(&mut self.written);
            let turn = self
                .seat
                .queue
                .turn(cx.waker(), written, &mut in_hand, false);
            match turn.close {
                _ if !in_hand.is_empty() => Poll::Ready(Ok(in_hand)),
                Some(close) => Poll::Ready(Err(close)),
                None => Poll::Pending,
            }
        });
        in_hand.await.map(|in_hand| self.read(in_hand))
    }

    fn read(&mut self, in_hand: Backlog) -> Vec<String> {
        let mut texts = Vec::new();
        for frame in in_hand {
            self.written.add(&frame);
            let read = |payload: &[u8]| String::from_utf8(payload.to_vec()).unwrap();
            texts.extend(frame.payloads().map(read));
        }
        texts
    }

    pub(super) fn closing(&self) -> Option<Close> {
        self.seat.queue.closing()
    }
}

/// The number that a frame begins with.
pub(super) fn number(frame: &str) -> Option<i64> {
    frame.split(' ').next()?.parse().ok()
}

/// `7 text`, `8 edited text`, `9 left 3` ...; what the sender hears ends with `(own)`.
pub(super) fn encode(
    head: &ChatHead,
    event: &ChatEvent,
    audience: Audience,
) -> Option<SharedFrame> {
    let what = match &event.what {
        What::Sent(message) => message.text.clone(),
        What::Edited(message) => format!("edited {}", message.text),
        What::Deleted(_) => "deleted".to_owned(),
        What::MemberLeft { user, .. } => format!("left {}", user.id),
        What::MemberJoined { user, .. } => format!("joined {}", user.id),
        What::ChatUpdated(_) => format!("named {}", head.name.as_deref().unwrap_or_default()),
        What::ChatDeleted(_) => "chat deleted".to_owned(),
        What::Typing {
            user,
            is_typing: true,
        } => format!("typing {} for {ENDS_AFTER:?}", user.id),
        What::Typing { user, .. } => format!("typed {}", user.id),
        What::Entered(user) => format!("{} is here", user.id),
        What::Left { user, how, .. } => format!("{} is gone ({how:?})", user.id),
        What::Presence(presence) => format!("{} are here", presence.count),
        _ => return None,
    };
    let number = event.seq.map_or(String::new(), |seq| format!("{seq} "));
    let own = if audience.is_sender { " (own)" } else { "" };
    let frame = SharedFrame::text(&format!("{number}{what}{own}"));
    Some(if event.is_ephemeral() {
        frame.ephemeral()
    } else {
        frame
    })
}

pub(super) fn head(name: &str) -> ChatHead {
    ChatHead {
        id: CHAT,
        kind: ChatKind::Group,
        name: Some(name.to_owned()),
        is_private: false,
        created_by: UserId(1),
        created_at: DateTime::UNIX_EPOCH,
        customer: None,
        customer_name: None,
    }
}

pub(super) fn profile(user: i64) -> Arc<Profile> {
    Arc::new(Profile {
        id: UserId(user),
        username: format!("user{user}"),
        first_name: String::new(),
        last_name: String::new(),
    })
}

pub(super) fn event(seq: i64, by: i64, what: What) -> Arc<ChatEvent> {
    Arc::new(ChatEvent {
        chat: CHAT,
        seq: Some(Seq(seq)),
        by: UserId(by),
        origin: None,
        what,
    })
}

/// The message that was sent as number `seq`, as it stands now.
pub(super) fn message(seq: i64, text: &str) -> Arc<Message> {
    Arc::new(Message {
        id: MessageId(seq),
        chat: CHAT,
        seq: Seq(seq),
        text: text.to_owned(),
        sender: profile(1),
        timestamp: DateTime::UNIX_EPOCH,
        edited_at: None,
        is_deleted: text.is_empty(),
        reply_to: None,
        content_type: ContentType::Text,
        client_id: None,
        attachment: None,
    })
}

pub(super) fn sent(seq: i64) -> Arc<ChatEvent> {
    event(seq, 1, What::Sent(message(seq, &format!("text {seq}"))))
}

pub(super) fn left(seq: i64, user: i64) -> Arc<ChatEvent> {
    let user = profile(user);
    let role = Role::Member;
    event(seq, 1, What::MemberLeft { user, role })
}

pub(super) fn joined(seq: i64, user: i64) -> Arc<ChatEvent> {
    let user = profile(user);
    let role = Role::Member;
    event(seq, 1, What::MemberJoined { user, role })
}

pub(super) fn types(user: i64) -> Arc<ChatEvent> {
    Arc::new(ChatEvent {
        seq: None,
        ..ChatEvent::clone(&event(
            0,
            user,
            What::Typing {
                user: profile(user),
                is_typing: true,
            },
        ))
    })
}
