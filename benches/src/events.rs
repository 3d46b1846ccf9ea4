//! Events to send: prepared texts in which only ids and times change, so that the sender costs next to nothing.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// What an event looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A purchase of ten items, about 1.2 kB.
    Basket,
    /// A purchase of one item with some attributes, below 400 B.
    Small,
    /// A new user, below 400 B.
    User,
}

/// Purchases in a year of 2,469 households' shopping: how fast time passes in the events.
const EVENTS_A_YEAR: u64 = 155_000;
const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;
const PRODUCTS: [(&str, &str); 12] = [
    ("FLUID MILK WHITE ONLY", "GROCERY"),
    ("BANANAS", "PRODUCE"),
    ("MAINSTREAM WHITE BREAD", "GROCERY"),
    ("SHREDDED CHEESE", "GROCERY"),
    ("YOGURT NOT MULTI-PACKS", "GROCERY"),
    ("PRIMAL", "MEAT"),
    ("SOFT DRINKS 12/18&15PK CAN CAR", "GROCERY"),
    ("TOILET TISSUE", "GROCERY"),
    ("EGGS - LARGE", "GROCERY"),
    ("BAG SNACKS", "GROCERY"),
    ("POTATO CHIPS", "GROCERY"),
    ("GREETING CARDS", "DRUG GM"),
];

/// Digits of the numbers that stand for an event, a customer and a time.
const EVENT_DIGITS: usize = 12;
const CUSTOMER_DIGITS: usize = 8;
const TIME_DIGITS: usize = 13;

/// Where in a text an event has its changing numbers.
#[derive(Debug, Clone, Copy)]
struct Marks {
    event: usize,
    customer: usize,
    time: usize,
}

/// Texts of events with room for their ids and times.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    text: Vec<u8>,
    marks: Vec<Marks>,
    start_ms: u64,
}

/// A little generator, the same every time: figures of two runs then differ for other reasons.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

