//! TLS: the same service, its certificate renewed while it serves, and clients who speak something else.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use poem::{Route, endpoint::make_sync};
use serde_json::{Value, json};
use tertulia::{
    metrics,
    server::{Server as HttpServer, ServerLimits, Tls},
};
use test_database::TestDatabase;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest},
};
use tokio_util::sync::CancellationToken;

use crate::support::{
    Person, Request, Server, binary::Binary, redis::TestRedis, tls_vector, until, within,
};

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(tls_vector(name)).expect("a certificate")
}

/// TLS with whoever listens, over a network that holds little.
async fn connects(to: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate("ca.pem")).expect("an authority");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let tcp = socket.connect(to).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    within("a TLS handshake", connecting).await
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let chain = stream.get_ref().1.peer_certificates();
    chain.expect("a certificate")[0].clone().into_owned()
}

async fn asks(stream: &mut TlsStream<TcpStream>, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    within("an answer", stream.read_to_end(&mut answer))
        .await
        .expect("a whole answer");
    String::from_utf8(answer).expect("text")
}

async fn gets(to: SocketAddr, person: &Person, target: &str) -> Value {
    let access = &person.access;
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {access}\r\n\r\n"
    );
    let answer = asks(&mut connects(to).await.expect("TLS"), &request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}

/// A service without TLS, and one of the same database with it.
async fn both() -> [Server; 2] {
    let plain = Server::start_with(|settings| settings.limits.messages_per_minute = 0).await;
    let secured = plain.beside_with(|settings| {
        settings.limits.messages_per_minute = 0;
        settings.listening.tls_cert = Some(tls_vector("one.pem"));
        settings.listening.tls_key = Some(tls_vector("one.key"));
    });
    let secured = secured.await;
    [plain, secured]
}

#[tokio::test]
async fn rest_and_its_links_go_over_tls() {
    let [plain, secured] = both().await;
    let [anna, _boris] = plain.users(["anna", "boris"]).await;
    let users = gets(secured.address(), &anna, "/api/users/?page_size=1").await;
    let next = users["next"].as_str().expect("a next page");
    assert!(next.starts_with("https://localhost/"), "{next}");

    let mut tcp = TcpStream::connect(secured.address())
        .await
        .expect("a socket");
    tcp.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = Vec::new();
    let _reset = within("the end", tcp.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[tokio::test]
async fn a_socket_over_tls_hears_everything_though_it_reads_late() {
    let [plain, secured] = both().await;
    let anna = plain.user("anna").await;
    let trip = anna.creates_group("trip", []).await;
    let stream = connects(secured.address()).await.expect("TLS");
    let url = format!("wss://localhost/ws/chat/{trip}/?token={}", anna.access);
    let handshake = client_async(url.into_client_request().expect("a URL"), stream);
    let (mut socket, _) = within("a handshake", handshake).await.expect("a socket");
    // What was said before it is history.
    let hello = within("the hello", socket.next()).await.expect("a frame");
    assert!(
        hello
            .expect("a text")
            .to_text()
            .expect("a text")
            .contains("connection_established")
    );

    // More than the network holds, less than a queue may.
    let secured_anna = anna.at(plain.address());
    let long = "\u{1f680}".repeat(990);
    for number in 0..100 {
        secured_anna.says(&trip, &format!("{number} {long}")).await;
    }
    let mut next = 0;
    while next < 100 {
        let frame = within("a frame", socket.next())
            .await
            .expect("more")
            .expect("a frame");
        let Message::Text(text) = frame else { continue };
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        if frame["type"] == "message" {
            let text = frame["data"]["text"].as_str().expect("a text");
            assert!(text.starts_with(&format!("{next} ")), "{next}: {text}");
            next += 1;
        }
    }
    socket
        .send(Message::text(json!({"type": "ping"}).to_string()))
        .await
        .expect("sent");
    let pong = within("the pong", socket.next())
        .await
        .expect("more")
        .expect("a frame");
    assert_eq!(pong.to_text().expect("text"), r#"{"type":"pong"}"#);
    socket.close(None).await.expect("a goodbye");
    while let Some(Ok(_)) = within("the end", socket.next()).await {}
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_those_who_come_then() {
    let dir = tempfile::tempdir().expect("a directory");
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let put = |name: &str| {
        std::fs::copy(tls_vector(&format!("{name}.pem")), &cert).expect("a copy");
        std::fs::copy(tls_vector(&format!("{name}.key")), &key).expect("a copy");
    };
    put("one");
    let tls = Tls::open(&cert, &key).expect("a certificate");
    let limits = ServerLimits {
        head_deadline: Duration::from_secs(5),
        ..ServerLimits::default()
    };
    let server = HttpServer::bind(["127.0.0.1:0"], limits)
        .await
        .expect("a port");
    let server = server.secured_by(Some(tls.clone()));
    let to = *server.local_addrs()[0].as_socket_addr().expect("a port");
    let stop = CancellationToken::new();
    let route = Route::new().at("/", make_sync(|_| "well"));
    let serving = tokio::spawn(server.serve(route, stop.clone()));

    let mut early = connects(to).await.expect("TLS");
    assert_eq!(shown(&early), certificate("one.pem"));
    put("two");
    tls.reload().expect("the second one");
    assert_eq!(
        shown(&connects(to).await.expect("TLS")),
        certificate("two.pem")
    );
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(asks(&mut early, request).await.ends_with("well"));

    std::fs::copy(tls_vector("one.key"), &key).expect("a copy");
    assert!(tls.reload().is_err(), "of another certificate");
    std::fs::write(&cert, "half a cert").expect("written");
    assert!(tls.reload().is_err(), "none at all");
    assert_eq!(
        shown(&connects(to).await.expect("TLS")),
        certificate("two.pem")
    );

    let refused = metrics::HTTP_REFUSED.of("tls");
    let before = refused.get();
    let mut silent = TcpStream::connect(to).await.expect("a socket");
    let ended = within("the end", silent.read(&mut [0; 16])).await;
    assert_eq!(ended.expect("an end"), 0);
    until("it to be counted", || async {
        (refused.get() > before).then_some(())
    })
    .await;
    stop.cancel();
    serving.await.expect("an end");
}

#[tokio::test]
async fn nodes_hear_each_other_over_a_redis_that_speaks_tls() {
    let Some((_redis, url)) = TestRedis::start_with_tls() else {
        return;
    };
    let database = TestDatabase::new();
    let uploads = tempfile::tempdir().expect("a directory");
    let options = [
        ["--database-url", database.url()],
        ["--layer-url", &url],
        ["--uploads-dir", &uploads.path().display().to_string()],
    ];
    let here = Binary::serves(options.as_flattened()).await;
    let there = Binary::serves(options.as_flattened()).await;
    let [anna, boris] = here.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut boriss = boris.at(there.address()).joins(&trip).await;
    // Typing goes through Redis alone: the database tells nobody of it.
    let mut annas = anna.joins(&trip).await;
    annas.types(true).await;
    assert_eq!(boriss.hears("typing").await["user_id"], anna.id);
    for node in [&here, &there] {
        let ready = Request::new("GET", "/readyz").send(node.address()).await;
        assert_eq!(ready.expect(200)["checks"]["layer"], "ok");
    }
}
