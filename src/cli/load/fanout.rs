//! Fan-out: few send, many hear.

use std::time::Duration;

use super::{
    Run,
    dialect::Dialect,
    error::LoadError,
    known::Known,
    report::Report,
    talk::{Manner, Talk},
};

/// Few send into one chat, and many hear it
#[derive(clap::Args, Debug)]
pub(super) struct Fanout {
    /// Members of the chat; each hears every message. With --tokens, one for each of them
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=1000))]
    #[arg(conflicts_with = "tokens")]
    receivers: u16,
    /// How many of them send
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    senders: u16,
    /// What all but the first member hear it in
    #[arg(long, value_name = "DIALECT", value_enum, default_value_t)]
    #[arg(conflicts_with = "tokens")]
    dialect: Dialect,
    /// Send the next message when all have the last one
    #[arg(long, conflicts_with = "in_flight")]
    lock_step: bool,
    /// Messages on their way at a time; each is so until all have it
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    in_flight: u16,
    /// Bytes of a message's text
    #[arg(long, value_name = "BYTES", default_value_t = 40)]
    text_bytes: usize,
    /// Bytes of a frame at the limit server: as many as the service's
    #[arg(long, value_name = "BYTES", default_value_t = 400)]
    frame_bytes: usize,
    /// How long to measure
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    seconds: u64,
    #[command(flatten)]
    known: Known,
}

impl Fanout {
    pub(super) async fn run(&self, run: &Run) -> Result<Report, LoadError> {
        let known = self.known.chat()?;
        let receivers = known
            .as_ref()
            .map_or(self.receivers.into(), |chat| chat.seats.len());
        let senders = usize::from(self.senders);
        if senders > receivers {
            return Err(LoadError::Arguments(
                "senders are receivers too: give at least as many receivers",
            ));
        }
        if senders > 1 && self.dialect != Dialect::Chat {
            return Err(LoadError::Arguments(
                "only the first member speaks where the others hear another dialect",
            ));
        }
        run.allow_open_files(receivers)?;
        let chats = match known {
            Some(chat) => vec![chat],
            None => {
                let people = &run.people;
                let met = people.meet_in(self.dialect, &run.target, 1, receivers);
                met.await?
            }
        };
        let in_flight = if self.lock_step { 1 } else { self.in_flight };
        let manner = Manner {
            senders,
            in_flight: usize::from(in_flight),
            waits_for_all: true,
            text_bytes: if run.target.is_limit {
                self.frame_bytes
            } else {
                self.text_bytes
            },
            messages: u64::MAX,
        };
        let talk = Talk::new(&run.target, chats, manner);
        let mut crowd = talk.join().await?;
        let report = Report::of("fanout", run.target.is_limit)
            .with("dialect", self.dialect.name())
            .with("receivers", receivers)
            .with("senders", self.senders)
            .with("in_flight", in_flight);
        talk.measure(
            &mut crowd,
            Duration::from_secs(self.seconds),
            run.meter.as_ref(),
            report,
        )
        .await
    }
}
