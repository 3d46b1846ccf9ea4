//! Slows the guessing of passwords: failed log-ins by address and client are counted, in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Most addresses remembered. Beyond it those whose window ends first are forgotten.
const CAPACITY: usize = 20_000;

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    until: Instant,
}

/// One address may fail so many times as often as one address with one e-mail, and so may one e-mail from everywhere:
/// enough for a shared office, and too little for a list of passwords.
const WIDE: u32 = 10;

/// Counts failed log-ins: by e-mail and address together, by address alone, and by e-mail alone. E-mail addresses are
/// kept as hashes only.
pub(crate) struct Throttle {
    most: u32,
    window: Duration,
    hasher: RandomState,
    failures: Mutex<HashMap<u64, Failures>>,
}

impl Throttle {
    pub(crate) fn new(most: u32, window: Duration) -> Self {
        Self {
            most,
            window,
            hasher: RandomState::new(),
            failures: Mutex::default(),
        }
    }

    /// What counts: both together, the e-mail, and the client where it is known; each with its most failures.
    fn keys(&self, email: &str, client: Option<IpAddr>) -> [Option<(u64, u32)>; 3] {
        let email = email.trim().to_lowercase();
        let client = client.map(network);
        let wide = self.most.saturating_mul(WIDE);
        [
            Some((self.hasher.hash_one((&email, client)), self.most)),
            Some((self.hasher.hash_one(("e-mail", &email)), wide)),
            client.map(|client| (self.hasher.hash_one(("client", client)), wide)),
        ]
    }

    /// Seconds to wait before this e-mail may be tried again from this client, if it has to wait.
    pub(crate) fn wait(&self, email: &str, client: Option<IpAddr>, now: Instant) -> Option<u32> {
        let failures = self.failures.lock();
        let waits = self.keys(email, client).into_iter().flatten();
        let left = waits.filter_map(|(key, most)| {
            let entry = failures.get(&key).filter(|entry| entry.count >= most)?;
            entry.until.checked_duration_since(now)
        });
        let longest = left.max()?;
        Some(u32::try_from(longest.as_secs()).unwrap_or(u32::MAX).max(1))
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, email: &str, client: Option<IpAddr>, now: Instant) {
        let mut failures = self.failures.lock();
        for (key, _) in self.keys(email, client).into_iter().flatten() {
            make_room(&mut failures, key, now);
            let fresh = Failures {
                count: 0,
                until: now + self.window,
            };
            let entry = failures.entry(key).or_insert(fresh);
            if entry.until <= now {
                *entry = fresh;
            }
            entry.count += 1;
        }
    }

    /// Forgets the failures of the e-mail after a success. Those of the client stay: its own account must not help
    /// it to try others.
    pub(crate) fn succeeded(&self, email: &str, client: Option<IpAddr>) {
        let mut failures = self.failures.lock();
        let [both, email, _] = self.keys(email, client);
        for (key, _) in [both, email].into_iter().flatten() {
            failures.remove(&key);
        }
    }
}

/// The whole network of one customer: whoever has one address of IPv6 has them all.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::from(Ipv6Addr::from_bits(bits))
        }
        four => four,
    }
}

fn make_room(failures: &mut HashMap<u64, Failures>, key: u64, now: Instant) {
    if failures.len() < CAPACITY || failures.contains_key(&key) {
        return;
    }
    failures.retain(|_, entry| entry.until > now);
    if failures.len() >= CAPACITY {
        // A flood of addresses: the half that ends first goes, so that this happens rarely.
        let mut ends: Vec<Instant> = failures.values().map(|entry| entry.until).collect();
        let middle = ends.len() / 2;
        let (_, median, _) = ends.select_nth_unstable(middle);
        let median = *median;
        failures.retain(|_, entry| entry.until > median);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn too_many_failures_have_to_wait_and_others_do_not() {
        let throttle = Throttle::new(3, Duration::from_secs(60));
        let (start, here) = (Instant::now(), Some(IpAddr::from([127, 0, 0, 1])));
        for _ in 0..3 {
            assert_eq!(throttle.wait("a@example.org", here, start), None);
            throttle.failed("A@example.org ", here, start);
        }
        assert_eq!(throttle.wait("a@example.org", here, start), Some(60));
        assert_eq!(throttle.wait("b@example.org", here, start), None);
        assert_eq!(
            throttle.wait("a@example.org", Some(IpAddr::from([10, 0, 0, 1])), start),
            None
        );
        let later = start + Duration::from_secs(61);
        assert_eq!(throttle.wait("a@example.org", here, later), None);
        throttle.failed("a@example.org", here, later);
        assert_eq!(throttle.wait("a@example.org", here, later), None);
        throttle.succeeded("a@example.org", here);
        let left = throttle.failures.lock().len();
        assert_eq!(left, 1, "only what the address has done is remembered");
    }

    #[test]
    fn many_e_mails_from_one_address_and_one_e_mail_from_many_have_to_wait() {
        let throttle = Throttle::new(3, Duration::from_secs(60));
        let start = Instant::now();
        let from = |last: u8| Some(IpAddr::from([192, 0, 2, last]));
        for number in 0..30 {
            let email = format!("{number}@example.org");
            assert_eq!(throttle.wait(&email, from(1), start), None, "{number}");
            throttle.failed(&email, from(1), start);
        }
        assert_eq!(throttle.wait("other@example.org", from(1), start), Some(60));
        assert_eq!(throttle.wait("other@example.org", from(2), start), None);
        for number in 0..30 {
            throttle.failed("ada@example.org", from(100 + number), start);
        }
        assert_eq!(throttle.wait("ada@example.org", from(2), start), Some(60));
        assert_eq!(throttle.wait("ada@example.org", None, start), Some(60));

        let six = |text: &str| text.parse::<IpAddr>().ok();
        for number in 0..30 {
            throttle.failed(&format!("{number}@example.com"), six("2001:db8::1"), start);
        }
        let wait = |client| throttle.wait("new@example.com", client, start);
        assert_eq!(wait(six("2001:db8::ffff")), Some(60), "the same network");
        assert_eq!(wait(six("2001:db8:0:1::1")), None);
        assert_eq!(wait(six("::ffff:192.0.2.1")), Some(60), "the same address");
    }

    #[test]
    fn a_flood_of_addresses_stays_within_the_bound() {
        let throttle = Throttle::new(1, Duration::from_secs(60));
        let start = Instant::now();
        for number in 0..CAPACITY as u64 + 500 {
            throttle.failed(
                &number.to_string(),
                None,
                start + Duration::from_micros(number),
            );
        }
        assert!(throttle.failures.lock().len() <= CAPACITY);
        let last = (CAPACITY + 499).to_string();
        assert!(
            throttle.wait(&last, None, start).is_some(),
            "the newest is kept"
        );
    }
}
