//! What every lease promises, tried on each: two nodes, and what they hold in common. A third form adds a line to
//! `every_lease`.

use std::{collections::HashSet, sync::Arc, time::Duration};

use entity::{ChatId, UserId};
use tertulia::lease::{
    Claim, Grant, Lease, MemoryTown, OWNER_EXPIRES, Place, Presence, RedisLease, Rule, Slot,
    Windows, take_all,
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
    let node = || async {
        let address = redis.url().parse().expect("an address");
        let lease: Arc<dyn Lease> = Arc::new(RedisLease::open(address, &prefix).await);
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

        // Many at once: those of one key in their order.
        let many: Vec<_> = (10..2010)
            .map(|number| place(&format!("user{}", number % 500), number))
            .collect();
        let answers = there.take(&RULE, &many).await.expect("an answer");
        let accepted = answers.iter().filter(|wait| wait.is_none()).count();
        assert_eq!((answers.len(), accepted), (2000, 1500), "{name}");
        assert!(answers[..1500].iter().all(Option::is_none), "{name}");
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
        assert_eq!(renewed.expect("an answer"), [false, true], "{name}");
        let renewed = there.renew(&[(CHAT, ANNA, second)]).await;
        assert_eq!(renewed.expect("an answer"), [true], "{name}");

        let refused = here.claim(&claim(true)).await.expect("an answer");
        assert_eq!(refused, Grant::Refused, "{name}");
        here.disown(CHAT, ANNA, first); // not the owner any more: nothing
        let refused = here.claim(&claim(true)).await.expect("an answer");
        assert_eq!(refused, Grant::Refused, "{name}");
        there.disown(CHAT, ANNA, second);
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
        assert_eq!(here.renew_online().await, Ok(true), "{name}");
        let own = here.online(&[ANNA, BORIS]).await.expect("an answer");
        assert_eq!(own, [false, false], "{name}: of other nodes only");

        here.resign().await.expect("put");
        let living = there.beat(false).await.expect("an answer");
        assert_eq!(living, Some(vec![there.node().clone()]), "{name}");
        assert_eq!(here.beat(false).await, Ok(None), "{name}: it has resigned");
        let online = there.online(&[ANNA]).await.expect("an answer");
        assert_eq!(online, [false], "{name}");
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
    let windows = |lease| Windows::common("sends", 2, Duration::from_secs(60), lease);
    let (ours, theirs) = (windows(&here), windows(&there));
    within("the first connection", here.returned()).await;
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
    within("the return", here.returned()).await;
    ours.recall().await;
    until("the other node to have it back", || async {
        there.beat(true).await.ok()
    })
    .await;
    assert!(
        theirs.take(&ANNA).await.is_err(),
        "what was accepted counts"
    );
    let slots = [theirs.take_here(&BORIS).expect("room")];
    let slots: Vec<&Slot<UserId>> = slots.iter().collect();
    assert_eq!(take_all(&slots).await, [None]);
    assert!(OWNER_EXPIRES >= Duration::from_secs(30));
}
