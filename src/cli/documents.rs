//! `openapi` and `asyncapi`: the documents of the two edges, as the service also serves them.

use super::{Outcome, print};

/// Every frame of the WebSocket protocols, as it is committed.
pub const ASYNCAPI: &str = include_str!("../../openapi/asyncapi.yaml");

pub(super) fn asyncapi() -> Outcome {
    print(ASYNCAPI)
}
