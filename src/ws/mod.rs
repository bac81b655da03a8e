//! The sockets: one machinery for all dialects. A request becomes a connection (`signin`), a
//! connection is one task (`socket`) that reads frames (`inbound`), hands them to its consumer
//! (`consumer`) and writes what its queue holds; all of them are known to the `registry`, whose one
//! sweep keeps their time (`pulse`).
//!
//! Not here: rules (`chat`), the order of events (`hub`), what a frame says (`dialect`).
//! Bounded by: the server's places for connections; each connection by `SocketLimits` and its queue.

pub mod close;
mod consumer;
pub mod dialect;
mod inbound;
mod online;
mod outbound;
mod pace;
mod pulse;
mod registry;
mod signin;
mod single;
mod socket;
mod work;

use std::{marker::PhantomData, sync::Arc};

use poem::{
    Endpoint, Request, Response, Result,
    http::{StatusCode, header},
};

pub use self::{
    consumer::{Connection, Consumer, Reply, World},
    registry::Registry,
    signin::{Credential, Handshake, Origins, SignInRefused},
    single::{SecondConnection, Singles},
};
use self::{signin::Refusal, socket::Socket, work::Work};
use crate::server::UpgradeSlot;

/// What one connection may do.
#[derive(Debug, Clone, Copy)]
pub struct SocketLimits {
    /// A message's size; beyond it 1009.
    pub frame_bytes_max: usize,
    /// The pace of frames; 0 is no limit.
    pub frames_per_second: u32,
    /// Pages of history; 0 is no limit.
    pub history_per_minute: u32,
    /// A socket ends with its access token, not only with its session.
    pub ends_with_token: bool,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 64 << 10,
            frames_per_second: 30,
            history_per_minute: 60,
            ends_with_token: false,
        }
    }
}

/// All that the sockets of a node share.
pub struct Sockets<W> {
    /// What their consumers work on.
    pub world: Arc<W>,
    /// Who is connected.
    pub registry: Arc<Registry>,
    /// What each may do.
    pub limits: SocketLimits,
    /// Which pages may connect.
    pub origins: Origins,
}

impl<W: World> Sockets<W> {
    /// The endpoint of a dialect: accepts handshakes, and serves each connection with a consumer
    /// of its own.
    pub fn endpoint<C: Consumer<World = W>>(self: &Arc<Self>) -> SocketEndpoint<C> {
        SocketEndpoint {
            sockets: self.clone(),
            consumer: PhantomData,
        }
    }
}

/// Where a dialect's connections come in.
pub struct SocketEndpoint<C: Consumer> {
    sockets: Arc<Sockets<C::World>>,
    consumer: PhantomData<fn() -> C>,
}

impl<C: Consumer> Endpoint for SocketEndpoint<C> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        Ok(self.upgrade(&request).unwrap_or_else(|refusal| *refusal))
    }
}

impl<C: Consumer> SocketEndpoint<C> {
    fn upgrade(&self, request: &Request) -> std::result::Result<Response, Refusal> {
        let (handshake, accepted) = signin::shake(request, &self.sockets.origins)?;
        let Some(slot) = request.extensions().get::<UpgradeSlot>() else {
            let detail = "This server doesn't hand connections over.";
            return Err(signin::refusal(
                request,
                &self.sockets.origins,
                StatusCode::NOT_IMPLEMENTED,
                detail,
            ));
        };
        let Some(registration) = self
            .sockets
            .registry
            .register(C::SIGNED_OUT, self.sockets.limits.frame_bytes_max)
        else {
            let detail = "The service restarts.";
            let mut refusal = signin::refusal(
                request,
                &self.sockets.origins,
                StatusCode::SERVICE_UNAVAILABLE,
                detail,
            );
            let retry_after = header::HeaderValue::from_static("5");
            refusal
                .headers_mut()
                .insert(header::RETRY_AFTER, retry_after);
            return Err(refusal);
        };
        let sockets = self.sockets.clone();
        slot.fill(move |stream, ahead| {
            let work = Work::<C>::connect(sockets.clone(), registration.entry().clone(), handshake);
            tokio::spawn(Socket::new(stream, &ahead, registration, work));
        });
        Ok(accepted)
    }
}
