//! SIGKILL at random moments, again and again, while several people write, edit and delete: what
//! was acknowledged is there, nothing is doubled, and every reader's log is the same.
//!
//! `TERTULIA_TEST_SEED` repeats a run's choices (not its timing).

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::support::{binary::Binary, look_around, talk::Crowd};

const ROUNDS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_is_doubled_however_often_it_is_killed() {
    let seed = std::env::var("TERTULIA_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| rand::rng().random());
    println!("TERTULIA_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let no_limits = [
        "--messages-per-minute",
        "0",
        "--changes-per-minute",
        "0",
        "--history-per-minute",
        "0",
        "--frames-per-second",
        "0",
        "--access-token-lifetime",
        "1h",
    ];
    let mut binary = Binary::serves(&no_limits).await;
    let people = ["anna", "boris", "clara", "dora", "emil", "fred", "gina"];
    let [anna, boris, clara, dora, emil, fred, gina] = binary.users(people).await;
    let others = [&boris, &clara, &dora, &emil, &fred, &gina];
    let chats = [
        anna.creates_group("trip", others).await,
        anna.creates_group("work", others).await,
    ];
    let mut crowd = Crowd::default();
    for chat in chats {
        for person in [&anna, &boris, &clara] {
            crowd.writes(person, chat);
        }
        crowd.posts(&dora, chat);
        crowd.says_once(&gina, chat);
        for person in [&emil, &fred] {
            crowd.reads(person, chat);
        }
    }
    for round in 0..ROUNDS {
        // Every other kill comes while all talk; the others may come while they are still on their way back.
        if round % 2 == 0 {
            crowd.goes_on().await;
        }
        // A random moment is what this story is about; nothing is waited for here.
        tokio::time::sleep(Duration::from_millis(random.random_range(20..400))).await;
        binary.is_killed();
        println!("round {round}: killed");
        binary.starts_again().await;
    }
    let database = look_around::open(&binary.database()).await;
    let kept = crowd.ends(&chats, &database).await;
    assert!(kept > 10 * ROUNDS, "hardly anything was sent: {kept}");
    println!("{kept} promises kept over {ROUNDS} kills");
}
