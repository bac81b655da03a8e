//! What REST was handed by the service, and what every request brings along with it.

use std::{net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use poem::{FromRequest, Request, RequestBody, Result, http::header};

use crate::{
    chat::{Actor, Domain},
    origin::{AllowedHosts, AllowedOrigins, Approach, TrustedProxies},
    rest::problem::Problem,
};

/// Everything that the endpoints of REST need; made once, by the service.
pub struct Edge {
    /// What the operations do.
    pub domain: Arc<Domain>,
    /// Whose word on the client's address, scheme and host is taken.
    pub proxies: TrustedProxies,
    /// Which sites' pages may call.
    pub origins: AllowedOrigins,
    /// Which hosts we answer for.
    pub hosts: AllowedHosts,
    /// The largest body that is read.
    pub body_bytes_max: usize,
    /// What `/readyz` and `/metrics` ask.
    pub watch: Arc<Watch>,
    /// `/metrics` is served here: it has no address of its own.
    pub shows_metrics: bool,
}

/// A check that takes longer has failed: whoever asks has a deadline of their own.
const CHECK_DEADLINE: Duration = Duration::from_secs(2);

/// How the service stands, for those who watch it.
pub struct Watch {
    /// What must be reachable.
    pub checks: Vec<Check>,
    /// Sets the gauges that only the service itself can read.
    pub measure: Box<dyn Fn() + Send + Sync>,
}

impl Watch {
    /// Asks all checks: each one's name and `ok`, or what is wrong.
    pub(crate) async fn run(&self) -> Vec<(&'static str, String)> {
        let asked = self.checks.iter().map(async |check| {
            let state = match tokio::time::timeout(CHECK_DEADLINE, (check.run)()).await {
                Ok(Ok(())) => "ok".to_owned(),
                Ok(Err(wrong)) => wrong,
                Err(_) => "no answer in time".to_owned(),
            };
            (check.name, state)
        });
        futures_util::future::join_all(asked).await
    }
}

/// The answer of a check: nothing, or what is wrong in words that may be shown.
pub type Checked = Pin<Box<dyn Future<Output = std::result::Result<(), String>> + Send>>;

/// Something that must be reachable for the service to be ready.
pub struct Check {
    /// As `/readyz` names it.
    pub name: &'static str,
    /// Asks it.
    pub run: Box<dyn Fn() -> Checked + Send + Sync>,
}

/// What a request brings along: put there before its operation is called.
#[derive(Clone)]
pub(crate) struct Arrival {
    pub(crate) edge: Arc<Edge>,
    pub(crate) actor: Option<Actor>,
}

impl Arrival {
    pub(crate) fn of(request: &Request) -> std::result::Result<&Self, Problem> {
        // Always there: `Resource` puts it in before it calls an operation.
        request.extensions().get().ok_or_else(Problem::fault)
    }

    /// Whether the caller may still do what they could when the request began: its body may have come long after its
    /// headers. No query.
    pub(crate) async fn still_holds(&self) -> std::result::Result<(), Problem> {
        match &self.actor {
            Some(actor) => still_holds(&self.edge, actor).await,
            None => Ok(()),
        }
    }
}

/// The same of a caller who has signed in.
pub(crate) async fn still_holds(edge: &Edge, actor: &Actor) -> std::result::Result<(), Problem> {
    match edge.domain.sessions.renew(actor).await {
        Ok(now) if actor.is_staff && !now.is_staff => Err(Problem::forbidden()),
        Ok(_) => Ok(()),
        Err(error) => Err(Problem::bearer(&error)),
    }
}

/// Somebody who need not have signed in.
pub(crate) struct Visitor {
    pub(crate) edge: Arc<Edge>,
    pub(crate) actor: Option<Actor>,
    pub(crate) approach: Approach,
    /// The user agent, cut to what a list of sessions can show.
    pub(crate) client: String,
}

/// A user agent longer than this says nothing more to its reader.
const CLIENT_CHARS_MAX: usize = 200;

impl Visitor {
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.approach.client
    }
}

impl<'a> FromRequest<'a> for Visitor {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> Result<Self> {
        let Arrival { edge, actor } = Arrival::of(request)?.clone();
        let approach = edge.proxies.approach(request);
        let agent = request
            .headers()
            .get(header::USER_AGENT)
            .map(|agent| agent.as_bytes());
        let client = String::from_utf8_lossy(agent.unwrap_or_default())
            .chars()
            .take(CLIENT_CHARS_MAX)
            .collect();
        Ok(Self {
            edge,
            actor,
            approach,
            client,
        })
    }
}
