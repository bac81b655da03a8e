//! The limit: the least that a server on tokio can do for the loads that Tertulia is measured by.
//!
//! It shakes hands on any path, sends every text frame that a connection sends to all connections of
//! the same path, and answers any other request with a fixed page. It knows no users, stores nothing
//! and checks nothing. What it does cost is what every server on tokio pays: system calls and wakes.
//!
//! Relies on: clients that behave. Bounded by: `QUEUE_FRAMES_MAX` (`room.rs`), `HEAD_BYTES_MAX` and
//! `FRAME_BYTES_MAX`; who goes beyond them is cut off.

mod connection;
mod frame;
mod http;
mod room;

use std::{io, net::SocketAddr, sync::Arc};

use clap::Parser;
use tokio::net::TcpListener;

use crate::{connection::Connection, http::Page, room::Rooms};

/// The allocator of the service, so that the two differ by what they do and not by whom they ask.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves the limit: fan-out, handshakes and one fixed page.
#[derive(Parser)]
#[command(version)]
struct Limit {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8100")]
    bind: SocketAddr,

    /// Bytes of the body that every GET is answered with: a page of 50 messages has about 16 KiB.
    #[arg(long, default_value_t = 16 * 1024)]
    page_bytes: usize,

    /// Threads that serve. One needs no work-stealing, and is cheapest on one core.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn main() -> io::Result<()> {
    let limit = Limit::parse();
    let mut runtime = match limit.threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    runtime.enable_all().build()?.block_on(serve(limit))
}

async fn serve(limit: Limit) -> io::Result<()> {
    let rooms = Arc::new(Rooms::default());
    let page = Page::of(limit.page_bytes);
    let listener = TcpListener::bind(limit.bind).await?;
    println!("limit on http://{}", listener.local_addr()?);
    // In a task of its own: what `block_on` itself runs is woken through the driver, at a cost.
    tokio::spawn(accept(listener, rooms, page)).await?
}

async fn accept(listener: TcpListener, rooms: Arc<Rooms>, page: Page) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = Connection::new(stream, Arc::clone(&rooms), page.clone());
        // An error ends that connection; it has nobody to tell.
        tokio::spawn(async move { drop(connection.run().await) });
    }
}
