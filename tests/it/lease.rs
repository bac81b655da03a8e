//! What every lease promises, tried on each: two nodes, and what they hold in common. A third form adds a line to
//! `every_lease`.

use std::{collections::HashSet, sync::Arc, time::Duration};

use entity::{ChatId, UserId};
use tertulia::lease::{
    Away, Claim, CommonWindows, Grant, Lease, MemoryTown, OWNER_EXPIRES, PRESENCE_KEPT, Place,
    Presence, RedisLease, Rule, Slot, take_all,
};

use crate::support::{redis::TestRedis, until, within};

const RULE: Rule = Rule {
    name: "tries",
    limit: 3,
    period: Duration::from_secs(60),
};
const CHAT: ChatId = ChatId(7);
const ANNA: UserId = UserId(1);
const BORIS: UserId = UserId(2);

type Nodes = [Arc<dyn Lease>; 2];

async fn in_redis(redis: &TestRedis) -> Nodes {
    let prefix = format!("lease-{:032x}", rand::random::<u128>());
    in_redis_below(redis, &prefix).await
}

/// The same, with a prefix that the test knows.
async fn in_redis_below(redis: &TestRedis, prefix: &str) -> Nodes {
    let node = || async {
        let address = redis.url().parse().expect("an address");
        let lease: Arc<dyn Lease> = Arc::new(RedisLease::open(address, prefix).await);
        lease
    };
    [node().await, node().await]
}

