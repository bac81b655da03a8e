//! Log lines: to the standard error, for people on a terminal, one JSON object each otherwise.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

use crate::settings::{LogFormat, Logging};

/// Starts logging for the whole process. Later calls change nothing.
pub fn start(logging: &Logging) {
    let is_terminal = io::stderr().is_terminal();
    let format = logging.log_format.unwrap_or(match is_terminal {
        true => LogFormat::Pretty,
        false => LogFormat::Json,
    });
    let lines = fmt()
        .with_env_filter(EnvFilter::new(&logging.log))
        .with_writer(io::stderr);
    // An error means that this process logs already, as when tests share one.
    let _already_started = match format {
        LogFormat::Pretty => lines.with_ansi(is_terminal).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
