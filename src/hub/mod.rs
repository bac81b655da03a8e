//! The hub: after the commit, and before the sockets. It puts events in order and hands frames to connections.
//!
//! Not here: sockets and dialects (`ws`), rules (`chat`), how nodes talk (`layer`).

mod backlog;
mod bridge;
mod delivery;
mod elsewhere;
mod follow;
mod frame;
mod heard;
#[allow(
    clippy::module_inception,
    reason = "the hub of one chat, in the room of all hubs"
)]
mod hub;
mod hubs;
mod memory;
mod presence;
mod publish;
mod queue;
mod round;
mod seats;
mod sweep;
#[cfg(test)]
mod tests;
mod typing;
mod unread;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use bridge::ToDjango;
pub use delivery::{Audience, CHAT_DELETED, Encode, Ends, NOT_A_MEMBER, Seat, Voice};
pub use elsewhere::{OnOwner, Owner};
pub use follow::{Announce, Beginning, Follow, Following, Reports, Waiting};
pub use frame::SharedFrame;
pub use hub::Hub;
pub use hubs::{Hubs, REPLAY_MAX, Replayed, Seated};
pub use presence::Present;
pub use queue::{Close, Queue, QueueLimits, QueueTotal};
pub use round::Line;

pub(crate) use backlog::Backlog;
pub(crate) use queue::{Turn, Written};

use crate::{
    chat::Domain,
    layer::{ChannelLayer, LayerError},
    lease::Lease,
};

/// The hubs' own tasks: to and from the channel layer, and the sweep.
#[derive(Debug)]
pub struct HubTasks {
    shutdown: CancellationToken,
    tasks: TaskTracker,
    /// What is asked over the layer, until somebody stores it.
    requests: Mutex<Option<mpsc::Receiver<bridge::SendRequest>>>,
}

/// Begins without a chat. The domain's writer publishes to these hubs. Who is in a chat is told by name up to
/// `presence_max` users.
pub async fn start(
    layer: Arc<dyn ChannelLayer>,
    lease: Arc<dyn Lease>,
    presence_max: usize,
    to_django: ToDjango,
) -> Result<(Arc<Hubs>, HubTasks), LayerError> {
    let node = layer.new_channel().await?;
    let (hubs, todo) = Hubs::new(layer, lease, presence_max);
    let (asks, requests) = mpsc::channel(publish::REQUESTS_MAX);
    let running = HubTasks {
        shutdown: CancellationToken::new(),
        tasks: hubs.tasks.clone(),
        requests: Mutex::new(Some(requests)),
    };
    running.tasks.spawn(publish::send(
        hubs.clone(),
        node.clone(),
        to_django,
        todo,
        running.shutdown.clone(),
    ));
    running.tasks.spawn(publish::receive(
        hubs.clone(),
        node,
        asks,
        running.shutdown.clone(),
    ));
    Ok((hubs, running))
}

impl HubTasks {
    /// Hands the hubs the domain that publishes to them, and begins to sweep.
    pub fn attach(&self, hubs: &Arc<Hubs>, domain: &Arc<Domain>) {
        hubs.attach(domain.clone());
        if let Some(requests) = self.requests.lock().take() {
            let (domain, shutdown) = (domain.clone(), self.shutdown.clone());
            self.tasks.spawn(publish::store(domain, requests, shutdown));
        }
        self.tasks.spawn(follow::run(
            hubs.clone(),
            domain.clone(),
            self.shutdown.clone(),
        ));
        self.tasks
            .spawn(elsewhere::run(hubs.clone(), self.shutdown.clone()));
        self.tasks.spawn(sweep::run(
            hubs.clone(),
            domain.clone(),
            self.shutdown.clone(),
        ));
    }

    /// Ends the tasks, and waits for them.
    pub async fn stop(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