async fn every_lease() -> (Vec<(&'static str, Nodes)>, Option<TestRedis>) {
    let town = MemoryTown::default();
    let mut leases: Vec<(&str, Nodes)> =
        vec![("memory", [Arc::new(town.node()), Arc::new(town.node())])];
    let redis = TestRedis::start();
    if let Some(redis) = &redis {
        leases.push(("redis", in_redis(redis).await));
    }
    (leases, redis)
}

fn place(key: &str, number: u64) -> Place {
    Place {
        key: key.to_owned(),
        number,
    }
}

async fn takes(lease: &Arc<dyn Lease>, key: &str, number: u64) -> bool {
    let taken = lease.take(&RULE, &[place(key, number)]).await;
    taken.expect("a store that is there")[0].is_none()
}

#[tokio::test]
async fn a_window_is_the_same_on_every_node_and_never_holds_more_than_its_limit() {
    let (leases, _redis) = every_lease().await;
    for (name, [here, there]) in leases {
        assert!(here.is_shared(), "{name}");
        let one_by_one = [&here, &there, &here, &there, &here].map(|lease| lease.clone());
        let mut taken = Vec::new();
        for (number, lease) in one_by_one.iter().enumerate() {
            taken.push(takes(lease, "anna", number as u64).await);
        }
        assert_eq!(taken, [true, true, true, false, false], "{name}");
        let looked = there.look(&RULE, &["anna".into(), "boris".into()]).await;
        let looked = looked.expect("an answer");
        let wait = looked[0].expect("no room");
        assert!(
            wait <= RULE.period && wait > RULE.period / 2,
            "{name}: {wait:?}"
        );
        assert_eq!(looked[1], None, "{name}");

        // Many at once, more than one script takes: those of one key in their order.
        let many: Vec<_> = (10..610)
            .map(|number| place(&format!("user{}", number % 150), number))
            .collect();
        let answers = there.take(&RULE, &many).await.expect("an answer");
        let accepted = answers.iter().filter(|wait| wait.is_none()).count();
        assert_eq!((answers.len(), accepted), (600, 450), "{name}");
        assert!(answers[..450].iter().all(Option::is_none), "{name}");
    }
}

#[tokio::test]
async fn what_is_given_back_was_never_taken_and_what_is_recalled_counts_once() {
    let (leases, _redis) = every_lease().await;
    for (name, [here, there]) in leases {
        for number in 0..3 {
            assert!(takes(&here, "anna", number).await, "{name}");
        }
        // Nobody else's place of the same number.
        there.give_back(&RULE, place("anna", 1));
        here.give_back(&RULE, place("anna", 2));
        until("the place to be given back", || async {
            takes(&there, "anna", 0).await.then_some(())
        })
        .await;
        assert!(!takes(&there, "anna", 1).await, "{name}");

        let recalled = [
            (place("boris", 1), Duration::from_secs(50)),
            (place("boris", 2), Duration::from_secs(1)),
        ];
        for _ in 0..2 {
            here.recall(&RULE, &recalled).await.expect("told");
        }
        assert!(
            takes(&there, "boris", 1).await,
            "{name}: told twice is once"
        );
        let full = there.take(&RULE, &[place("boris", 2)]).await;
        let wait = full.expect("an answer")[0].expect("full");
        assert!(wait <= Duration::from_secs(10), "{name}: {wait:?}");
    }
}

#[tokio::test]
async fn a_window_forgets_what_is_older_than_its_period() {
    let rule = Rule {
        name: "short",
        limit: 1,
        period: Duration::from_millis(50),
    };
    let (leases, _redis) = every_lease().await;
    for (name, [here, there]) in leases {
        let first = here.take(&rule, &[place("anna", 1)]).await;
        assert_eq!(first.expect("an answer"), [None], "{name}");
        until("the window to pass", || async {
            let taken = there.take(&rule, &[place("anna", 1)]).await;
            taken.expect("an answer")[0].is_none().then_some(())
        })
        .await;
    }
}

fn claim(rejects: bool) -> Claim {
    Claim {
        chat: CHAT,
        user: ANNA,
        rejects,
        deserted: 0,
        above: 0,
    }
}

async fn is_granted(lease: &Arc<dyn Lease>, claim: Claim) -> (u64, bool) {
    match lease.claim(&claim).await.expect("an answer") {
        Grant::Granted { number, was_taken } => (number, was_taken),
        Grant::Refused => panic!("refused"),
    }
}

#[tokio::test]
async fn the_newest_owner_has_the_highest_number_and_the_older_one_learns_it() {
    let (leases, _redis) = every_lease().await;
    for (name, [here, there]) in leases {
        let (first, was_taken) = is_granted(&here, claim(false)).await;
        assert!(!was_taken, "{name}");
        let (second, was_taken) = is_granted(&there, claim(false)).await;
        assert!(
            was_taken && second > first,
            "{name}: {second} after {first}"
        );
        let renewed = here.renew(&[(CHAT, ANNA, first), (CHAT, BORIS, 5)]).await;
        assert_eq!(renewed.expect("an answer"), [None, Some(5)], "{name}");
        let renewed = there.renew(&[(CHAT, ANNA, second)]).await;
        assert_eq!(renewed.expect("an answer"), [Some(second)], "{name}");

        let refused = here.claim(&claim(true)).await.expect("an answer");
        assert_eq!(refused, Grant::Refused, "{name}");
        here.disown(CHAT, ANNA, Some(first)); // not the owner any more: nothing
        let refused = here.claim(&claim(true)).await.expect("an answer");
        assert_eq!(refused, Grant::Refused, "{name}");
        there.disown(CHAT, ANNA, Some(second));
        let granted = until("the place to be free", || async {
            match here.claim(&claim(true)).await.expect("an answer") {
                Grant::Granted { number, .. } => Some(number),
                Grant::Refused => None,
            }
        })
        .await;
        assert!(granted > second, "{name}");
        let deserted = |number| Claim {
            deserted: number,
            ..claim(true)
        };
        let other = here.claim(&deserted(second)).await.expect("an answer");
        assert_eq!(
            other,
            Grant::Refused,
            "{name}: it has had another owner since"
        );
        assert!(!is_granted(&there, deserted(granted)).await.1, "{name}");
    }
}

async fn renews(lease: &Arc<dyn Lease>, number: u64) -> Option<u64> {
    let renewed = lease.renew(&[(CHAT, ANNA, number)]).await;
    renewed.expect("an answer")[0]
}

#[tokio::test]
async fn a_node_that_has_a_place_by_a_higher_number_than_it_knows_learns_it() {
    let (leases, _redis) = every_lease().await;
    for (name, [here, there]) in leases {
        // The answer was too late, and the node gave a number itself.
        let (granted, _) = is_granted(&here, claim(false)).await;
        let guessed = granted - 1;
        assert_eq!(renews(&here, guessed).await, Some(granted), "{name}");
        assert_eq!(renews(&there, guessed).await, None, "{name}: not its own");
        // Whoever comes next is above both.
        let above = Claim {
            above: granted + 1_000_000_000,
            ..claim(false)
        };
        let (next, was_taken) = is_granted(&there, above).await;
        assert!(was_taken && next > granted + 1_000_000_000, "{name}");
        assert_eq!(renews(&here, granted).await, None, "{name}");

        // Without a number it gives up what is its own, and nothing else.
        here.disown(CHAT, ANNA, None);
        let refused = here.claim(&claim(true)).await.expect("an answer");
        assert_eq!(refused, Grant::Refused, "{name}");
        there.disown(CHAT, ANNA, None);
        // Nobody has it now: whoever was there before isn't turned out for nobody.
        let again = until("the place to be free", || renews(&here, granted)).await;
        assert!(again > next, "{name}: {again} after {next}");
        assert_eq!(renews(&there, next).await, None, "{name}");
    }
}

#[tokio::test]
async fn a_claim_that_redis_reads_after_a_stall_is_that_of_whoever_sits_there() {
    let Some(redis) = TestRedis::start() else {
        return;
    };
    let [here, there] = in_redis(&redis).await;
    here.beat(true).await.expect("an answer");
    let process = redis.process_id().expect("its own").to_string();
    let signal = |name: &str| {
        let sent = std::process::Command::new("kill")
            .args([name, &process])
            .status();
        assert!(sent.expect("kill").success());
    };
    signal("-STOP");
    assert_eq!(here.claim(&claim(true)).await, Err(Away));
    let guessed = here.clock();
    signal("-CONT");
    let granted = until("an answer", || async {
        let renewed = here.renew(&[(CHAT, ANNA, guessed)]).await;
        renewed.ok().map(|numbers| numbers[0])
    })
    .await;
    let granted = granted.expect("still the owner");
    assert!(granted > guessed, "{granted} was granted before {guessed}");
    let refused = there.claim(&claim(true)).await.expect("an answer");
    assert_eq!(refused, Grant::Refused);
}

#[tokio::test]
async fn after_the_third_replacement_whoever_has_the_place_stays() {
    let (leases, _redis) = every_lease().await;
    for (name, [here, there]) in leases {
        is_granted(&here, claim(false)).await;
        for lease in [&there, &here, &there] {
            is_granted(lease, claim(false)).await;
        }
        for lease in [&here, &there] {
            let held = lease.claim(&claim(false)).await.expect("an answer");
            assert_eq!(held, Grant::Refused, "{name}");
        }
        let elsewhere = Claim {
            chat: ChatId(8),
            ..claim(false)
        };
        is_granted(&here, elsewhere).await;
    }
}

#[tokio::test]
async fn who_is_where_is_known_on_every_node_until_it_ends() {
    let (leases, _redis) = every_lease().await;
    for (name, [here, there]) in leases {
        let put = |user, is_here| Presence {
            chat: CHAT,
            user,
            is_here,
        };
        let names: HashSet<_> = [here.node().clone(), there.node().clone()].into();
        assert_eq!(names.len(), 2, "{name}");
        assert_eq!(here.beat(false).await, Ok(None), "{name}: nobody knows it");
        here.beat(true).await.expect("an answer");
        let living = there.beat(true).await.expect("an answer").expect("known");
        assert_eq!(living.into_iter().collect::<HashSet<_>>(), names, "{name}");
        assert!(
            here.beat(false).await.expect("an answer").is_some(),
            "{name}"
        );
        assert_eq!(
            here.renew_online().await,
            Ok(false),
            "{name}: nothing is put"
        );
        here.put_presence(&[put(ANNA, true), put(BORIS, true)])
            .await
            .expect("put");
        there
            .put_presence(&[put(ANNA, true), put(BORIS, true), put(BORIS, false)])
            .await
            .expect("put");
        here.put_online(&[(ANNA, true), (BORIS, true), (BORIS, false)])
            .await
            .expect("put");
        let present = |lease: Arc<dyn Lease>| async move {
            let found = lease.presence(&[CHAT, ChatId(8)]).await;
            let mut found = found.expect("an answer");
            assert_eq!(found.pop(), Some(Vec::new()));
            found
                .pop()
                .expect("two")
                .into_iter()
                .collect::<HashSet<_>>()
        };
        let all: HashSet<_> = [
            (here.node().clone(), ANNA),
            (here.node().clone(), BORIS),
            (there.node().clone(), ANNA),
        ]
        .into();
        assert_eq!(present(there.clone()).await, all, "{name}");
        let online = there.online(&[ANNA, BORIS]).await.expect("an answer");
        assert_eq!(online, [true, false], "{name}");
        assert_eq!(
            here.renew_online().await,
            Ok(false),
            "{name}: there may be more"
        );
        here.complete_online().await.expect("put");
        assert_eq!(here.renew_online().await, Ok(true), "{name}");
        let online = there.online(&[ANNA, BORIS]).await.expect("an answer");
        assert_eq!(online, [true, false], "{name}: nobody else by that");
        let own = here.online(&[ANNA, BORIS]).await.expect("an answer");
        assert_eq!(own, [false, false], "{name}: of other nodes only");
        for (anew, online) in [
            (&[BORIS][..], [false, true]),
            (&[], [false, false]),
            (&[ANNA], [true, false]),
        ] {
            here.put_online_anew(anew).await.expect("put");
            let found = there.online(&[ANNA, BORIS]).await.expect("an answer");
            assert_eq!(found, online, "{name}: {anew:?} alone");
            let is_complete = here.renew_online().await;
            assert_eq!(is_complete, Ok(false), "{name}: there may be more");
        }

        here.resign().await.expect("put");
        let living = there.beat(false).await.expect("an answer");
        assert_eq!(living, Some(vec![there.node().clone()]), "{name}");
        assert_eq!(here.beat(false).await, Ok(None), "{name}: it has resigned");
        let online = there.online(&[ANNA]).await.expect("an answer");
        assert_eq!(online, [false], "{name}");
        here.put_online(&[(BORIS, true)]).await.expect("put");
        assert_eq!(
            here.renew_online().await,
            Ok(false),
            "{name}: one newcomer isn't all"
        );
        let left = vec![(here.node().clone(), ANNA), (here.node().clone(), BORIS)];
        there.forget(CHAT, left);
        until("what was left to be forgotten", || async {
            let present = present(there.clone()).await;
            (present == HashSet::from([(there.node().clone(), ANNA)])).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_redis_that_is_away_holds_nobody_up_and_tells_of_its_return() {
    let Some(mut redis) = TestRedis::start() else {
        return;
    };
    let [here, there] = in_redis(&redis).await;
    let [common, others] = [&here, &there].map(|lease| CommonWindows::new(lease.clone()));
    let windows = |common: &CommonWindows| common.windows("sends", 2, Duration::from_secs(60));
    let (ours, theirs) = (windows(&common), windows(&others));
    // Everybody who asks is told, at whatever time they ask.
    let mut returns = [here.returned(), here.returned()];
    for returned in &mut returns {
        within("the first connection", returned.changed())
            .await
            .expect("a connection");
    }
    ours.take(&ANNA).await.expect("room").keep();
    redis.dies();
    // The first to ask may wait for its deadline; whoever comes then is told at once.
    until("it to be known", || async {
        here.beat(true).await.is_err().then_some(())
    })
    .await;
    let began = std::time::Instant::now();
    for _ in 0..100 {
        assert!(here.beat(true).await.is_err());
    }
    ours.take(&ANNA).await.expect("room on this node").keep();
    assert!(
        ours.take(&ANNA).await.is_err(),
        "this node's own rule holds"
    );
    assert!(began.elapsed() < Duration::from_millis(250));

    redis.starts();
    for returned in &mut returns {
        within("the return", returned.changed())
            .await
            .expect("a connection");
    }
    let recalling = tokio::spawn(async move { common.keep_recalling().await });
    until("what was accepted to count", || async {
        there.beat(true).await.ok()?;
        theirs.look(&ANNA).await.err()
    })
    .await;
    recalling.abort();
    let slots = [theirs.take_here(&BORIS).expect("room")];
    let slots: Vec<&Slot<UserId>> = slots.iter().collect();
    assert_eq!(take_all(&slots).await, [None]);
    assert!(OWNER_EXPIRES >= Duration::from_secs(30));
}

#[tokio::test]
async fn who_is_in_a_chat_is_kept_as_long_as_somebody_is_put_there() {
    let Some(redis) = TestRedis::find() else {
        return;
    };
    let prefix = format!("lease-{:032x}", rand::random::<u128>());
    let [here, _there] = in_redis_below(&redis, &prefix).await;
    let anna = Presence {
        chat: CHAT,
        user: ANNA,
        is_here: true,
    };
    let key = format!("{prefix}:tertulia:present:{CHAT}");
    let mut connection = redis.connection().await;
    here.put_presence(&[anna]).await.expect("put");
    let soon: bool = redis::cmd("PEXPIRE")
        .arg(&key)
        .arg(60_000)
        .query_async(&mut connection)
        .await
        .expect("an answer");
    assert!(soon, "nothing is there by that name");
    here.put_presence(&[anna]).await.expect("put");
    let left: u64 = redis::cmd("PTTL")
        .arg(&key)
        .query_async(&mut connection)
        .await
        .expect("an answer");
    assert!(Duration::from_millis(left) > PRESENCE_KEPT - Duration::from_secs(60));
}
