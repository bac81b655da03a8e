//! Many small chats at once: what counts is how many messages are committed.

use std::time::Duration;

use super::{
    Run,
    error::LoadError,
    report::Report,
    talk::{Manner, Talk},
};

/// Many small chats, in which everyone sends
#[derive(clap::Args, Debug)]
pub(super) struct Rooms {
    /// Chats
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    chats: u16,
    /// Members of each
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    members: u16,
    /// Messages on their way at a time, over all chats; each is so until its sender hears it back
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
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
}

impl Rooms {
    pub(super) async fn run(&self, run: &Run) -> Result<Report, LoadError> {
        let (chats, members) = (usize::from(self.chats), usize::from(self.members));
        run.allow_open_files(chats * members)?;
        let met = run.people.meet(&run.target, chats, members).await?;
        let manner = Manner {
            senders: members,
            in_flight: usize::from(self.in_flight),
            waits_for_all: false,
            text_bytes: if run.target.is_limit {
                self.frame_bytes
            } else {
                self.text_bytes
            },
            messages: u64::MAX,
        };
        let talk = Talk::new(&run.target, met, manner);
        let mut crowd = talk.join().await?;
        let report = Report::of("rooms", run.target.is_limit)
            .with("chats", self.chats)
            .with("members", self.members)
            .with("in_flight", self.in_flight);
        talk.measure(
            &mut crowd,
            Duration::from_secs(self.seconds),
            run.meter.as_ref(),
            report,
        )
        .await
    }
}
