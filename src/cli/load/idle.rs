//! Many connections that do nothing: what each of them holds, and what they cost meanwhile.

use std::time::{Duration, Instant};

use super::{
    Run,
    error::LoadError,
    known::Known,
    meter::Meter,
    progress::Progress,
    report::Report,
    talk::{Manner, Talk},
};

const MEMBERS: usize = 10;

/// Many connections, in chats of ten, that say nothing
#[derive(clap::Args, Debug)]
pub(super) struct Idle {
    /// Connections. With --tokens, one for each of them, all in one chat
    #[arg(long, value_name = "N", default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(10..=500_000))]
    #[arg(conflicts_with = "tokens")]
    connections: u32,
    /// How long to watch them
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    seconds: u64,
    #[command(flatten)]
    known: Known,
}

impl Idle {
    pub(super) async fn run(&self, run: &Run) -> Result<Report, LoadError> {
        let known = self.known.chat()?;
        let chats = self.connections as usize / MEMBERS;
        let connections = known
            .as_ref()
            .map_or(chats * MEMBERS, |chat| chat.seats.len());
        run.allow_open_files(connections)?;
        let meter = run.meter.as_ref();
        // Before the chats are made: what remains of that is counted as the connections' too.
        let rss_before = meter.and_then(Meter::rss_bytes);
        let met = match known {
            Some(chat) => vec![chat],
            None => run.people.meet(&run.target, chats, MEMBERS).await?,
        };
        let rss_with_chats = meter.and_then(Meter::rss_bytes);
        let manner = Manner {
            senders: 0,
            in_flight: 0,
            waits_for_all: false,
            text_bytes: 0,
            messages: 0,
        };
        let talk = Talk::new(&run.target, met, manner);
        let mut crowd = talk.join().await?;
        crowd.until(talk.is_quiet()).await?;

        let rss = meter.and_then(Meter::rss_bytes);
        let (cpu, started) = (meter.and_then(Meter::cpu), Instant::now());
        crowd
            .until(Progress::wait(
                "watching",
                Duration::from_secs(self.seconds),
            ))
            .await?;
        let (cpu_after, took) = (meter.and_then(Meter::cpu), started.elapsed());

        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let kib_each = |(after, before): (u64, u64)| {
            after.saturating_sub(before) as f64 / 1024.0 / connections as f64
        };
        let idle_cpu = cpu_after
            .zip(cpu)
            .map(|(after, before)| after.saturating_sub(before));
        Ok(Report::of("idle", run.target.is_limit)
            .with("connections", connections)
            .with_number("server_rss_before_mib", rss_before.map(mib))
            .with_number("server_rss_mib", rss.map(mib))
            .with_number("rss_kib_per_connection", rss.zip(rss_before).map(kib_each))
            .with_number(
                "rss_kib_per_connection_after_chats",
                rss.zip(rss_with_chats).map(kib_each),
            )
            .with_number(
                "idle_cpu_share",
                idle_cpu.map(|cpu| cpu.as_secs_f64() / took.as_secs_f64()),
            ))
    }
}
