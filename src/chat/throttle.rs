//! Failed sign-ins, counted per account and per address, through whatever door they came.
//!
//! Who is right gets in, however many try at once. But nobody learns more than the limit allows: what is answered is
//! decided when the password has been checked, so tries that ran side by side are told no more than tries in a row.
//!
//! Bounded by: `Windows`, which drops keys whose period is over.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use entity::UserId;
use sha2::{Digest, Sha256};

use crate::lease::Windows;

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

/// How often a sign-in may fail.
#[derive(Debug)]
pub(crate) struct Throttle {
    accounts: Windows<Account>,
    addresses: Windows<IpAddr>,
}

/// A password that is being checked.
#[derive(Debug)]
pub(crate) struct Attempt<'t> {
    throttle: &'t Throttle,
    account: Account,
    address: Option<IpAddr>,
}

impl Throttle {
    /// At most so many failures, 0 = no limit.
    pub(crate) fn new(failures: u32) -> Self {
        Throttle {
            accounts: Windows::new(failures, PERIOD),
            addresses: Windows::new(failures, PERIOD),
        }
    }

    /// Begins an attempt, or says how long to wait.
    pub(crate) fn attempt(
        &self,
        account: Account,
        address: Option<IpAddr>,
    ) -> Result<Attempt<'_>, Duration> {
        let attempt = Attempt {
            throttle: self,
            account,
            address: address.map(network),
        };
        attempt.look()?;
        Ok(attempt)
    }
}

impl Attempt<'_> {
    /// The password was right. Not to be told where the limit was reached meanwhile.
    pub(crate) fn succeeded(self) -> Result<(), Duration> {
        self.look()
    }

    /// It was wrong: counts. Not to be told either where the limit was reached meanwhile.
    pub(crate) fn failed(self) -> Result<(), Duration> {
        let account = self.throttle.accounts.take(&self.account)?;
        if let Some(address) = &self.address {
            self.throttle.addresses.take(address)?.keep();
        }
        account.keep();
        Ok(())
    }

    fn look(&self) -> Result<(), Duration> {
        self.throttle.accounts.look(&self.account)?;
        match &self.address {
            Some(address) => self.throttle.addresses.look(address),
            None => Ok(()),
        }
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
    use super::*;

    fn fail(throttle: &Throttle, user: i64, address: &str) -> bool {
        let address = address.parse().ok();
        match throttle.attempt(Account::Known(UserId(user)), address) {
            Ok(attempt) => attempt.failed().is_ok(),
            Err(_) => false,
        }
    }

    #[test]
    fn the_eleventh_try_at_one_account_waits_from_wherever_it_comes() {
        let throttle = Throttle::new(10);
        for network in 0..10 {
            assert!(fail(&throttle, 1, &format!("10.0.{network}.1")));
        }
        assert!(!fail(&throttle, 1, "10.0.99.1"));
        assert!(fail(&throttle, 2, "10.0.99.1"));
    }

    #[test]
    fn the_eleventh_try_from_one_address_waits_whoever_is_tried() {
        let throttle = Throttle::new(10);
        for user in 0..10 {
            assert!(fail(&throttle, user, "10.0.0.1"));
        }
        assert!(!fail(&throttle, 99, "10.0.0.1"));
        assert!(!fail(&throttle, 99, "::ffff:10.0.0.1"));
        assert!(fail(&throttle, 99, "10.0.0.2"));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one() {
        let throttle = Throttle::new(1);
        assert!(fail(&throttle, 1, "2001:db8:1:1::1"));
        assert!(!fail(&throttle, 2, "2001:db8:1:1:ffff::2"));
        assert!(fail(&throttle, 3, "2001:db8:1:2::1"));
    }

    #[test]
    fn tries_side_by_side_are_told_no_more_than_tries_in_a_row() {
        let throttle = Throttle::new(2);
        let attempts: Vec<_> = (0..4)
            .map(|_| throttle.attempt(Account::unknown("anna"), None).unwrap())
            .collect();
        let mut attempts = attempts.into_iter();
        assert!(attempts.next().unwrap().failed().is_ok());
        assert!(attempts.next().unwrap().failed().is_ok());
        assert!(attempts.next().unwrap().failed().is_err());
        assert!(
            attempts.next().unwrap().succeeded().is_err(),
            "guessed by the fourth"
        );
    }

    #[test]
    fn who_is_right_is_not_counted_and_0_is_no_limit() {
        let throttle = Throttle::new(1);
        for _ in 0..5 {
            let attempt = throttle.attempt(Account::Known(UserId(1)), None).unwrap();
            assert!(attempt.succeeded().is_ok());
        }
        let off = Throttle::new(0);
        assert!((0..50).all(|_| fail(&off, 1, "10.0.0.1")));
    }
}
