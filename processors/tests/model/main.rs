//! The recipe under chance: one partition, processors that crash, pause, lose the partition and get it back at any step,
//! inserts that land in part, power that fails. Whatever happens, the warehouse must end as the sequential fold of the log.
//!
//! The engine and the driver are those of production, polled by hand, one step of one processor at a time. Every rule of
//! the recipe is also switched off alone, and the same runs must then show a wrong result.

#![allow(clippy::unwrap_used)]

mod disk;
mod random;
mod records;
mod segments;
mod world;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use processors::ProcessorError;
use processors::driver::{Limits, Wiring, drive};
use processors::rules::Rules;
use stream::Delivery;
use tokio_util::sync::CancellationToken;

use disk::Disk;
use random::Random;
use world::{Hurried, Shared, SimLog, SimStore, World};

type Running = Pin<Box<dyn Future<Output = Result<(), ProcessorError>> + Send>>;

struct Incarnation {
    number: usize,
    running: Running,
    /// Whether it believes, or will be told, that the partition is its own.
    owns: bool,
}

struct Run {
    world: Shared,
    incarnations: Vec<Incarnation>,
    started: usize,
    rules: Rules,
    limits: Limits,
}

impl Run {
    fn new(seed: u64, rules: Rules, fsync: bool) -> Self {
        let mut random = Random::new(seed);
        let log = records::log(&mut random);
        let limits = Limits {
            max_events: 1 + random.below(20),
            max_bytes: 1 << 20,
            // Half of the runs gather over several polls, until a cycle is full or chance is in a hurry: the time never
            // passes, for then a seed would not name a run.
            linger: if random.percent(50) {
                Duration::ZERO
            } else {
                Duration::MAX
            },
            linger_behind: Duration::ZERO,
            // Some runs forget customers all the time, some all of them.
            state_bytes: [0, 1_000, 1 << 20][random.below(3)],
            insert_rows: 2 + random.below(20),
        };
        let end = random.below(log.len());
        let world = World {
            random,
            log,
            end,
            disk: Disk::default(),
            news: Default::default(),
            faults: true,
            fsync,
        };
        Self {
            world: Arc::new(Mutex::new(world)),
            incarnations: Vec::new(),
            started: 0,
            rules,
            limits,
        }
    }

    fn start(&mut self) {
        let number = self.started;
        self.started += 1;
        let wiring = Wiring {
            log: Arc::new(SimLog {
                world: self.world.clone(),
                incarnation: number,
            }),
            group: "model".to_owned(),
            store: Arc::new(SimStore {
                world: self.world.clone(),
            }),
            observer: Arc::new(Hurried {
                world: self.world.clone(),
            }),
            limits: self.limits.clone(),
            fold: records::ruled,
            rules: self.rules,
            owner: format!("incarnation {number}"),
            shutdown: CancellationToken::new(),
        };
        self.incarnations.push(Incarnation {
            number,
            running: Box::pin(drive(Arc::new(wiring))),
            owns: false,
        });
    }

    fn tell(&self, number: usize, news: Delivery) {
        self.world
            .lock()
            .news
            .entry(number)
            .or_default()
            .push_back(news);
    }

    /// The partition goes to another processor, or away and back to the same. The one before may learn of it late.
    fn hand_over(&mut self) {
        let (revoked, to) = {
            let mut world = self.world.lock();
            (
                world.random.percent(40),
                world.random.below(self.incarnations.len().max(1)),
            )
        };
        for index in 0..self.incarnations.len() {
            if self.incarnations[index].owns {
                self.incarnations[index].owns = false;
                let lost = if revoked {
                    Delivery::Revoked(vec![0])
                } else {
                    Delivery::Lost(vec![0])
                };
                self.tell(self.incarnations[index].number, lost);
            }
        }
        if let Some(incarnation) = self.incarnations.get_mut(to) {
            incarnation.owns = true;
            let number = incarnation.number;
            self.tell(number, Delivery::Assigned(vec![0]));
        }
    }

    /// One step of one processor.
    fn step(&mut self, index: usize) {
        let mut context = Context::from_waker(Waker::noop());
        match self.incarnations[index].running.as_mut().poll(&mut context) {
            Poll::Pending => {}
            Poll::Ready(ended) => panic!("a processor ended: {ended:?}"),
        }
    }

    fn chance(&self, percent: u64) -> bool {
        self.world.lock().random.percent(percent)
    }

    /// Whether the tables end as they must; otherwise what differs.
    fn outcome(mut self) -> Result<(), String> {
        self.start();
        self.start();
        self.hand_over();
        let steps = 300 + self.world.lock().random.below(900);
        for _ in 0..steps {
            let event = self.world.lock().random.below(1_000);
            match event {
                0..=14 => self.hand_over(),
                // A crash: what was in memory is gone, what had landed stays.
                15..=22 if !self.incarnations.is_empty() => {
                    let index = self.world.lock().random.below(self.incarnations.len());
                    let owned = self.incarnations.swap_remove(index).owns;
                    self.start();
                    if owned {
                        self.hand_over();
                    }
                }
                // The power fails: all crash, and what was not safe may be gone.
                23..=27 => {
                    self.incarnations.clear();
                    let mut world = self.world.lock();
                    let World { random, disk, .. } = &mut *world;
                    disk.lose_power(random);
                    drop(world);
                    self.start();
                    self.start();
                    self.hand_over();
                }
                28..=29 => self.world.lock().disk.sync(),
                30..=90 => {
                    let mut world = self.world.lock();
                    world.end = (world.end + 1 + world.random.below(6)).min(world.log.len());
                }
                _ => {
                    // One of them is often paused: it is the last to get a turn.
                    let last = self.incarnations.len() - 1;
                    let index = if self.chance(70) {
                        0
                    } else {
                        self.world.lock().random.below(last + 1)
                    };
                    self.step(index);
                }
            }
        }
        self.settle()
    }

