//! The close codes: every way in which a connection ends, what it means, and what its client may do.
//!
//! Not here: who decides that it ends. A new code is one constant and one row.

use crate::{
    hub::{self, Close},
    metrics,
};

/// The service stops for good, or nothing was heard from the client for too long.
pub const GOING_AWAY: Close = Close::new(1001, "Going away");
/// The client broke RFC 6455.
pub const PROTOCOL_ERROR: Close = Close::new(1002, "Protocol error");
/// A binary frame: all dialects speak text.
pub const BINARY: Close = Close::new(1003, "Binary frames are not supported");
/// A text frame, or a close frame's reason, that isn't UTF-8.
pub const NOT_UTF8: Close = Close::new(1007, "Invalid UTF-8");
/// A frame or message over the limit.
pub const TOO_BIG: Close = Close::new(1009, "Message too big");
/// A fault of ours.
pub const FAULT: Close = Close::new(1011, "Internal server error");
/// The node restarts.
pub const RESTART: Close = Close::new(1012, "Service restart");
/// The database can't be asked whether the client may enter.
pub const UNAVAILABLE: Close = Close::new(1013, "Service temporarily unavailable");
/// No such room, or one that the user may not enter.
pub const NO_SUCH_ROOM: Close = Close::new(4000, "No such room");
/// Not signed in, or not any more.
pub const NOT_SIGNED_IN: Close = Close::new(4001, "Authentication required");
/// A lobby without a token.
pub const NO_TOKEN: Close = Close::new(4001, "Токен отсутствует");
/// A lobby's token isn't good, or not any more.
pub const BAD_TOKEN: Close = Close::new(4002, "Неверный токен");
/// Not a member of the chat, or not any more.
pub const NOT_A_MEMBER: Close = hub::NOT_A_MEMBER;
/// No such chat.
pub const NO_SUCH_CHAT: Close = Close::new(4004, "Chat not found");
/// The client reads slower than its chats speak.
pub const TOO_SLOW: Close = Close::TOO_SLOW;
/// The same user has another connection to this chat, and that one counts.
pub const REPLACED: Close = Close::new(4009, "Replaced by another connection");
/// The chat was deleted.
pub const CHAT_DELETED: Close = hub::CHAT_DELETED;
/// Too many wrong or too frequent frames.
pub const TOO_MANY_VIOLATIONS: Close = Close::new(4029, "Too many violations");
/// The user has too many connections.
pub const TOO_MANY_CONNECTIONS: Close = Close::new(4030, "Too many connections");

/// Not sent: the connection ended without a close frame (RFC 6455, 7.1.5).
pub const LOST: Close = Close::new(1006, "Connection lost");
/// Not sent: the client's close frame had no code (RFC 6455, 7.1.5).
pub const NO_CODE: Close = Close::new(1005, BY_CLIENT);

const BY_CLIENT: &str = "Closed by the client";

/// The client's own words: any code, whatever it may mean there.
pub(super) fn by_client(code: u16) -> Close {
    Close::new(code, BY_CLIENT)
}

/// Counts how a connection ended.
pub(super) fn count(close: Close) {
    if close.reason == BY_CLIENT {
        metrics::CONNECTIONS_LEFT.one();
    } else {
        metrics::CONNECTIONS_CLOSED.of(close.code).one();
    }
}

/// What a client does after it was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// It comes back after a random wait of 1 to 10 seconds.
    AfterRandomWait,
    /// It comes back once it has what it lacked: a new token, a right, another frame.
    OnceMended,
    /// It stays away.
    Never,
}

/// One code, as the documents print it.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Code and reason.
    pub close: Close,
    /// What happened.
    pub meaning: &'static str,
    /// What the client does then.
    pub comes_back: Return,
}

const fn row(close: Close, comes_back: Return, meaning: &'static str) -> Row {
    Row {
        close,
        meaning,
        comes_back,
    }
}

/// Every code that a server sends. (In a lobby 4001 has a reason of its own.)
pub const TABLE: &[Row] = {
    use Return::{AfterRandomWait, Never, OnceMended};
    &[
        row(
            GOING_AWAY,
            AfterRandomWait,
            "Nothing was heard from the client for 60 seconds",
        ),
        row(
            PROTOCOL_ERROR,
            OnceMended,
            "The client broke the WebSocket protocol",
        ),
        row(
            BINARY,
            OnceMended,
            "The client sent a binary frame; all dialects speak text",
        ),
        row(
            NOT_UTF8,
            OnceMended,
            "The client sent text that is not UTF-8",
        ),
        row(
            TOO_BIG,
            OnceMended,
            "The client sent a frame or message over the limit",
        ),
        row(
            FAULT,
            AfterRandomWait,
            "A fault of the service; it is in its log",
        ),
        row(
            RESTART,
            AfterRandomWait,
            "The node restarts; come back after a random wait",
        ),
        row(
            UNAVAILABLE,
            AfterRandomWait,
            "The database is away; nobody can be let in",
        ),
        row(
            NO_SUCH_ROOM,
            OnceMended,
            "No such room, or one that the user may not enter",
        ),
        row(
            NOT_SIGNED_IN,
            OnceMended,
            "No valid token, or the session has ended",
        ),
        row(
            BAD_TOKEN,
            OnceMended,
            "A lobby's token is not valid, or its session has ended",
        ),
        row(
            NOT_A_MEMBER,
            OnceMended,
            "The user is not, or no longer, a member of the chat",
        ),
        row(NO_SUCH_CHAT, Never, "There is no such chat"),
        row(
            TOO_SLOW,
            AfterRandomWait,
            "The client read too slowly; it resumes by seq",
        ),
        row(
            REPLACED,
            Never,
            "Another connection of the user to this chat took its place",
        ),
        row(CHAT_DELETED, Never, "The chat was deleted"),
        row(
            TOO_MANY_VIOLATIONS,
            OnceMended,
            "20 errors within 10 seconds",
        ),
        row(
            TOO_MANY_CONNECTIONS,
            OnceMended,
            "The user has too many connections open",
        ),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_once_and_may_be_sent() {
        let mut codes: Vec<u16> = TABLE.iter().map(|row| row.close.code).collect();
        assert!(codes.is_sorted());
        codes.dedup();
        assert_eq!(codes.len(), TABLE.len());
        for row in TABLE {
            assert!(metrics::CONNECTIONS_CLOSED.knows(row.close.code));
            assert!(row.close.reason.len() <= 123, "{:?}", row.close);
            // RFC 6455, 7.4.2: 1004 to 1006 and 1015 never go over the wire, nor does anything
            // below 1000; 4000 to 4999 are ours.
            assert!(
                matches!(row.close.code, 1000..=1003 | 1007..=1014 | 4000..=4999),
                "{:?}",
                row.close
            );
        }
    }
}
