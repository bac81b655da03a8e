//! Requests: one URL, again and again, over connections that are kept.

use std::{
    cell::RefCell,
    convert::Infallible,
    rc::Rc,
    time::{Duration, Instant},
};

use super::{
    Run,
    crowd::Crowd,
    error::LoadError,
    fill,
    http::{Http, Request},
    latency::Latency,
    meter::Meter,
    progress::Progress,
    report::{Report, micros_each},
};

const WARM_UP: Duration = Duration::from_secs(1);
/// A page of messages at its default size, full.
const PAGE_MESSAGES: u64 = 50;

/// Ask for one URL again and again; by default for a page of 50 messages
#[derive(clap::Args, Debug)]
pub(super) struct Rest {
    /// What to ask for, such as /api/chats/1/messages/?before=500; else the only page of a new chat
    path: Option<String>,
    /// The id of the user who asks; without it, nobody does
    #[arg(long, value_name = "ID", requires = "path")]
    user: Option<u64>,
    /// Connections, each with a request on its way
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// How long to measure
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    seconds: u64,
}

#[derive(Default)]
struct Tally {
    requests: u64,
    body_bytes: u64,
    latency: Latency,
}

impl Rest {
    pub(super) async fn run(&self, run: &Run) -> Result<Report, LoadError> {
        run.allow_open_files(self.connections.into())?;
        let (path, user) = match &self.path {
            Some(path) => (path.clone(), self.user),
            None if run.target.is_limit => ("/".to_owned(), None),
            None => {
                let filled = fill::fill(run, PAGE_MESSAGES, fill::TEXT_BYTES).await?;
                (
                    format!("/api/chats/{}/messages/", filled.chat),
                    Some(filled.user),
                )
            }
        };
        let token = user
            .map(|user| run.people.signer()?.token(user))
            .transpose()?;
        let request = Rc::new(Request::get(&run.target, &path, token.as_deref()));
        let tally = Rc::new(RefCell::new(Tally::default()));
        let mut crowd = Crowd::default();
        for number in 0..self.connections.into() {
            let http = Http::connect(&run.target, number).await?;
            crowd.add(ask(http, Rc::clone(&request), Rc::clone(&tally)));
        }
        let cpu = || run.meter.as_ref().and_then(Meter::cpu);
        crowd.until(Progress::wait("warming up", WARM_UP)).await?;
        let (cpu_before, started) = (cpu(), Instant::now());
        tally.take();
        crowd
            .until(Progress::wait(
                "measuring",
                Duration::from_secs(self.seconds),
            ))
            .await?;
        let (cpu_after, took) = (cpu(), started.elapsed().as_secs_f64());
        let tally = tally.take();

        let cpu = cpu_after
            .zip(cpu_before)
            .map(|(after, before)| after.saturating_sub(before));
        Ok(Report::of("rest", run.target.is_limit)
            .with("path", path)
            .with("connections", self.connections)
            .with_number("requests_per_second", tally.requests as f64 / took)
            .with_number(
                "server_cpu_us_per_request",
                micros_each(cpu, tally.requests),
            )
            .with_number(
                "body_bytes",
                tally.body_bytes as f64 / tally.requests.max(1) as f64,
            )
            .with_latency("answer", &tally.latency)
            .with_number(
                "server_rss_mib",
                run.meter.as_ref().and_then(Meter::rss_mib),
            ))
    }
}

async fn ask(
    mut http: Http,
    request: Rc<Request>,
    tally: Rc<RefCell<Tally>>,
) -> Result<Infallible, LoadError> {
    loop {
        let asked = Instant::now();
        let body = http.request(&request).await?;
        let mut tally = tally.borrow_mut();
        tally.requests += 1;
        tally.body_bytes += body.len() as u64;
        tally.latency.record(asked.elapsed());
    }
}
