//! The log of a run, and what a sequential fold makes of it: written apart from the engine, as plainly as possible.

use std::collections::BTreeMap;
use std::sync::Arc;

use processors::claims::Claim;
use processors::fold::{self, Applied, Definitions, Refusal, State};
use schemas::criteria::Aspects;
use schemas::{
    Control, Currency, Decimal, Define, Draft, Event, Kind, OrganizationId, ParseContext, Position,
    Record, Tier, Timestamp,
};
use stream::LogRecord;

use crate::random::Random;
use crate::segments::{self, Days, Segments};

const DAY: i64 = 86_400_000_000;

/// The fold of the run: the real one inside two business rules that depend on state.
pub(crate) fn ruled(
    definitions: &Definitions,
    state: &mut State,
    event: &Event,
) -> Result<Applied, Refusal> {
    if let Some(purchase) = event.body.purchase()
        && state.money(purchase.currency).revenue + purchase.amount < Decimal::ZERO
    {
        return Err(Refusal {
            reason: "overdraft",
            field: "amount".into(),
            detail: "more than was paid".into(),
        });
    }
    let applied = fold::apply(definitions, state, event)?;
    assert!(
        !(state.interactions > 0 && state.interactions.is_multiple_of(4)),
        "a defect every fourth time"
    );
    Ok(applied)
}

/// A log with duplicates, retries, rejected events, poison, ticks and definitions.
pub(crate) fn log(random: &mut Random) -> Vec<LogRecord> {
    let length = 20 + random.below(60);
    let ids = length / 2 + 3;
    let organizations = [
        OrganizationId::from_text("org_a"),
        OrganizationId::from_text("org_b"),
    ];
    (0..length)
        .map(|offset| {
            let received = Timestamp::from_micros(20_000 * DAY + offset as i64 * 7_000_000);
            let (payload, decoded) = match random.below(20) {
                0 => (
                    bytes::Bytes::from_static(b"{\"v\":1,\"kind\":\"purchase\""),
                    None,
                ),
                1 => (poison(random), None),
                2 => control(&Control::Tick {
                    at: Timestamp::from_micros((20_000 + random.below(6) as i64) * DAY),
                }),
                3 => control(&Control::Define {
                    define: define(random, &organizations),
                }),
                4 => control(&Control::Probe),
                5 => control(&segments::evaluate_bucket(random, &organizations, received)),
                _ => {
                    let organization = &organizations[usize::from(random.percent(15))];
                    event(random, organization, ids, received)
                }
            };
            LogRecord {
                position: Position {
                    generation: 1,
                    partition: 0,
                    offset: offset as u64,
                },
                payload,
                decoded: decoded.filter(|_| random.percent(50)),
                appended_at: received.micros(),
                trace: None,
            }
        })
        .collect()
}

type Made = (bytes::Bytes, Option<Arc<Record>>);

fn control(control: &Control) -> Made {
    (
        control.encode(),
        Some(Arc::new(Record::Control(control.clone()))),
    )
}

fn define(random: &mut Random, organizations: &[OrganizationId]) -> Define {
    let organization = organizations[random.below(2)].clone();
    match random.below(6) {
        3.. => segments::define(random, organization),
        0 => Define::Fold { version: 1 },
        1 => Define::Organization {
            organization,
            currency: Currency::parse(["USD", "EUR"][random.below(2)]).unwrap(),
        },
        _ => Define::Loyalty {
            organization,
            tiers: vec![
                Tier {
                    name: "low".into(),
                    from: 0,
                },
                Tier {
                    name: "high".into(),
                    from: 10,
                },
            ],
            points_per_unit: 1 + random.below(3) as i64,
            points_expire_days: [0, 0, 2, 400][random.below(4)],
        },
    }
}

fn poison(random: &mut Random) -> bytes::Bytes {
    let id = random.below(9);
    format!(
        r#"{{"v":1,"kind":"activity","organization":"org_a","customer_id":"c1","event_id":"e{id}","received_us":7,"event":{{"customer_id":"c1"}}}}"#
    )
    .into()
}

