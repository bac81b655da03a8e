//! Failed sign-ins, counted per account and per address, through whatever door they came.
//!
//! Who is right gets in, however many try at once. But nobody learns more than the limit allows: what is answered is
//! decided when the password has been checked, so tries that ran side by side are told no more than tries in a row.
//!
//! Bounded by: `Windows`, which drops keys whose period is over.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use entity::UserId;
use sha2::{Digest, Sha256};

use crate::lease::{CommonWindows, Key, Slot, Windows};

/// In which failures count.
const PERIOD: Duration = Duration::from_secs(600);

/// Whose password is tried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Account {
    Known(UserId),
    /// A name that nobody has: counted all the same, so that the throttle doesn't tell who has an account.
    Unknown([u8; 16]),
}

impl Account {
    /// A name that nobody has, however long it is.
    pub(crate) fn unknown(username: &str) -> Self {
        let mut short = [0; 16];
        short.copy_from_slice(&Sha256::digest(username)[..16]);
        Account::Unknown(short)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Account::Known(user) => write!(f, "user:{user}"),
            Account::Unknown(name) => write!(f, "name:{:032x}", u128::from_be_bytes(*name)),
        }
    }
}

/// Where from, as it is told apart from accounts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Address(IpAddr);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from:{}", self.0)
    }
}

/// How often a sign-in may fail.
#[derive(Debug)]
pub(crate) struct Throttle {
    accounts: Windows<Account>,
    addresses: Windows<Address>,
}

/// A password that is being checked.
#[derive(Debug)]
pub(crate) struct Attempt<'t> {
    throttle: &'t Throttle,
    account: Account,
    address: Option<Address>,
}

impl Throttle {
    /// At most so many failures at the doors of this name, 0 = no limit.
    pub(crate) fn new(doors: &'static str, failures: u32, common: &CommonWindows) -> Self {
        Throttle {
            accounts: common.windows(doors, failures, PERIOD),
            addresses: common.windows(doors, failures, PERIOD),
        }
    }

    /// Begins an attempt, or says how long to wait.
    pub(crate) async fn attempt(
        &self,
        account: Account,
        address: Option<IpAddr>,
    ) -> Result<Attempt<'_>, Duration> {
        let attempt = Attempt {
            throttle: self,
            account,
            address: address.map(network).map(Address),
        };
        attempt.look().await?;
        Ok(attempt)
    }
}

impl Attempt<'_> {
    /// The password was right. Not to be told where the limit was reached meanwhile.
    pub(crate) async fn succeeded(self) -> Result<(), Duration> {
        self.look().await
    }

    /// It was wrong: counts. Not to be told either where the limit was reached meanwhile.
    pub(crate) async fn failed(self) -> Result<(), Duration> {
        let account = self.throttle.accounts.take(&self.account);
        let address = taken(&self.throttle.addresses, self.address.as_ref());
        let (account, address) = tokio::join!(account, address);
        let (account, address) = (account?, address?);
        account.keep();
        address.keep();
        Ok(())
    }

    async fn look(&self) -> Result<(), Duration> {
        let account = self.throttle.accounts.look(&self.account);
        let address = async {
            match &self.address {
                Some(address) => self.throttle.addresses.look(address).await,
                None => Ok(()),
            }
        };
        let (account, address) = tokio::join!(account, address);
        account.and(address)
    }
}

async fn taken<K: Key>(windows: &Windows<K>, key: Option<&K>) -> Result<Slot<K>, Duration> {
    match key {
        Some(key) => windows.take(key).await,
        None => Ok(Slot::free()),
    }
}

/// Whom an address stands for: of IPv6 a whole network of 64 bits, which is the least that anybody is given.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lease::MemoryLease;

    fn throttle_of(failures: u32) -> Throttle {
        let common = CommonWindows::new(Arc::new(MemoryLease::default()));
        Throttle::new("signins", failures, &common)
    }

    async fn fail(throttle: &Throttle, user: i64, address: &str) -> bool {
        let address = address.parse().ok();
        match throttle
            .attempt(Account::Known(UserId(user)), address)
            .await
        {
            Ok(attempt) => attempt.failed().await.is_ok(),
            Err(_) => false,
        }
    }

    #[tokio::test]
    async fn the_eleventh_try_at_one_account_waits_from_wherever_it_comes() {
        let throttle = throttle_of(10);
        for network in 0..10 {
            assert!(fail(&throttle, 1, &format!("10.0.{network}.1")).await);
        }
        assert!(!fail(&throttle, 1, "10.0.99.1").await);
        assert!(fail(&throttle, 2, "10.0.99.1").await);
    }

    #[tokio::test]
    async fn the_eleventh_try_from_one_address_waits_whoever_is_tried() {
        let throttle = throttle_of(10);
        for user in 0..10 {
            assert!(fail(&throttle, user, "10.0.0.1").await);
        }
        assert!(!fail(&throttle, 99, "10.0.0.1").await);
        assert!(!fail(&throttle, 99, "::ffff:10.0.0.1").await);
        assert!(fail(&throttle, 99, "10.0.0.2").await);
    }

    #[tokio::test]
    async fn the_addresses_of_one_ipv6_network_are_one() {
        let throttle = throttle_of(1);
        assert!(fail(&throttle, 1, "2001:db8:1:1::1").await);
        assert!(!fail(&throttle, 2, "2001:db8:1:1:ffff::2").await);
        assert!(fail(&throttle, 3, "2001:db8:1:2::1").await);
    }

    #[tokio::test]
    async fn tries_side_by_side_are_told_no_more_than_tries_in_a_row() {
        let throttle = throttle_of(2);
        let mut attempts = Vec::new();
        for _ in 0..4 {
            let attempt = throttle.attempt(Account::unknown("anna"), None).await;
            attempts.push(attempt.unwrap());
        }
        let mut attempts = attempts.into_iter();
        assert!(attempts.next().unwrap().failed().await.is_ok());
        assert!(attempts.next().unwrap().failed().await.is_ok());
        assert!(attempts.next().unwrap().failed().await.is_err());
        assert!(
            attempts.next().unwrap().succeeded().await.is_err(),
            "guessed by the fourth"
        );
    }

    #[tokio::test]
    async fn who_is_right_is_not_counted_and_0_is_no_limit() {
        let throttle = throttle_of(1);
        for _ in 0..5 {
            let attempt = throttle.attempt(Account::Known(UserId(1)), None).await;
            assert!(attempt.unwrap().succeeded().await.is_ok());
        }
        let off = throttle_of(0);
        for _ in 0..50 {
            assert!(fail(&off, 1, "10.0.0.1").await);
        }
    }
}
