//! How often somebody may be wrong: token buckets over a given now, for an account and an address.
//!
//! What a stranger does elsewhere must not lock the owner of an account out. So being wrong counts strictly for the
//! pair of account and address, loosely for an address over all accounts, and for an account over all addresses only
//! where that address never got in. An account that does not exist is throttled as one that does.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
};

use sha2::{Digest, Sha256};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 24 * 3_600 * SECOND;

/// Of one account from one address: five times at once, then every half minute. A person who mistypes stays below it.
const PAIR: Rate = Rate { burst: 5, every: 30 * SECOND };
/// From one address on whatever accounts: an office behind one address stays below it.
const ADDRESS: Rate = Rate { burst: 30, every: 2 * SECOND };
/// Of one account from all addresses that never got into it together: whoever rents a thousand machines guesses less
/// than three thousand times a day.
const ACCOUNT: Rate = Rate { burst: 20, every: 30 * SECOND };
/// How long an address is remembered to have got in.
const KNOWN_FOR: i64 = 90 * DAY;
/// Entries of each table; full, the ones that matter for the shortest time go first. About 3 MB for all four.
const ENTRIES_MAX: usize = 16_384;

/// `burst` at once, and one more after each `every` microseconds.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: i64,
    every: i64,
}

/// An account's name, of whatever length, in few bytes.
type Account = [u8; 16];

/// Who has been wrong lately.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    pairs: Table<(Account, IpAddr)>,
    addresses: Table<IpAddr>,
    accounts: Table<Account>,
    known: Table<(Account, IpAddr)>,
}

/// A try that is under way: it counts as wrong until it is told to have been right or none at all.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Try {
    account: Account,
    address: IpAddr,
    stranger: bool,
}

impl Throttle {
    /// Begins a try at `now` (microseconds), or says in how many seconds there may be one. Counted before the outcome
    /// is known, so that many at once are no way around it.
    pub(crate) fn begin(&mut self, account: &str, address: IpAddr, now: i64) -> Result<Try, u32> {
        let (account, address) = (short(account), network(address));
        let stranger = !self.known.matters((account, address), now);
        let waits = [
            self.pairs.wait((account, address), PAIR, now),
            self.addresses.wait(address, ADDRESS, now),
            if stranger { self.accounts.wait(account, ACCOUNT, now) } else { 0 },
        ];
        let wait = waits.into_iter().max().unwrap_or(0);
        if wait > 0 {
            return Err(u32::try_from((wait + SECOND - 1) / SECOND).unwrap_or(u32::MAX));
        }
        self.pairs.charge((account, address), PAIR, now);
        self.addresses.charge(address, ADDRESS, now);
        if stranger {
            self.accounts.charge(account, ACCOUNT, now);
        }
        Ok(Try { account, address, stranger })
    }

    /// It was right: this address is known for the account from now on, and what it got wrong before is forgotten.
    pub(crate) fn right(&mut self, tried: Try, now: i64) {
        self.none(tried);
        self.pairs.forget((tried.account, tried.address));
        self.known.set((tried.account, tried.address), now + KNOWN_FOR, now);
    }

    /// It was no try: nothing was looked at.
    pub(crate) fn none(&mut self, tried: Try) {
        self.pairs.give_back((tried.account, tried.address), PAIR);
        self.addresses.give_back(tried.address, ADDRESS);
        if tried.stranger {
            self.accounts.give_back(tried.account, ACCOUNT);
        }
    }
}

/// Keys with the moment until which they matter: of a bucket, when it is full again; of a known address, when it is
/// forgotten.
#[derive(Debug)]
struct Table<K>(HashMap<K, i64>);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Copy + Eq + Hash> Table<K> {
    fn matters(&self, key: K, now: i64) -> bool {
        self.0.get(&key).is_some_and(|until| *until > now)
    }

    /// How long until the bucket has one again; 0 if it has.
    fn wait(&self, key: K, rate: Rate, now: i64) -> i64 {
        let full_at = self.0.get(&key).copied().unwrap_or(now).max(now);
        (full_at + rate.every - now - rate.burst * rate.every).max(0)
    }

    fn charge(&mut self, key: K, rate: Rate, now: i64) {
        let full_at = self.0.get(&key).copied().unwrap_or(now).max(now);
        self.set(key, full_at + rate.every, now);
    }

    fn give_back(&mut self, key: K, rate: Rate) {
        if let Some(full_at) = self.0.get_mut(&key) {
            *full_at -= rate.every;
        }
    }

    fn forget(&mut self, key: K) {
        self.0.remove(&key);
    }

    fn set(&mut self, key: K, until: i64, now: i64) {
        if self.0.len() >= ENTRIES_MAX && !self.0.contains_key(&key) {
            self.0.retain(|_, until| *until > now);
            // Half of them at once: then it is rare, and costs each key next to nothing.
            if self.0.len() > ENTRIES_MAX / 2 {
                let mut untils: Vec<i64> = self.0.values().copied().collect();
                let middle = untils.len() / 2;
                let (_, median, _) = untils.select_nth_unstable(middle);
                let median = *median;
                self.0.retain(|_, until| *until > median);
            }
        }
        self.0.insert(key, until);
    }
}

