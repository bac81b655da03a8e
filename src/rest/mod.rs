//! REST: the domain's operations over HTTP, as Django REST framework would serve them.
//!
//! One file per resource; the rest of the room is what they stand on: bodies and their field errors
//! (`body` `fields` `rules` `json`), refusals (`problem` `refused`), answers and pages (`answer`
//! `pagination` `query`), who calls (`signed_in` `edge`), the order in which a request is asked
//! (`resource`), what every answer gets (`envelope`), and the document (`documents` `schema`).
//!
//! Not here: rules (`chat`), the JSON objects that sockets show as well (`view`), sockets (`ws`).
//! Bounded by: `Edge::body_bytes_max` per request.

use std::sync::Arc;

use poem::{Endpoint, Response, Route};

mod answer;
mod attachments;
mod avatars;
mod body;
mod chats;
mod documents;
mod edge;
mod envelope;
mod events;
mod export;
mod fields;
mod health;
mod json;
mod members;
mod messages;
mod metrics;
mod pagination;
mod problem;
mod query;
mod reading;
mod recovery;
mod refused;
mod resource;
mod rules;
mod schema;
mod search;
mod sessions;
mod signed_in;
mod support;
mod tokens;
mod users;

pub use documents::document;
pub use edge::{Check, Checked, Edge, Watch};
pub use metrics::metrics_endpoint;

use self::{
    attachments::Attachments,
    avatars::Avatars,
    chats::Chats,
    envelope::Envelope,
    events::Events,
    export::Export,
    health::Health,
    members::Members,
    messages::Messages,
    metrics::Metrics,
    reading::Reading,
    recovery::Recovery,
    resource::resources,
    search::Searches,
    sessions::Sessions,
    support::{SupportAuth, SupportChats},
    tokens::Tokens,
    users::Users,
};

/// Every resource. Each address belongs to one of them.
type Apis = (
    Tokens,
    Sessions,
    Users,
    Avatars,
    Export,
    Recovery,
    Chats,
    Members,
    Messages,
    Attachments,
    Events,
    Reading,
    Searches,
    SupportChats,
    (Health, Metrics),
);

fn apis() -> Apis {
    (
        Tokens,
        Sessions,
        Users,
        Avatars,
        Export,
        Recovery,
        Chats,
        Members,
        Messages,
        Attachments,
        Events,
        Reading,
        Searches,
        SupportChats,
        (Health, Metrics),
    )
}

/// Everything that REST serves, the document's pages included; what it doesn't know is a 404 in JSON.
pub fn endpoint(edge: Edge) -> impl Endpoint<Output = Response> {
    let edge = Arc::new(edge);
    let mut routes = Route::new();
    for (path, resource) in resources(apis(), &edge) {
        routes = routes.at(path, resource);
    }
    for (path, page) in documents::pages() {
        routes = routes.at(path, page);
    }
    let auth = SupportAuth { edge: edge.clone() };
    routes = routes.at("/v1/auth/", auth);
    Envelope { edge, routes }
}
