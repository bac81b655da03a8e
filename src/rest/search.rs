//! Looking for what was said.

use entity::ChatId;
use poem_openapi::OpenApi;

use crate::{
    chat::Search,
    rest::{
        answer::Drf,
        messages::Place,
        pagination::{Here, PageSize},
        problem::Problem,
        query::Query,
        refused::{INVALID, MEMBER, Refused, THROTTLED},
        schema::{MessagePage, Tag},
        signed_in::SignedIn,
    },
    view::{MessageView, PageView},
};

pub(crate) struct Searches;

#[OpenApi(tag = "Tag::Messages")]
impl Searches {
    /// Search what was said in one's own chats, newest first
    ///
    /// Finds messages that hold all of the words, and any word that begins with the last one, without regard to case
    /// and accents; nothing of what one hid from oneself. What was said, edited or deleted within the last two seconds
    /// may not be known yet. Pages have no `count`.
    #[oai(
        path = "/api/search/",
        method = "get",
        operation_id = "search_messages"
    )]
    async fn find(
        &self,
        caller: SignedIn,
        /// Words
        q: Query<String>,
        /// A chat's id: in that one alone
        chat: Query<i64>,
        /// At most 100
        page_size: Query<PageSize>,
        /// A message's id: those before it. Empty: the newest
        before: Query<Place>,
        here: Here,
    ) -> Result<Drf<MessagePage>, Refused<{ MEMBER | INVALID | THROTTLED }>> {
        let text =
            q.0.ok_or_else(|| Problem::field("q", "This field is required."))?;
        let search = Search {
            text,
            chat: chat.0.map(ChatId),
            before: before.0.and_then(|Place(place)| place),
        };
        let PageSize(size) = page_size.0.unwrap_or_default();
        let searches = &caller.domain().searches;
        let found = searches.find(&caller.actor, search, size).await?;
        let oldest = found.results.last().filter(|_| found.has_older);
        let results = found
            .results
            .iter()
            .map(|message| MessageView::from(message.as_ref()));
        Ok(Drf::of(&PageView {
            count: None,
            next: oldest.map(|message| here.0.before(message.id.0)),
            previous: None,
            results: results.collect(),
        })?)
    }
}
