//! The driver's own book of what it has sent and what it was told. Nothing in it comes from the program but verdicts.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// An event's name: customer and event id.
pub(crate) type Id = (String, String);

/// What an event stated when it was first sent.
#[derive(Debug, Clone)]
pub(crate) struct Stated {
    /// In millionths; `None` for what is no purchase.
    pub(crate) amount: Option<i128>,
    /// Whether the program has said that it is durable.
    pub(crate) acknowledged: bool,
}

/// What was counted so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Events in requests: repeats and second tries each count.
    pub(crate) sent: u64,
    /// Different events acknowledged.
    pub(crate) acknowledged: u64,
    /// Acknowledgements of events that were acknowledged before.
    pub(crate) repeats: u64,
    /// Events whose sending was not answered, or answered with "not durable": sent again.
    pub(crate) unknown: u64,
    /// Events that break a rule, refused as they should be.
    pub(crate) refused: u64,
    /// Broken records written past the program straight into the log.
    pub(crate) poison: u64,
}

impl Counts {
    /// What came on top of an earlier count.
    pub(crate) fn since(&self, before: &Counts) -> Counts {
        Counts {
            sent: self.sent - before.sent,
            acknowledged: self.acknowledged - before.acknowledged,
            repeats: self.repeats - before.repeats,
            unknown: self.unknown - before.unknown,
            refused: self.refused - before.refused,
            poison: self.poison - before.poison,
        }
    }
}

/// The book.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) events: HashMap<Id, Stated>,
    pub(crate) counts: Counts,
    /// The payloads of broken records.
    pub(crate) poison: HashSet<String>,
    /// Answers that no fault excuses.
    pub(crate) wrong: Vec<String>,
    /// When each request was answered with acceptance, and after how long.
    pub(crate) accepted: Vec<(Instant, Duration)>,
    /// The longest time to any answer.
    pub(crate) longest: Duration,
}

impl Ledger {
    /// Before an event is sent for the first time.
    pub(crate) fn state(&mut self, id: &Id, amount: Option<i128>) {
        self.events.entry(id.clone()).or_insert(Stated {
            amount,
            acknowledged: false,
        });
    }

    /// The program said that an event is durable.
    pub(crate) fn acknowledge(&mut self, id: &Id) {
        let Some(stated) = self.events.get_mut(id) else {
            return self.wrong(format!("{id:?} was acknowledged and never sent"));
        };
        match std::mem::replace(&mut stated.acknowledged, true) {
            true => self.counts.repeats += 1,
            false => self.counts.acknowledged += 1,
        }
    }

    /// Something that must never be answered.
    pub(crate) fn wrong(&mut self, what: String) {
        if self.wrong.len() < 20 {
            self.wrong.push(what);
        }
    }

    /// The longest of the quickest 99 of 100 accepted requests since then.
    pub(crate) fn p99_since(&self, since: Instant) -> Option<Duration> {
        let mut times: Vec<Duration> = self
            .accepted
            .iter()
            .filter(|(at, _)| *at >= since)
            .map(|(_, time)| *time)
            .collect();
        times.sort_unstable();
        let place = (times.len() * 99).div_ceil(100);
        times.get(place.checked_sub(1)?).copied()
    }
}
