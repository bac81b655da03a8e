//! A kept connection to Redis: what becomes of it when Redis goes, pauses, refuses and comes back.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use redis::{PushInfo, PushKind, pipe};

use tertulia::redis::{Address, Link, LinkError};

use crate::support::{PATIENCE, redis::TestRedis};

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(came.is_ok(), "waited in vain: {what}");
}

fn address(redis: &TestRedis) -> Address {
    redis.url().parse().expect("an address")
}

async fn pings(link: &Link) -> Result<String, LinkError> {
    let mut commands = pipe();
    commands.cmd("PING");
    let answers: Result<Vec<String>, _> = link.run(&commands, PATIENCE).await;
    answers.map(|mut answers| answers.remove(0))
}

#[tokio::test]
async fn a_link_outlives_its_redis_and_refuses_at_once_meanwhile() {
    let Some(mut redis) = TestRedis::start() else {
        return;
    };
    let link = Link::open(address(&redis), None).await;
    assert_eq!(pings(&link).await.unwrap(), "PONG");
    for _ in 0..2 {
        redis.dies();
        until("it notices", || !link.is_up()).await;
        let refused = pings(&link).await;
        assert!(matches!(refused, Err(LinkError::Away(_))), "{refused:?}");
        let made = *link.made().borrow();
        redis.starts();
        until("it is back", || link.is_up()).await;
        assert_eq!(pings(&link).await.unwrap(), "PONG");
        assert!(
            *link.made().borrow() > made,
            "and says that it is a new one"
        );
    }
}

#[tokio::test]
async fn a_link_that_begins_without_a_redis_finds_it_later() {
    let Some(mut redis) = TestRedis::start() else {
        return;
    };
    redis.dies();
    let link = Link::open(address(&redis), None).await;
    assert!(!link.is_up());
    redis.starts();
    until("it comes", || link.is_up()).await;
}

#[tokio::test]
async fn a_redis_that_is_paused_is_away_until_it_answers_again() {
    let Some(redis) = TestRedis::start() else {
        return;
    };
    let link = Link::open(address(&redis), None).await;
    let process = redis.process_id().unwrap().to_string();
    let signal = |name: &str| {
        let sent = std::process::Command::new("kill")
            .args([name, &process])
            .status();
        assert!(sent.unwrap().success());
    };
    signal("-STOP");
    let mut commands = pipe();
    commands.cmd("PING");
    let late = link.run::<()>(&commands, Duration::from_millis(20)).await;
    assert!(matches!(late, Err(LinkError::Away(_))), "{late:?}");
    assert!(!link.is_up(), "nobody waits for it again");
    signal("-CONT");
    until("it is back", || link.is_up()).await;
    assert_eq!(pings(&link).await.unwrap(), "PONG");
}

#[tokio::test]
async fn what_redis_refuses_is_told_and_the_connection_stays() {
    let Some(redis) = TestRedis::start() else {
        return;
    };
    let link = Link::open(address(&redis), None).await;
    let mut wrong = pipe();
    wrong
        .cmd("SET")
        .arg("word")
        .arg("x")
        .cmd("INCR")
        .arg("word");
    let refused = link.run::<()>(&wrong, PATIENCE).await;
    assert!(matches!(refused, Err(LinkError::Refused(_))), "{refused:?}");
    assert_eq!(pings(&link).await.unwrap(), "PONG");
    assert_eq!(*link.made().borrow(), 1);
}

#[tokio::test]
async fn what_is_pushed_is_heard_also_over_the_socket_of_the_file_system() {
    let Some(redis) = TestRedis::start() else {
        return;
    };
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let on_push = Arc::new(move |push: PushInfo| {
        if push.kind == PushKind::Message {
            hears.lock().push(push.data);
        }
    });
    let unix = format!("unix://{}?db=1", redis.unix_socket().display());
    let link = Link::open(unix.parse().unwrap(), Some(on_push)).await;
    link.connection().unwrap().subscribe("news").await.unwrap();
    let speaks = Link::open(address(&redis), None).await;
    let mut commands = pipe();
    commands.cmd("PUBLISH").arg("news").arg(b"\xff\x00");
    assert_eq!(
        speaks.run::<Vec<i64>>(&commands, PATIENCE).await.unwrap(),
        [1]
    );
    until("it comes", || !heard.lock().is_empty()).await;
    assert_eq!(
        heard.lock()[0][1],
        redis::Value::BulkString(b"\xff\x00".to_vec())
    );
}

#[tokio::test]
async fn a_sentinel_is_asked_where_the_master_is() {
    let Some(redis) = TestRedis::start() else {
        return;
    };
    let Some(sentinel) = TestRedis::start_sentinel(&redis, "chat") else {
        return;
    };
    let place = sentinel
        .url()
        .trim_start_matches("redis://")
        .trim_end_matches("/0")
        .to_owned();
    let address = format!("redis://{place}/0?master=chat");
    let link = Link::open(address.parse().unwrap(), None).await;
    assert_eq!(pings(&link).await.unwrap(), "PONG");
    let unknown = format!("redis://{place}/0?master=nobody");
    let link = Link::open(unknown.parse().unwrap(), None).await;
    assert!(!link.is_up());
}