fn event(
    random: &mut Random,
    organization: &OrganizationId,
    ids: usize,
    received_at: Timestamp,
) -> Made {
    let (customer, id) = (random.below(4), random.below(ids));
    let occurred = 1_727_654_400_000_i64 + random.below(4) as i64 * 86_400_000;
    let own = match random.below(17) {
        0 => format!(
            r#""name":"n{id}","next_follow_up":{}"#,
            occurred + 86_400_000
        ),
        1 => r#""email":null,"colour":"red""#.to_owned(),
        2 => r#""name":"login""#.to_owned(),
        3 => r#""channel":"phone","kind":"call""#.to_owned(),
        4 | 5 => format!(
            r#""amount":"-{}.50","currency":"{}""#,
            random.below(6),
            ["USD", "EUR"][random.below(2)]
        ),
        6 | 7 => format!(
            r#""change":{{"action":"contact.update","creates":{},"seen":{},"guards":["contact/{}"],"records":[{{"record":"contact","id":"{}","after":{{"name":"n{id}"}}}}]}}"#,
            random.percent(20),
            random.below(6),
            random.below(3),
            random.below(3),
        ),
        11 => format!(
            r#""change":{{"action":"segment.assign","seen":0,"assign":[{}]}}"#,
            segments::assign(random)
        ),
        8 => format!(
            r#""change":{{"action":"customer.update","seen":{},"guards":["profile"],"profile":{{"name":"s{id}"}},"status":{{"to":"{}"}}}}"#,
            random.below(6),
            ["lead", "inactive", "prospect"][random.below(3)],
        ),
        9 | 10 => format!(
            r#""change":{{"action":"quote.send","seen":{},"guards":["quote/{}"],"records":[{{"record":"quote","id":"{}","after":{{"status":"{}","valid_until":{},"total":"{id}.50"}}}}]}}"#,
            random.below(6),
            random.below(3),
            random.below(3),
            ["sent", "viewed", "accepted"][random.below(3)],
            (20_000 + random.below(6) as i64) * DAY / 1_000,
        ),
        11 | 12 => format!(
            r#""change":{{"action":"loyalty.points","points":{{"kind":"{}","points":{},"reason":"r{id}"}}{}}}"#,
            ["earn", "redeem", "adjust"][random.below(3)],
            random.below(8),
            ["", r#","tier":{"to":"vip"}"#, r#","deletes":true"#][random.below(3)],
        ),
        _ => format!(
            r#""amount":"{}.25","currency":"{}""#,
            random.below(12),
            ["USD", "EUR"][random.below(2)]
        ),
    };
    let kind = match own.as_bytes()[1] {
        b'n' if own.contains("login") => Kind::Activity,
        b'n' | b'e' => Kind::User,
        b'c' if own.contains("change") => Kind::Change,
        b'c' => Kind::Interaction,
        _ => Kind::Purchase,
    };
    let stated = format!(
        r#"{{"customer_id":"c{customer}","event_id":"e{id}","occurred_at":{occurred},{own}}}"#
    );
    let context = ParseContext {
        received_at,
        currency: Currency::USD,
    };
    let attempt = u32::from(random.percent(10));
    let draft = Draft::parse(kind, &stated, &context).unwrap();
    let event = draft.into_event(
        organization.clone(),
        || unreachable!(),
        received_at,
        "key".into(),
        attempt,
    );
    let mut payload = Vec::new();
    schemas::record::encode_event(&mut payload, &event, Currency::USD, &stated);
    (payload.into(), Some(Arc::new(Record::Event(event))))
}

/// What the tables must hold, in the forms the simulated store keeps.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Expected {
    pub(crate) events: BTreeMap<u64, String>,
    pub(crate) rejections: BTreeMap<u64, String>,
    pub(crate) ids: BTreeMap<Claim, u64>,
    pub(crate) states: BTreeMap<String, String>,
    pub(crate) days: BTreeMap<String, String>,
    pub(crate) controls: BTreeMap<u64, String>,
    /// By customer, record and id.
    pub(crate) records: BTreeMap<String, String>,
    /// By offset, customer and ordinal.
    pub(crate) edits: BTreeMap<(u64, String, u32), String>,
    /// By customer and offset.
    pub(crate) ledger: BTreeMap<(String, u64), String>,
    /// By customer and segment.
    pub(crate) members: BTreeMap<String, String>,
    /// By offset, customer and ordinal.
    pub(crate) segment_events: BTreeMap<(u64, String, u32), String>,
    /// next, records, events, rejections, duplicates, internal
    pub(crate) progress: [u64; 6],
}

impl Expected {
    /// The records and edits of one customer that a record of the log adds.
    fn note(&mut self, offset: u64, customer: &str, applied: &Applied) {
        for row in &applied.records {
            self.records.insert(
                format!("{customer}/{}/{}", row.record, row.id),
                format!("{} {}", row.edit, row.fields.as_deref().unwrap_or_default()),
            );
        }
        for (ordinal, edited) in (0..).zip(&applied.edits) {
            let text = format!(
                "{customer} {} {} {} {}",
                edited.action, edited.record, edited.before, edited.after
            );
            self.edits
                .insert((offset, customer.to_owned(), ordinal), text);
        }
        if let Some(movement) = &applied.points {
            let key = (customer.to_owned(), offset);
            self.ledger.insert(key, shown(movement));
        }
    }
}

/// A movement of points, as it is compared.
fn shown(movement: &fold::Movement) -> String {
    format!(
        "{} {} {} {} {}",
        movement.kind, movement.points, movement.balance, movement.reason, movement.reference
    )
}

