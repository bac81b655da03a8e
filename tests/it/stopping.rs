//! The program stops and starts: told to, at once, and on a copy.

use serde_json::json;
use test_database::Kind;

use crate::support::{Heard, Person, Request, binary::Binary, look_around, person::texts, within};

#[tokio::test]
async fn a_stop_tells_every_socket_to_come_back_and_ends_well() {
    let mut binary = Binary::serves(&["--drain", "1s"]).await;
    let [anna, boris] = binary.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut phones = [anna.joins(&trip).await, boris.joins(&trip).await];
    anna.says(&trip, "before the stop").await;
    binary.is_told_to_stop();
    for phone in &mut phones {
        assert_eq!(phone.next_message().await.text, "before the stop");
        let close = phone.is_closed().await;
        assert_eq!(close.code, 1012);
        assert!(!close.reason.is_empty());
    }
    assert!(binary.ends().await.success());
    binary.starts_again().await;
    assert_eq!(boris.reads_back(&trip).await, ["before the stop"]);
}

#[tokio::test]
async fn what_is_in_flight_at_a_stop_is_finished_and_what_is_answered_is_kept() {
    let mut binary = Binary::serves(&["--drain", "1s", "--messages-per-minute", "0"]).await;
    let [anna] = binary.users(["anna"]).await;
    let notes = anna.creates_group("notes", []).await;
    let sends = |anna: Person| async move {
        let mut answered = Vec::new();
        loop {
            let text = format!("{}", answered.len());
            let request = anna.request("POST", &format!("/api/chats/{notes}/messages/"));
            let reply = request.json(&json!({"text": text})).try_send(anna.to).await;
            match reply {
                Ok(reply) if reply.status == 201 => answered.push(text),
                Ok(reply) if reply.status == 503 => return answered,
                Ok(reply) => panic!("{}: {}", reply.status, reply.text()),
                Err(_) => return answered, // nobody listens any more
            }
        }
    };
    let sending = tokio::spawn(sends(anna.clone()));
    crate::support::until("some messages to be there", || async {
        (anna.page(&notes, "").await["count"].as_i64() > Some(5)).then_some(())
    })
    .await;
    binary.is_told_to_stop();
    let answered = sending.await.expect("sent until the end");
    assert!(binary.ends().await.success());
    let database = look_around::open(&binary.database()).await;
    let kept = look_around::messages(&database, notes.id).await;
    let kept: Vec<String> = kept.into_iter().map(|row| row.text).collect();
    assert_eq!(kept[..answered.len()], answered);
    assert!(
        kept.len() <= answered.len() + 1,
        "at most the one whose answer was lost"
    );
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_anybody() {
    let mut binary = Binary::serves(&["--drain", "10m", "--connections-per-chat", "many"]).await;
    let [anna] = binary.users(["anna"]).await;
    let notes = anna.creates_group("notes", []).await;
    // One that reads nothing is waited for; so many more that they aren't all told at once.
    let mut phones = Vec::new();
    for _ in 0..40 {
        phones.push(anna.joins(&notes).await);
    }
    binary.is_told_to_stop();
    // It has begun to stop once it accepts nobody any more.
    crate::support::until("the stop to begin", || async {
        Request::new("GET", "/healthz")
            .try_send(anna.to)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    binary.is_told_to_stop();
    assert_eq!(binary.ends().await.code(), Some(130), "it was waited for");
    for phone in &mut phones {
        phone.is_closed_at_last().await;
    }
}

#[tokio::test]
async fn a_drain_spreads_the_closes_over_its_time() {
    let mut binary = Binary::serves(&["--drain", "2s", "--connections-per-chat", "many"]).await;
    let [anna] = binary.users(["anna"]).await;
    let notes = anna.creates_group("notes", []).await;
    let mut phones = Vec::new();
    for _ in 0..40 {
        phones.push(anna.joins(&notes).await);
    }
    let began = std::time::Instant::now();
    binary.is_told_to_stop();
    let closed = futures_util::future::join_all(
        phones
            .iter_mut()
            .map(|phone| async { (phone.is_closed_at_last().await.code, began.elapsed()) }),
    )
    .await;
    assert!(closed.iter().all(|(code, _)| *code == 1012), "{closed:?}");
    let first = closed.iter().map(|(_, at)| *at).min().expect("forty");
    let last = closed.iter().map(|(_, at)| *at).max().expect("forty");
    assert!(
        (last - first).as_millis() > 500,
        "all at once: from {first:?} to {last:?}"
    );
    assert!(binary.ends().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_while_serving_is_a_whole_copy_to_start_on() {
    let binary = Binary::serves(&["--messages-per-minute", "0"]).await;
    if test_database::kind() != Kind::Sqlite {
        let output = tokio::task::block_in_place(|| binary.runs(&["backup", "copy"], ""));
        assert!(!output.status.success());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            told.contains("pg_dump") && told.contains("mysqldump"),
            "{told}"
        );
        return;
    }
    let [anna, boris] = binary.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    for number in 0..30 {
        anna.says(&trip, &format!("before {number}")).await;
    }
    let form = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"plan.txt\"\r\n\r\nby sea\r\n--B--\r\n";
    let file = anna.request("POST", &format!("/api/chats/{trip}/attachments/"));
    let file = file.body("multipart/form-data; boundary=B", form);
    let file = file.send(anna.to).await.expect(201)["attachment"]["url"].clone();
    let file = file.as_str().expect("its address").to_owned();
    let talks = {
        let anna = anna.clone();
        tokio::spawn(async move {
            for number in 0..200 {
                anna.says(&trip, &format!("meanwhile {number}")).await;
            }
        })
    };
    let place = tempfile::tempdir().expect("a temporary directory");
    let copy = place.path().join("copy");
    let path = copy.display().to_string();
    let output = tokio::task::block_in_place(|| binary.does(&["backup", &path], ""));
    assert!(output.contains(&path), "{output}");
    let mut phone = boris.joins(&trip).await;
    phone.still_works_among_messages().await;
    talks.await.expect("the talk goes on");

    let copied = Binary::serves_from(&copy, &["--messages-per-minute", "0"]).await;
    let boris = boris.at(copied.address()).signs_in().await;
    let page = boris.page(&trip, "?before=&page_size=100").await;
    let texts = texts(&page);
    assert!(
        texts.len() >= 30,
        "all that was said before the backup: {texts:?}"
    );
    let plan = boris.get(&file).await;
    assert_eq!((plan.status, plan.text().as_str()), (200, "by sea"));
    let database = look_around::open(&copied.database()).await;
    look_around::numbers_without_gap(&database)
        .await
        .expect("a whole copy");
    let seen = look_around::messages(&database, trip.id).await.len();
    // Who resumes from a number that the copy hasn't reached is told to load anew.
    let mut phone = boris
        .joins_since(&trip, i64::try_from(seen).expect("few") + 1000)
        .await;
    assert_eq!(phone.hears("synced").await["reset"], true);
    boris.says(&trip, "in the copy").await;
    assert_eq!(phone.next_message().await.text, "in the copy");
}

#[tokio::test]
async fn two_programs_do_not_serve_from_one_data_directory() {
    if test_database::kind() != Kind::Sqlite {
        return; // several nodes are what those are for
    }
    let binary = Binary::serves(&["--drain", "100ms"]).await;
    let output = tokio::task::spawn_blocking({
        let data = binary.data_dir();
        move || {
            let place = tempfile::tempdir().expect("a temporary directory");
            let data = data.display().to_string();
            let arguments = [
                "serve",
                "--bind",
                "127.0.0.1:0",
                "--drain",
                "0s",
                "--data-dir",
                &data,
            ];
            crate::support::binary::runs_in(&place, &arguments, "")
        }
    });
    let output = within("the second one to give up", output)
        .await
        .expect("it ran");
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("another tertulia"), "{told}");
    let [anna] = binary.users(["anna"]).await;
    anna.get("/api/users/me/").await.expect(200);
}

#[tokio::test]
async fn a_phone_that_comes_back_after_a_restart_continues_where_it_was() {
    let mut binary = Binary::serves(&["--drain", "100ms"]).await;
    let [anna, boris] = binary.users(["anna", "boris"]).await;
    let trip = anna.creates_group("trip", [&boris]).await;
    let mut phone = boris.joins(&trip).await;
    anna.says(&trip, "one").await;
    phone.next_message().await;
    binary.is_told_to_stop();
    assert!(matches!(phone.next().await, Heard::Closed(close) if close.code == 1012));
    let last_seq = phone.seq();
    binary.ends().await;
    binary.starts_again().await;
    anna.says(&trip, "two").await;
    let mut phone = boris.joins_since(&trip, last_seq).await;
    assert_eq!(phone.next_message().await.text, "two");
    assert_eq!(phone.hears("synced").await["seq"], 2);
}
