//! `serve`: starts the service, and stops it when it is told to.

use std::{io, pin::pin};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Outcome;
use crate::{
    logging,
    service::Service,
    settings::{Settings, descriptors, environment},
};

/// As shells tell that SIGINT ended a program.
const EXIT_TOLD_TWICE: i32 = 130;

pub(super) async fn run(settings: Settings) -> Outcome {
    logging::start(&settings.logging);
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for warning in environment::unknown_variables(names) {
        warn!("{warning}");
    }
    for warning in settings.warnings() {
        warn!("{warning}");
    }
    descriptors::raise_limit();

    let mut signals = Signals::listen()?;
    let service = tokio::select! {
        service = Service::start(settings) => service?,
        name = signals.next() => {
            info!("{name} before the service had started");
            return Ok(());
        }
    };
    for address in service.local_addrs() {
        match address.as_socket_addr() {
            Some(address) => {
                info!(%address, "listening on http://{address}, see http://{address}/swagger/")
            }
            None => info!(%address, "listening on {address}"),
        }
    }
    let stop = CancellationToken::new();
    let mut serving = pin!(service.run_until(stop.clone().cancelled_owned()));
    loop {
        tokio::select! {
            () = &mut serving => return Ok(()),
            name = signals.next() => {
                if stop.is_cancelled() {
                    warn!("{name} again: ending at once");
                    std::process::exit(EXIT_TOLD_TWICE);
                }
                info!("{name}: stopping; another one ends it at once");
                stop.cancel();
            }
        }
    }
}

/// What tells the process to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self {
            terminate,
            interrupt,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
