//! `serve`: starts the service, and stops it when it is told to.

use std::{io, pin::pin};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Outcome;
use crate::{
    logging,
    server::Tls,
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
    let hangups = signal(SignalKind::hangup())?;
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
                let scheme = if service.tls().is_some() {
                    "https"
                } else {
                    "http"
                };
                info!(%address, "listening on {scheme}://{address}, see {scheme}://{address}/swagger/")
            }
            None => info!(%address, "listening on {address}"),
        }
    }
    for address in service.metrics_addrs() {
        match address.as_socket_addr() {
            Some(address) => info!(%address, "metrics are on http://{address}/metrics"),
            None => info!(%address, "metrics are on {address}"),
        }
    }
    until_told(service, signals, Some(hangups)).await;
    Ok(())
}

/// Serves until a signal comes, then drains; a second one ends the process at once. Where `hangups` come, they ask for the
/// certificate to be read anew.
pub(super) async fn until_told(
    service: Service,
    mut signals: Signals,
    mut hangups: Option<Signal>,
) {
    let tls = service.tls().cloned();
    let stop = CancellationToken::new();
    let mut serving = pin!(service.run_until(stop.clone().cancelled_owned()));
    loop {
        tokio::select! {
            () = &mut serving => return,
            () = hangup(&mut hangups) => renew(tls.as_deref()),
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

async fn hangup(hangups: &mut Option<Signal>) {
    match hangups {
        Some(hangups) => drop(hangups.recv().await),
        None => std::future::pending().await,
    }
}

/// Reads the certificate anew: it is renewed every few weeks, and a restart would cost everybody their socket.
fn renew(tls: Option<&Tls>) {
    match tls.map(Tls::reload) {
        None => info!("SIGHUP: there is no certificate to read anew"),
        Some(Ok(())) => info!("SIGHUP: certificate and key were read anew"),
        Some(Err(error)) => {
            warn!("SIGHUP: certificate and key stay as they were: {error}");
        }
    }
}

/// What tells the process to stop.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self {
            terminate,
            interrupt,
        })
    }

    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