    /// Lets everything come to rest: the log is whole, one processor has the partition, the others go on as zombies.
    fn settle(mut self) -> Result<(), String> {
        {
            let mut world = self.world.lock();
            world.end = world.log.len();
            world.faults = false;
        }
        self.hand_over();
        let mut idle = 0;
        for _ in 0..20_000 {
            for index in 0..self.incarnations.len() {
                self.step(index);
            }
            let world = self.world.lock();
            let applied = world
                .disk
                .progress()
                .is_some_and(|progress| progress.next == world.log.len() as u64);
            let told = world.news.values().all(|news| news.is_empty());
            idle = if applied && told { idle + 1 } else { 0 };
            // Some turns more, for zombies to finish what they had begun.
            if idle > 50 {
                break;
            }
        }
        let world = self.world.lock();
        let (found, expected) = (world.disk.view(), records::expected(&world.log));
        compare("progress", &found.progress, &expected.progress)?;
        compare("rejections", &found.rejections, &expected.rejections)?;
        compare("events", &found.events, &expected.events)?;
        compare("event ids", &found.ids, &expected.ids)?;
        compare("controls", &found.controls, &expected.controls)?;
        compare("ledger", &found.ledger, &expected.ledger)?;
        compare("states", &found.states, &expected.states)?;
        compare("days", &found.days, &expected.days)?;
        compare("members", &found.members, &expected.members)?;
        compare(
            "segment events",
            &found.segment_events,
            &expected.segment_events,
        )?;
        records::balances(&found)
    }
}

fn compare<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &T,
    expected: &T,
) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what}\n   found {found:?}\nexpected {expected:?}")),
    }
}

fn quiet() {
    // Folds panic on purpose here, some hundred thousand times.
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if !text.contains("a defect every fourth time") {
            eprintln!("{panic}");
        }
    }));
}

/// Runs seeds on all cores until one goes wrong. Returns the first that did, with what differs.
fn first_wrong(seeds: u64, rules: Rules, fsync: bool) -> Option<(u64, String)> {
    quiet();
    let (next, wrong, found) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(None));
    let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get());
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while !wrong.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let outcome =
                        std::panic::catch_unwind(|| Run::new(seed, rules, fsync).outcome());
                    let outcome = outcome.unwrap_or_else(|panic| {
                        Err(format!("panicked: {:?}", panic.downcast_ref::<String>()))
                    });
                    if let Err(difference) = outcome {
                        wrong.store(true, Ordering::Relaxed);
                        found.lock().get_or_insert((seed, difference));
                    }
                }
            });
        }
    });
    found.into_inner()
}

/// Seeds of the full recipe; `MODEL_SEEDS` asks for more.
fn seeds() -> u64 {
    let default = if cfg!(debug_assertions) { 300 } else { 10_000 };
    std::env::var("MODEL_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(default)
}

#[test]
fn whatever_happens_the_warehouse_ends_as_the_sequential_fold() {
    if let Some((seed, difference)) = first_wrong(seeds(), Rules::ALL, true) {
        panic!("seed {seed} ends wrong: {difference}");
    }
}

/// Within how many seeds a missing rule must show.
const MUST_SHOW: u64 = 8_000;

fn must_show(rule: &str, off: impl FnOnce(&mut Rules)) {
    let mut rules = Rules::ALL;
    off(&mut rules);
    assert_ne!(rules, Rules::ALL);
    let wrong = first_wrong(MUST_SHOW, rules, true);
    let (seed, _) =
        wrong.unwrap_or_else(|| panic!("without the rule \"{rule}\" nothing goes wrong"));
    println!("without {rule}: seed {seed}");
}

macro_rules! rules {
    ($($name:ident: $rule:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            must_show(stringify!($rule), |rules| rules.$rule = false);
        }
    )*};
}

rules! {
    it_shows_when_claims_of_the_same_cycle_are_ignored: claims_of_this_cycle,
    it_shows_when_claims_in_flight_are_ignored: claims_in_flight,
    it_shows_when_skipped_records_emit_rows: skipped_emit_nothing,
    it_shows_when_skipped_records_drop_their_claim: skipped_keep_claim,
    it_shows_when_rejected_events_do_not_claim: rejected_claim,
    it_shows_when_a_replay_is_taken_for_a_duplicate: own_claim_is_replay,
    it_shows_when_memory_is_kept_across_hand_overs: drop_memory,
    it_shows_when_ids_and_state_are_read_before_progress: read_in_reverse,
    it_shows_when_definitions_are_not_those_of_the_log: definitions_from_log,
    it_shows_when_groups_are_written_out_of_order: groups_in_order,
    it_shows_when_state_is_written_before_its_days: days_before_state,
    it_shows_when_days_are_counted_without_their_version: buckets_know_their_version,
    it_shows_when_landed_rejections_are_forgotten: landed_rejections,
    it_shows_when_a_failed_insert_is_not_repeated: repeat_failed_insert,
}

#[test]
fn it_shows_when_outputs_are_not_synced_before_state() {
    let wrong = first_wrong(MUST_SHOW, Rules::ALL, false);
    let (seed, _) = wrong.expect("without fsync nothing goes wrong");
    println!("without fsync: seed {seed}");
}
