//! Pages of messages, and what happened since.

use std::sync::Arc;

use entity::{ChatId, MessageId, Seq};

use crate::chat::{Actor, ChatError, ChatEvent, Message, ReadPosition};

/// A page by its number, newest messages first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageNumber {
    /// From 1.
    pub page: u64,
    /// 1 to 100.
    pub page_size: u64,
}

/// Where a keyset page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The messages before one; without: the newest.
    Before(Option<MessageId>),
    /// The messages that follow one.
    After(MessageId),
}

/// A page of messages with the count of all; newest first.
#[derive(Clone, Debug)]
pub struct NumberedPage {
    /// All of the chat's messages that the caller may see.
    pub count: u64,
    /// Newest first.
    pub results: Vec<Arc<Message>>,
    /// Whether an older page (a higher number) follows.
    pub has_next: bool,
}

/// A page of messages at any depth without a count; newest first.
#[derive(Clone, Debug)]
pub struct KeysetPage {
    /// Newest first.
    pub results: Vec<Arc<Message>>,
    /// Older ones exist (before the last of `results`).
    pub has_older: bool,
    /// Newer ones exist (after the first of `results`).
    pub has_newer: bool,
}

/// What happened after a number, oldest first.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Each with its own `seq`; messages in their latest state.
    pub events: Vec<Arc<ChatEvent>>,
    /// The number reached: the last event's, or the asked one.
    pub seq: Seq,
    /// More happened after `seq`.
    pub has_more: bool,
    /// `since` is above the chat's last number: all must be loaded anew.
    pub reset: bool,
}

/// Reading what was said.
pub struct History {}

impl History {
    /// A page by its number. A page past the end is `Invalid { field: "page" }`.
    pub async fn page(
        &self,
        actor: &Actor,
        chat: ChatId,
        page: PageNumber,
    ) -> Result<NumberedPage, ChatError> {
        let _ = (actor, chat, page);
        unimplemented!()
    }

    /// A page by its place.
    pub async fn keyset(
        &self,
        actor: &Actor,
        chat: ChatId,
        direction: Direction,
        page_size: u64,
    ) -> Result<KeysetPage, ChatError> {
        let _ = (actor, chat, direction, page_size);
        unimplemented!()
    }

    /// One message, and who has read it (at most 100).
    pub async fn find(
        &self,
        actor: &Actor,
        chat: ChatId,
        message: MessageId,
    ) -> Result<(Arc<Message>, Vec<ReadPosition>), ChatError> {
        let _ = (actor, chat, message);
        unimplemented!()
    }

    /// What happened after `since`, at most `limit` events, for a member.
    pub async fn since(
        &self,
        actor: &Actor,
        chat: ChatId,
        since: Seq,
        limit: u64,
    ) -> Result<Replay, ChatError> {
        let _ = (actor, chat, since, limit);
        unimplemented!()
    }
}
