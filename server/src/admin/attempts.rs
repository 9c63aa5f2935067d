//! How often an address may try a token.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

/// Tries that an address has in a [`WINDOW`]. A token has 256 random bits: this is not what keeps it from being guessed, but
/// what keeps guessing from costing the server anything, and from filling the audit log.
const TRIES: u32 = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are remembered; the one that has not tried for longest makes room.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

struct Tries {
    since: Instant,
    count: u32,
}

/// The tries of late, by address.
pub(super) struct Attempts(Mutex<LruCache<IpAddr, Tries>>);

impl Default for Attempts {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl std::fmt::Debug for Attempts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Attempts")
    }
}

impl Attempts {
    /// Counts a try before it is looked at, so that many at once are counted too; says how long to wait when there were too
    /// many.
    pub(super) fn begin(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut known = self.lock();
        let tries = known.get_or_insert_mut(network(from), || Tries { since: now, count: 0 });
        let passed = now.saturating_duration_since(tries.since);
        if passed >= WINDOW {
            *tries = Tries { since: now, count: 0 };
        }
        if tries.count == TRIES {
            return Err(WINDOW.saturating_sub(passed));
        }
        tries.count += 1;
        Ok(())
    }

    /// Forgets the tries of an address that brought the token.
    pub(super) fn forgive(&self, from: IpAddr) {
        self.lock().pop(&network(from));
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<IpAddr, Tries>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom an address belongs to: with IPv6, one customer has at least the last 64 bits for itself.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_some_tries_a_minute() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let here = address("127.0.0.1");
        for _ in 0..TRIES {
            assert_eq!(attempts.begin(here, start), Ok(()));
        }
        let later = start + Duration::from_secs(20);
        assert_eq!(attempts.begin(here, later), Err(Duration::from_secs(40)));
        assert_eq!(attempts.begin(address("127.0.0.2"), later), Ok(()));
        assert_eq!(attempts.begin(here, start + WINDOW), Ok(()));
    }

    #[test]
    fn the_token_clears_what_was_wrong_before_it() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let here = address("127.0.0.1");
        for _ in 0..3 * TRIES {
            assert_eq!(attempts.begin(here, now), Ok(()));
            attempts.forgive(here);
        }
    }

    #[test]
    fn a_network_of_version_6_counts_as_one() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for end in 1..=TRIES {
            assert_eq!(attempts.begin(address(&format!("2001:db8::{end}")), now), Ok(()));
        }
        assert!(attempts.begin(address("2001:db8::ffff:1"), now).is_err());
        assert_eq!(attempts.begin(address("2001:db8:0:1::1"), now), Ok(()));
    }
}