/// The sequential fold of a whole log.
pub(crate) fn expected(log: &[LogRecord]) -> Expected {
    let mut expected = Expected::default();
    let mut definitions = Definitions::default();
    let mut states: BTreeMap<String, State> = BTreeMap::new();
    let mut days: Days = BTreeMap::new();
    let mut segments = Segments::default();
    let mut counts = [0; 6];
    for record in log {
        let offset = record.position.offset;
        counts[0] = offset + 1;
        counts[1] += 1;
        let event = match Record::decode(&record.payload) {
            Err(_) => {
                counts[3] += 1;
                expected.rejections.insert(offset, "undecodable".to_owned());
                continue;
            }
            Ok(Record::Control(control)) => {
                counts[5] += 1;
                if control != Control::Probe {
                    let json = serde_json::to_string(&control).unwrap();
                    expected.controls.insert(offset, json);
                }
                let version = record.position.version();
                match control {
                    Control::Define { define } => {
                        definitions.define(&define).unwrap();
                        segments.defined(&define, states.keys());
                    }
                    Control::Tick { at } => {
                        segments.tick(at);
                        for (customer, state) in &mut states {
                            let due = fold::next_due(state).is_some_and(|due| due <= at);
                            let (organization, _) = customer.split_once('/').unwrap();
                            let organization = OrganizationId::from_text(organization);
                            let fired = fold::tick(&definitions, &organization, state, at);
                            let mut changed = fired.is_some();
                            let expires =
                                fired.as_ref().is_some_and(|fired| fired.points.is_some());
                            let asked = Aspects::NONE.with_if(expires, Aspects::LOYALTY);
                            if let Some(fired) = fired {
                                expected.note(offset, customer, &fired);
                            }
                            let mut look = segments.look(&definitions, &days, customer, "tick");
                            changed |= due && look.at_tick(asked, at, state, offset, &mut expected);
                            if changed {
                                state.version = version;
                            }
                        }
                    }
                    Control::Evaluate {
                        organization,
                        bucket,
                        at,
                    } => {
                        segments.tick(at);
                        for (customer, state) in &mut states {
                            if segments::lives_in(customer, &organization, bucket) {
                                let mut look = segments.look(&definitions, &days, customer, "rule");
                                if look.at_evaluate(state, offset, &mut expected) {
                                    state.version = version;
                                }
                                segments.settle(customer);
                            }
                        }
                    }
                    Control::Probe => {}
                }
                continue;
            }
            Ok(Record::Event(event)) => event,
        };
        let claim = Claim::of(&event);
        if let Some(first) = expected.ids.get(&claim) {
            counts[3] += 1;
            counts[4] += 1;
            expected
                .rejections
                .insert(offset, format!("duplicate of {first}"));
            continue;
        }
        expected.ids.insert(claim, offset);
        let customer = format!("{}/{}", event.organization, event.customer_id);
        let before = states.get(&customer).cloned();
        let mut state = before
            .clone()
            .unwrap_or_else(|| State::new(event.occurred_at, event.received_at));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            ruled(&definitions, &mut state, &event)
        }));
        match outcome {
            Ok(Ok(applied)) => {
                counts[2] += 1;
                state.version = record.position.version();
                expected.note(offset, &customer, &applied);
                if let Some(delta) = applied.day {
                    let bucket = days.entry((customer.clone(), delta.key)).or_default();
                    bucket.count(record.position.version(), &delta.add);
                }
                segments
                    .look(&definitions, &days, &customer, "event")
                    .at_event(&event, before.as_ref(), &mut state, offset, &mut expected);
                states.insert(customer.clone(), state);
                expected.events.insert(
                    offset,
                    format!("{customer}/{}/{}", event.event_id, event.kind()),
                );
            }
            Ok(Err(refusal)) => {
                counts[3] += 1;
                expected
                    .rejections
                    .insert(offset, refusal.reason.to_owned());
            }
            Err(_) => {
                counts[3] += 1;
                expected.rejections.insert(offset, "internal".to_owned());
            }
        }
    }
    expected.progress = counts;
    expected.states = states
        .into_iter()
        .map(|(customer, state)| (customer, serde_json::to_string(&state).unwrap()))
        .collect();
    expected.days = days
        .into_iter()
        .map(|((customer, key), totals)| {
            let currency = key
                .currency
                .map_or(String::new(), |currency| currency.to_string());
            (
                format!("{customer}/{}/{currency}", key.day),
                format!("{totals:?}"),
            )
        })
        .collect();
    expected
}

/// Whether every customer's balance is the sum of its ledger.
pub(crate) fn balances(found: &Expected) -> Result<(), String> {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for ((customer, _), text) in &found.ledger {
        let points: i64 = text.split(' ').nth(1).unwrap().parse().unwrap();
        *sums.entry(customer).or_default() += points;
    }
    for (customer, state) in &found.states {
        let state: State = serde_json::from_str(state).unwrap();
        let sum = sums.get(customer.as_str()).copied().unwrap_or_default();
        if state.loyalty.points != sum {
            let balance = state.loyalty.points;
            return Err(format!(
                "{customer} has {balance} points and a ledger of {sum}"
            ));
        }
    }
    Ok(())
}
