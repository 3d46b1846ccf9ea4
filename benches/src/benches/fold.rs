//! From records to state and columns: the processor without the log and the warehouse, on one thread.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use processors::engine::{Engine, Setup};
use processors::fold::{self, Definitions};
use processors::prepare::prepare;
use processors::rows::Output;
use processors::rules::Rules;
use schemas::record::encode_event;
use schemas::{
    Currency, Define, Draft, Event, Kind, OrganizationId, ParseContext, Position, Record, Timestamp,
};
use stream::LogRecord;

use crate::events::{Shape, Template};
use crate::report::{Figures, Reporter};
use crate::settings::Settings;

const CYCLE: usize = 50_000;
const CUSTOMERS: u64 = 2_500;
/// As many as an organization may have.
const SEGMENTS: usize = 200;

pub(crate) async fn run(settings: &Settings, reporter: &Reporter) -> Result<()> {
    let events = settings.size(200_000, 5_000) as usize;
    for (name, shape) in [
        ("purchases of ten items", Shape::Basket),
        ("purchases of one item", Shape::Small),
    ] {
        // Ingest in the same process hands over what it has parsed; records of Kafka are parsed here.
        for (how, decoded) in [("handed over parsed", true), ("parsed from the log", false)] {
            reporter
                .case(&format!("{name}, {how}"), async || {
                    measure(shape, events, decoded, 0)
                })
                .await?;
        }
        let name = format!("{name}, handed over parsed, {SEGMENTS} segments");
        reporter
            .case(&name, async || measure(shape, events, true, SEGMENTS))
            .await?;
    }
    Ok(())
}

/// Parsed events with their payloads, as ingest makes them.
pub(crate) fn events(shape: Shape, count: usize) -> Result<Vec<(Event, bytes::Bytes)>> {
    let mut template = Template::lines(shape, count, 9);
    template.stamp(0, CUSTOMERS);
    let organization = organization();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let received_at = Timestamp::from_micros(now.as_micros() as i64);
    let context = ParseContext {
        received_at,
        currency: Currency::USD,
    };
    let kind = if shape == Shape::User {
        Kind::User
    } else {
        Kind::Purchase
    };
    let text = std::str::from_utf8(template.text())?;
    let source: Arc<str> = "key_0123456789abcdef".into();
    text.lines()
        .map(|line| {
            let draft = Draft::parse(kind, line, &context)
                .ok()
                .context("a sound event")?;
            let event = draft.into_event(
                organization.clone(),
                || "none".into(),
                received_at,
                source.clone(),
                0,
            );
            let mut payload = Vec::with_capacity(line.len() + 320);
            encode_event(&mut payload, &event, Currency::USD, line);
            Ok((event, payload.into()))
        })
        .collect()
}

/// Segments as organizations have them: of fields, of money, and of what was done lately.
fn segment(number: usize) -> Define {
    let value = number * 10;
    let criteria = match number % 8 {
        0 => format!(
            r#"{{"all":[{{"field":"country","op":"eq","value":"c{number}"}},{{"field":"total_revenue","op":"gt","value":{value}}}]}}"#
        ),
        1 => format!(r#"{{"field":"total_orders","op":"gte","value":{number}}}"#),
        2 => format!(
            r#"{{"sum":"revenue","days":{},"op":"gte","value":{value}}}"#,
            30 + number
        ),
        3 => format!(r#"{{"recency":"last_order","op":"gt","days":{number}}}"#),
        4 => format!(r#"{{"tags":["t{number}","u{number}"]}}"#),
        5 => format!(r#"{{"count":"activities","days":30,"op":"gte","value":{number}}}"#),
        6 => format!(
            r#"{{"any":[{{"field":"tier","op":"eq","value":"gold"}},{{"field":"points","op":"gt","value":{value}}}]}}"#
        ),
        _ => format!(
            r#"{{"all":[{{"field":"city","op":"starts_with","value":"b"}},{{"field":"status","op":"eq","value":"active"}}]}}"#
        ),
    };
    Define::Segment {
        organization: organization(),
        id: format!("seg_{number:032x}").into(),
        version: 1,
        criteria,
        is_active: true,
    }
}

fn organization() -> OrganizationId {
    OrganizationId::from_text("org_0123456789abcdef0123456789abcdef")
}

fn measure(shape: Shape, count: usize, decoded: bool, segments: usize) -> Result<Figures> {
    let mut definitions = Definitions::default();
    for number in 0..segments {
        definitions.define(&segment(number))?;
    }
    let records: Vec<LogRecord> = events(shape, count)?
        .into_iter()
        .enumerate()
        .map(|(offset, (event, payload))| LogRecord {
            position: Position {
                generation: 1,
                partition: 0,
                offset: offset as u64,
            },
            payload,
            appended_at: event.received_at.micros(),
            decoded: decoded.then(|| Arc::new(Record::Event(event))),
            trace: None,
        })
        .collect();
    let setup = Setup {
        generation: 1,
        partition: 0,
        partitions: 1,
        fold: fold::apply,
        rules: Rules::ALL,
        state_bytes: 1 << 30,
    };
    let mut engine = Engine::new(setup, None, 0, definitions);
    let (mut preparing, mut folding, mut columns) = (0.0, 0.0, 0.0);
    for cycle in records.chunks(CYCLE) {
        let cycle = cycle.to_vec();
        let begun = Instant::now();
        let ready = prepare(cycle);
        // New customers are in no table, which an engine without stored state knows by itself.
        let _ = engine.needs(&ready);
        preparing += begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        let mut out = Output::with_capacity(CYCLE);
        let part = engine.fold(&ready, &hashbrown::HashMap::new(), &mut out)?;
        let part = part.context("records give a part")?;
        folding += begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        let cycle = out.finish(1, vec![part])?;
        columns += begun.elapsed().as_secs_f64();
        engine.acknowledge(&cycle.parts[0]);
    }
    anyhow::ensure!(
        engine.progress().events == count as u64,
        "{} of {count} events counted",
        engine.progress().events
    );
    let each = |seconds: f64| seconds * 1e6 / count as f64;
    let all = preparing + folding + columns;
    Ok(vec![
        ("events_per_s", count as f64 / all),
        ("us_per_event", each(all)),
        ("prepare_us", each(preparing)),
        ("fold_us", each(folding)),
        ("columns_us", each(columns)),
    ])
}