impl Template {
    /// So many events as lines of NDJSON, each with its `type`; other seeds give other contents.
    pub(crate) fn lines(shape: Shape, events: usize, seed: u64) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut template = Self {
            text: Vec::new(),
            marks: Vec::with_capacity(events),
            start_ms: (now.as_millis() as u64).saturating_sub(YEAR_MS),
        };
        let mut numbers = Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for _ in 0..events {
            template.add(shape, &mut numbers);
            template.text.push(b'\n');
        }
        template
    }

    fn add(&mut self, shape: Shape, numbers: &mut Numbers) {
        let kind = if shape == Shape::User {
            "user"
        } else {
            "purchase"
        };
        // Writing to a Vec cannot fail.
        let _ = write!(self.text, r#"{{"type":"{kind}","event_id":"bench-"#);
        let event = self.hole(EVENT_DIGITS);
        self.text.extend_from_slice(br#"","customer_id":"c"#);
        let customer = self.hole(CUSTOMER_DIGITS);
        self.text.extend_from_slice(br#"","occurred_at":"#);
        let time = self.hole(TIME_DIGITS);
        self.marks.push(Marks {
            event,
            customer,
            time,
        });
        match shape {
            Shape::Basket => self.purchase(10, numbers),
            Shape::Small => {
                self.purchase(1, numbers);
                self.text.extend_from_slice(
                    br#","attributes":{"store":"357","channel":"till","device":"terminal 4","campaign":"none"}"#,
                );
            }
            Shape::User => {
                let number = numbers.below(1_000_000);
                let _ = write!(
                    self.text,
                    r#","name":"Household {number}","email":"household-{number}@example.com","customer_type":"individual","source":"loyalty card""#
                );
            }
        }
        self.text.push(b'}');
    }

    fn purchase(&mut self, items: usize, numbers: &mut Numbers) {
        let mut sum = 0;
        let mut listed = String::new();
        for item in 0..items {
            let (name, category) = PRODUCTS[numbers.below(PRODUCTS.len() as u64) as usize];
            let (quantity, cents) = (1 + numbers.below(3), 99 + numbers.below(900));
            sum += cents;
            let comma = if item == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(
                listed,
                r#"{comma}{{"product_id":"{}","name":"{name}","category":"{category}","quantity":{quantity},"amount":"{}.{:02}"}}"#,
                800_000 + numbers.below(30_000),
                cents / 100,
                cents % 100,
            );
        }
        let _ = write!(
            self.text,
            r#","order_id":"{}","amount":"{}.{:02}","currency":"USD","items":[{listed}]"#,
            30_000_000 + numbers.below(9_000_000),
            sum / 100,
            sum % 100
        );
    }

    fn hole(&mut self, digits: usize) -> usize {
        let at = self.text.len();
        self.text.resize(at + digits, b'0');
        at
    }

    /// Puts something before the events, for example the head of a request.
    pub(crate) fn prefixed(mut self, head: &[u8]) -> Self {
        for marks in &mut self.marks {
            marks.event += head.len();
            marks.customer += head.len();
            marks.time += head.len();
        }
        self.text.splice(0..0, head.iter().copied());
        self
    }

    /// Makes its events the ones from number `first` on, of so many customers in all.
    pub(crate) fn stamp(&mut self, first: u64, customers: u64) {
        for (number, marks) in (first..).zip(&self.marks) {
            // Neighbours in the log are other customers; every customer comes once before any comes twice.
            let customer = number.wrapping_mul(7_919) % customers.max(1);
            let passed = number % EVENTS_A_YEAR * (YEAR_MS / EVENTS_A_YEAR);
            digits(
                &mut self.text[marks.event..marks.event + EVENT_DIGITS],
                number,
            );
            digits(
                &mut self.text[marks.customer..marks.customer + CUSTOMER_DIGITS],
                customer,
            );
            digits(
                &mut self.text[marks.time..marks.time + TIME_DIGITS],
                self.start_ms + passed,
            );
        }
    }

    /// The text as it is now.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Events in it.
    pub(crate) fn len(&self) -> usize {
        self.marks.len()
    }
}

fn digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use schemas::{Currency, Draft, Kind, ParseContext, Timestamp};

    use super::*;

    #[test]
    fn events_are_sound_and_of_the_sizes_they_say() {
        let received_at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let context = ParseContext {
            received_at: Timestamp::from_micros(received_at.as_micros() as i64),
            currency: Currency::USD,
        };
        for (shape, kind, sizes) in [
            (Shape::Basket, Kind::Purchase, 1_000..1_300),
            (Shape::Small, Kind::Purchase, 250..401),
            (Shape::User, Kind::User, 150..401),
        ] {
            let mut template = Template::lines(shape, 3, 5).prefixed(b"HEAD");
            template.stamp(154_999, 10);
            let text = template
                .text()
                .strip_prefix(b"HEAD")
                .expect("the head is first");
            let text = std::str::from_utf8(text).expect("ASCII");
            assert_eq!(text.lines().count(), template.len());
            for (line, number) in text.lines().zip(154_999_u64..) {
                assert!(
                    sizes.contains(&line.len()),
                    "{shape:?}: {} bytes",
                    line.len()
                );
                let draft = Draft::parse(kind, line, &context).expect("a sound event");
                assert_eq!(
                    draft.event_id.as_deref(),
                    Some(format!("bench-{number:012}").as_str())
                );
            }
        }
    }

    #[test]
    fn every_customer_comes_once_before_any_comes_twice() {
        let mut template = Template::lines(Shape::User, 1_000, 1);
        template.stamp(0, 1_000);
        let text = String::from_utf8(template.text().to_vec()).expect("ASCII");
        let customers: std::collections::HashSet<_> = text
            .lines()
            .filter_map(|line| line.split("\"customer_id\":\"").nth(1)?.split('"').next())
            .collect();
        assert_eq!(customers.len(), 1_000);
    }
}
