//! A chat with so many messages, for `rest` to read.

use super::{
    Run,
    error::LoadError,
    report::Report,
    talk::{Manner, Talk},
};

/// Bytes of a text of which 50 make a page of about 16 KiB.
pub(super) const TEXT_BYTES: usize = 40;

/// Messages on their way at a time: fewer than wait for a slow reader before it is closed.
const IN_FLIGHT: usize = 200;

/// Fill a chat with messages, for `rest` to read; prints the chat, its user and a message in the middle
#[derive(clap::Args, Debug)]
pub(super) struct Fill {
    /// Messages
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    /// Bytes of a message's text
    #[arg(long, value_name = "BYTES", default_value_t = TEXT_BYTES)]
    text_bytes: usize,
}

/// A chat that has been filled by its only member.
pub(super) struct Filled {
    pub(super) chat: u64,
    pub(super) user: u64,
    /// The id of the message in the middle.
    pub(super) middle: Option<u64>,
}

impl Fill {
    pub(super) async fn run(&self, run: &Run) -> Result<Report, LoadError> {
        let filled = fill(run, self.messages, self.text_bytes).await?;
        Ok(Report::of("fill", run.target.is_limit)
            .with("chat", filled.chat)
            .with("user", filled.user)
            .with("messages", self.messages)
            .with("middle", filled.middle))
    }
}

pub(super) async fn fill(run: &Run, messages: u64, text_bytes: usize) -> Result<Filled, LoadError> {
    let met = run.people.meet(&run.target, 1, 1).await?;
    let (chat, user) = met.first().map_or((0, 0), |chat| (chat.id, chat.owner));
    let manner = Manner {
        senders: 1,
        in_flight: IN_FLIGHT,
        waits_for_all: false,
        text_bytes,
        messages,
    };
    let talk = Talk::new(&run.target, met, manner);
    let mut crowd = talk.join().await?;
    talk.say_all(&mut crowd).await?;
    Ok(Filled {
        chat,
        user,
        middle: talk.middle(),
    })
}
