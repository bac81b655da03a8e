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
mod body;
mod documents;
mod edge;
mod envelope;
mod fields;
mod json;
mod pagination;
mod problem;
mod query;
mod refused;
mod resource;
mod rules;
mod signed_in;

pub use documents::document;
pub use edge::{Check, Checked, Edge, Registration};

use self::{envelope::Envelope, resource::resources};

/// Every resource. Each address belongs to one of them.
type Apis = ();

fn apis() -> Apis {}

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
    Envelope { edge, routes }
}
