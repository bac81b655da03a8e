//! What happened since: for clients that poll instead of keeping a socket.

use entity::{ChatId, Seq};
use poem_openapi::{
    Object, OpenApi,
    param::Path,
    types::{Any, Example, ToJSON},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    rest::{
        answer::Drf,
        problem::Problem,
        query::{Parameter, Query},
        refused::{INVALID, MEMBER, Refused},
        schema::{Message, Tag},
        signed_in::SignedIn,
    },
    view::EventView,
};

/// How many events an answer holds.
const EVENTS_MAX: u64 = 100;

pub(crate) struct Events;

/// What happened, oldest first.
#[derive(Object)]
#[oai(example)]
struct EventPage {
    /// Frames as a WebSocket of the chat gets them (see `asyncapi.yaml`), messages in their latest state
    results: Vec<Any<Value>>,
    /// The number reached: `since` of the next request
    seq: i64,
    /// More has happened already
    has_more: bool,
    /// There only where `since` is above the chat's last number: load everything anew
    reset: Option<bool>,
}

impl Example for EventPage {
    fn example() -> Self {
        let data = Message::example().to_json();
        let event = json!({"type": "message", "seq": 42, "data": data});
        Self {
            results: vec![Any(event)],
            seq: 42,
            has_more: false,
            reset: None,
        }
    }
}

#[derive(Serialize)]
struct EventPageView<'a> {
    results: Vec<EventView<'a>>,
    seq: i64,
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<bool>,
}

impl Parameter for Seq {
    type Shown = i64;

    fn parse(name: &'static str, text: &str) -> Result<Self, Problem> {
        match i64::parse(name, text)? {
            number @ 0.. => Ok(Seq(number)),
            _ => {
                let sentence = "Ensure this value is greater than or equal to 0.";
                Err(Problem::field(name, sentence))
            }
        }
    }
}

#[OpenApi(tag = "Tag::Events")]
impl Events {
    /// Read what happened since
    ///
    /// At most 100 events an answer. Ask again with its `seq` while `has_more` says so, and from then
    /// on as often as you like.
    #[oai(
        path = "/api/chats/:id/events/",
        method = "get",
        operation_id = "events_list"
    )]
    async fn list(
        &self,
        caller: SignedIn,
        id: Path<i64>,
        /// The last number seen; 0, as without it, for everything
        since: Query<Seq>,
    ) -> Result<Drf<EventPage>, Refused<{ MEMBER | INVALID }>> {
        let since = since.0.unwrap_or_default();
        let history = &caller.domain().history;
        let replay = history
            .since(&caller.actor, ChatId(id.0), since, EVENTS_MAX)
            .await?;
        let me = caller.actor.id();
        let results = replay
            .events
            .iter()
            .filter_map(|event| match event.by == me {
                true => EventView::for_sender(event),
                false => EventView::of(event),
            });
        Ok(Drf::of(&EventPageView {
            results: results.collect(),
            seq: replay.seq.0,
            has_more: replay.has_more,
            reset: replay.reset.then_some(true),
        })?)
    }
}