fn short(account: &str) -> Account {
    let mut short = Account::default();
    short.copy_from_slice(&Sha256::digest(account.as_bytes())[..16]);
    short
}

/// What one customer of a provider has: one address of IPv4, or 2⁶⁴ of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (!0 << 64))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const OWNER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const ADA: &str = "ada@example.com";

    fn stranger(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number))
    }

    /// How many of `count` tries at once are let through.
    fn let_through(throttle: &mut Throttle, account: &str, address: IpAddr, count: usize, now: i64) -> usize {
        (0..count).filter(|_| throttle.begin(account, address, now).is_ok()).count()
    }

    #[test]
    fn five_at_once_then_one_each_half_minute() {
        let mut throttle = Throttle::default();
        assert_eq!(let_through(&mut throttle, ADA, OWNER, 9, 0), 5);
        assert_eq!(throttle.begin(ADA, OWNER, 0).unwrap_err(), 30);
        assert_eq!(throttle.begin(ADA, OWNER, 10 * SECOND + 1).unwrap_err(), 20);
        assert_eq!(let_through(&mut throttle, ADA, OWNER, 9, 30 * SECOND), 1);
        assert_eq!(let_through(&mut throttle, ADA, OWNER, 9, DAY), 5, "not more than five are saved up");
    }

    #[test]
    fn an_address_over_many_accounts_is_slowed_too() {
        let mut throttle = Throttle::default();
        let through = (0..100).filter(|n| throttle.begin(&format!("{n}@example.com"), OWNER, 0).is_ok()).count();
        assert_eq!(through, 30);
        assert_eq!(let_through(&mut throttle, ADA, stranger(1), 1, 0), 1, "another address is not");
    }

    #[test]
    fn a_stranger_from_a_thousand_addresses_does_not_lock_the_owner_out() {
        let mut throttle = Throttle::default();
        let tried = throttle.begin(ADA, OWNER, 0).unwrap();
        throttle.right(tried, 0);
        let through = (0..1_000).map(|n| let_through(&mut throttle, ADA, stranger(n), 5, SECOND)).sum::<usize>();
        assert_eq!(through, 20, "of all strangers together");
        let tried = throttle.begin(ADA, OWNER, SECOND).expect("the owner is let through");
        throttle.right(tried, SECOND);
        assert_eq!(throttle.begin(ADA, stranger(5_000), SECOND).unwrap_err(), 30);
        assert!(throttle.begin(ADA, stranger(5_000), 31 * SECOND).is_ok(), "a new address is slowed, and gets through");
    }

    #[test]
    fn what_was_right_or_none_costs_nothing() {
        let mut throttle = Throttle::default();
        for _ in 0..1_000 {
            let tried = throttle.begin(ADA, OWNER, 0).unwrap();
            throttle.none(tried);
            let tried = throttle.begin(ADA, OWNER, 0).unwrap();
            throttle.right(tried, 0);
        }
        assert_eq!(let_through(&mut throttle, ADA, OWNER, 9, 0), 5);
    }

    #[test]
    fn all_addresses_of_one_customer_count_as_one() {
        let mut throttle = Throttle::default();
        let from = |n: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n));
        assert_eq!((0..9).filter(|n| throttle.begin(ADA, from(*n), 0).is_ok()).count(), 5);
        let mapped = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
        assert_eq!(let_through(&mut throttle, ADA, OWNER, 5, 0), 5);
        assert!(throttle.begin(ADA, mapped, 0).is_err());
    }

    #[test]
    fn the_tables_stay_bounded_and_keep_what_matters_longest() {
        let mut throttle = Throttle::default();
        assert_eq!(let_through(&mut throttle, ADA, OWNER, 5, 0), 5);
        for n in 0..100_000 {
            let _ = throttle.begin(&format!("{n}@example.com"), stranger(n), 0).map(|tried| throttle.right(tried, 0));
            let _ = throttle.begin(&format!("{n}@example.com"), stranger(n), 0);
        }
        let sizes =
            [throttle.pairs.0.len(), throttle.addresses.0.len(), throttle.accounts.0.len(), throttle.known.0.len()];
        assert!(sizes.iter().all(|size| *size <= ENTRIES_MAX), "{sizes:?}");
        assert!(throttle.begin(ADA, OWNER, 0).is_err(), "whoever was wrong most is not forgotten for others");
    }

    proptest! {
        /// Over any time, no more get through than burst and rate allow.
        #[test]
        fn no_more_get_through_than_burst_and_rate_allow(steps in prop::collection::vec(0..40 * SECOND, 1..200)) {
            let mut throttle = Throttle::default();
            let (mut now, mut through) = (0, 0_i64);
            for step in steps {
                now += step;
                through += i64::from(throttle.begin(ADA, OWNER, now).is_ok());
            }
            prop_assert!(through <= PAIR.burst + now / PAIR.every);
        }
    }
}
