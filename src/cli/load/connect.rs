//! Connecting: as fast as the server can, then at half of that rate.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep_until;

use super::{
    Run,
    crowd::join,
    error::LoadError,
    known::Known,
    latency::Latency,
    meter::Meter,
    people::Seat,
    progress::Progress,
    report::{Report, micros_each},
    socket::Socket,
};

const MEMBERS: usize = 10;
/// Connections that are closed at a time.
const CLOSING_AT_A_TIME: usize = 256;

/// Connect as fast as the server can, then at half of that rate
#[derive(clap::Args, Debug)]
pub(super) struct Connect {
    /// Connections that are made, and held, in a round; closing them isn't measured. With --tokens, one for each
    /// of them, all in one chat
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    #[arg(conflicts_with = "tokens")]
    connections: u32,
    /// Connections being made at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    at_a_time: u16,
    /// How long to measure, at each of the two rates
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    seconds: u64,
    #[command(flatten)]
    known: Known,
}

/// What a rate has brought.
#[derive(Default)]
struct Sample {
    handshakes: u64,
    took: Duration,
    cpu: Option<Duration>,
    latency: Latency,
}

impl Connect {
    pub(super) async fn run(&self, run: &Run) -> Result<Report, LoadError> {
        let known = self.known.chat()?;
        let chats = self.connections as usize / MEMBERS;
        let connections = known
            .as_ref()
            .map_or(chats * MEMBERS, |chat| chat.seats.len());
        run.allow_open_files(connections)?;
        let met = match known {
            Some(chat) => vec![chat],
            None => run.people.meet(&run.target, chats, MEMBERS).await?,
        };
        let seats: Vec<Seat> = met.into_iter().flat_map(|chat| chat.seats).collect();
        // The first round warms up, and isn't counted.
        self.rounds("warming up", run, &seats, Duration::ZERO, None)
            .await?;
        let time = Duration::from_secs(self.seconds);
        let highest = self
            .rounds("at the highest rate", run, &seats, time, None)
            .await?;
        let half = self
            .rounds(
                "at half of it",
                run,
                &seats,
                time,
                Some(highest.rate() / 2.0),
            )
            .await?;
        Ok(Report::of("connect", run.target.is_limit)
            .with("connections", seats.len())
            .with("at_a_time", self.at_a_time)
            .with_number("handshakes_per_second", highest.rate())
            .with_number(
                "server_cpu_us_per_handshake",
                micros_each(highest.cpu, highest.handshakes),
            )
            .with_latency("highest_rate", &highest.latency)
            .with_number("half_handshakes_per_second", half.rate())
            .with_number(
                "half_server_cpu_us_per_handshake",
                micros_each(half.cpu, half.handshakes),
            )
            .with_latency("half_rate", &half.latency)
            .with_number(
                "server_rss_mib",
                run.meter.as_ref().and_then(Meter::rss_mib),
            ))
    }

    /// Connects all seats and closes them again, until the connecting has taken `time`.
    async fn rounds(
        &self,
        stage: &str,
        run: &Run,
        seats: &[Seat],
        time: Duration,
        rate: Option<f64>,
    ) -> Result<Sample, LoadError> {
        let mut sample = Sample {
            cpu: run.meter.as_ref().map(|_| Duration::ZERO),
            ..Sample::default()
        };
        loop {
            let progress = Progress::start(stage, seats.len());
            let cpu = || run.meter.as_ref().and_then(Meter::cpu);
            let (cpu_before, started) = (cpu(), Instant::now());
            let connecting = stream::iter(seats.iter().enumerate()).map(|(number, seat)| {
                connect(
                    run,
                    number,
                    seat,
                    rate.map(|rate| started + Duration::from_secs_f64(number as f64 / rate)),
                )
            });
            // At a given rate nobody waits for others.
            let at_a_time = if rate.is_some() {
                seats.len()
            } else {
                self.at_a_time.into()
            };
            let connected: Vec<(Socket, Duration)> = connecting
                .buffer_unordered(at_a_time)
                .inspect_ok(|_| progress.step())
                .try_collect()
                .await?;
            sample.took += started.elapsed();
            let cpu_spent = cpu()
                .zip(cpu_before)
                .map(|(after, before)| after.saturating_sub(before));
            sample.cpu = sample.cpu.zip(cpu_spent).map(|(sum, spent)| sum + spent);
            sample.handshakes += connected.len() as u64;
            connected
                .iter()
                .for_each(|(_, took)| sample.latency.record(*took));

            let closing = stream::iter(connected).map(|(socket, _)| socket.close());
            closing
                .buffer_unordered(CLOSING_AT_A_TIME)
                .collect::<()>()
                .await;
            if sample.took >= time {
                return Ok(sample);
            }
        }
    }
}

/// Connects, not before it is due. The time it takes begins then, however late its turn comes.
async fn connect(
    run: &Run,
    number: usize,
    seat: &Seat,
    due: Option<Instant>,
) -> Result<(Socket, Duration), LoadError> {
    if let Some(due) = due {
        sleep_until(due.into()).await;
    }
    let begun = due.unwrap_or_else(Instant::now);
    let (socket, _) = join(&run.target, number, seat, 0).await?;
    Ok((socket, begun.elapsed()))
}

impl Sample {
    fn rate(&self) -> f64 {
        self.handshakes as f64 / self.took.as_secs_f64()
    }
}
