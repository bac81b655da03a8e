//! The server beneath REST and sockets: clients that are slow, half, or too many, and its end.

use std::time::Duration;

use tertulia::server::{Server, ServerLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::wire::*;

fn limits(change: impl FnOnce(&mut ServerLimits)) -> Plan {
    let mut plan = Plan::default();
    change(&mut plan.server);
    plan
}

#[tokio::test]
async fn half_a_head_is_answered_408() {
    let plan = limits(|limits| limits.head_deadline = Duration::from_millis(100));
    let theatre = Theatre::build(plan).await;
    for half in ["", "G", "GET /slow HTTP/1.1\r\nHost: chat.test\r\nX-Half: "] {
        let mut peer = Peer::connect(theatre.address).await;
        let answer = peer.asks(half).await;
        assert_eq!(answer.status, 408, "{half}");
        assert!(answer.body.contains("took too long"));
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(peer.hears().await, None);
    }
    theatre.stop().await;
}

#[tokio::test]
async fn a_connection_kept_for_another_request_ends_without_a_word_but_half_of_one_gets_408() {
    let plan = limits(|limits| limits.head_deadline = Duration::from_millis(200));
    let theatre = Theatre::build(plan).await;
    let request = "GET /slow HTTP/1.1\r\nHost: chat.test\r\n\r\n";
    let mut kept = Peer::connect(theatre.address).await;
    assert_eq!(kept.asks(request).await.body, "done");
    assert_eq!(kept.asks(request).await.body, "done");
    let mut rest = Vec::new();
    kept.socket.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "{rest:?}");

    let mut half = Peer::connect(theatre.address).await;
    assert_eq!(half.asks(request).await.body, "done");
    assert_eq!(half.asks(&request[..20]).await.status, 408);
    drop(half);
    theatre.stop().await;
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let theatre = Theatre::start().await;
    let mut peer = Peer::connect(theatre.address).await;
    let head = format!("GET /slow HTTP/1.1\r\nX-Long: {}", "x".repeat(40_000));
    assert_eq!(peer.asks(&head).await.status, 431);
    drop(peer);

    let mut peer = Peer::connect(theatre.address).await;
    let lines = (0..200)
        .map(|n| format!("X-{n}: 1\r\n"))
        .collect::<String>();
    let answer = peer.asks(&handshake("/echo", &lines)).await;
    assert_eq!(answer.status, 431);
    theatre.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_without_end() {
    let plan = limits(|limits| limits.stall_deadline = Duration::from_millis(100));
    let theatre = Theatre::build(plan).await;
    let mut peer = Peer::connect(theatre.address).await;
    peer.sends(b"GET /slow?60000 HTTP/1.1\r\nHost: chat.test\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    assert_eq!(peer.hears().await, None);
    theatre.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_answered_503_and_has_its_place_when_another_ends() {
    let theatre = Theatre::build(limits(|limits| limits.connections_max = 2)).await;
    let first = theatre.enters().await;
    let mut second = Peer::connect(theatre.address).await;
    let request = "GET /slow HTTP/1.1\r\nHost: chat.test\r\n\r\n";
    assert_eq!(second.asks(request).await.body, "done");
    for _ in 0..3 {
        let mut third = Peer::connect(theatre.address).await;
        let answer = third.asks(request).await;
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (503, Some("5"))
        );
    }
    // A socket that was taken over holds its place until it is closed, and then no longer.
    first.leaves().await;
    theatre.is_empty().await;
    let third = theatre.enters().await;
    third.leaves().await;
    drop(second);
    theatre.stop().await;
}

#[tokio::test]
async fn a_panic_in_an_endpoint_costs_one_request() {
    let theatre = Theatre::start().await;
    let mut peer = Peer::connect(theatre.address).await;
    let answer = peer
        .asks("GET /panic HTTP/1.1\r\nHost: chat.test\r\n\r\n")
        .await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (500, r#"{"detail":"Internal server error"}"#)
    );
    let answer = peer
        .asks("GET /slow HTTP/1.1\r\nHost: chat.test\r\n\r\n")
        .await;
    assert_eq!(answer.body, "done");
    drop(peer);
    theatre.stop().await;
}

#[tokio::test]
async fn a_request_in_flight_is_finished_when_the_server_stops() {
    let theatre = Theatre::start().await;
    let mut busy = Peer::connect(theatre.address).await;
    busy.sends(b"GET /slow?200 HTTP/1.1\r\nHost: chat.test\r\n\r\n")
        .await;
    let mut idle = Peer::connect(theatre.address).await;
    let answer = idle
        .asks("GET /slow HTTP/1.1\r\nHost: chat.test\r\n\r\n")
        .await;
    assert_eq!(answer.body, "done");
    let address = theatre.address;
    theatre.shutdown.cancel();
    let answer = busy.answer().await;
    assert_eq!(answer.body, "done");
    assert_eq!(busy.hears().await, None);
    assert_eq!(idle.hears().await, None);
    theatre.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_request_that_takes_longer_than_the_drain_is_given_up() {
    let theatre = Theatre::build(limits(|limits| limits.drain = Duration::from_millis(50))).await;
    let mut endless = Peer::connect(theatre.address).await;
    endless
        .sends(b"GET /slow?600000 HTTP/1.1\r\nHost: chat.test\r\n\r\n")
        .await;
    let mut served = Peer::connect(theatre.address).await;
    let answer = served
        .asks("GET /slow HTTP/1.1\r\nHost: chat.test\r\n\r\n")
        .await;
    assert_eq!(answer.status, 200);
    theatre.stop().await;
    assert_eq!(endless.hears().await, None);
}

#[tokio::test]
async fn it_listens_on_several_addresses_and_takes_over_a_dead_servers_socket_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tertulia.sock");
    // A server that died left this behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let unix = format!("unix:{}", path.display());
    let bind = [unix.as_str(), "127.0.0.1:0"];
    let server = Server::bind(bind, ServerLimits::default()).await.unwrap();
    let addresses = server.local_addrs();
    assert_eq!(addresses.len(), 2);

    let shutdown = CancellationToken::new();
    let hello = poem::endpoint::make_sync(|_| "hello");
    let serving = tokio::spawn(server.serve(hello, shutdown.clone()));
    let second = Server::bind([&unix], ServerLimits::default()).await;
    assert!(second.is_err_and(|error| error.to_string().contains("tertulia.sock")));

    let mut client = tokio::net::UnixStream::connect(&path).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: chat.test\r\nConnection: close\r\n\r\n";
    client.write_all(request).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"),
        "{answer}"
    );
    let tcp = *addresses[1].as_socket_addr().unwrap();
    let mut peer = Peer::connect(tcp).await;
    assert_eq!(
        peer.asks("GET / HTTP/1.1\r\nHost: chat.test\r\n\r\n")
            .await
            .body,
        "hello"
    );
    drop(peer);
    shutdown.cancel();
    serving.await.unwrap();
    assert!(!path.exists());
}
