//! Log lines: to the standard error, for people on a terminal, one JSON object each otherwise.

use std::io::{self, IsTerminal};

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::settings::{LogFormat, Logging};

/// Starts logging for the whole process. Later calls change nothing.
pub fn start(logging: &Logging) {
    let is_terminal = io::stderr().is_terminal();
    let format = logging.log_format.unwrap_or(match is_terminal {
        true => LogFormat::Pretty,
        false => LogFormat::Json,
    });
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match format {
        LogFormat::Pretty => lines.with_ansi(is_terminal).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let filter = EnvFilter::new(&logging.log).and(filter_fn(may_be_told));
    // An error means that this process logs already, as when tests share one.
    let _already_started = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
}

/// What is said is never logged, whatever the filter asks for: the parser of WebSocket frames traces them whole.
fn may_be_told(line: &Metadata<'_>) -> bool {
    !(line.target().starts_with("tungstenite") && *line.level() == Level::TRACE)
}
