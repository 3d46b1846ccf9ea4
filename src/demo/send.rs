//! Sends the events in batches over a few connections, and never the same one twice knowingly.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use indicatif::ProgressBar;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::StatusCode;
use serde_json::Value;

use super::dataset::Dataset;
use super::journal::Journal;
use super::server::Server;

/// Events in a request.
const BATCH: usize = 1000;
/// Requests under way.
const CONNECTIONS: usize = 4;

/// What the server answered for all events.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Answered {
    pub(super) accepted: u64,
    pub(super) rejected: u64,
}

/// Sends everything from the journal's place on; events that an earlier run left in doubt are asked for first.
pub(super) async fn all(
    server: &Server,
    key: &str,
    dataset: &Arc<Dataset>,
    journal: &mut Journal,
    bar: &ProgressBar,
) -> Result<Answered> {
    let mut answered = Answered {
        accepted: journal.acknowledged as u64,
        rejected: 0,
    };
    bar.set_position(journal.acknowledged as u64);
    let doubtful = journal.acknowledged..journal.in_doubt.min(dataset.len());
    if !doubtful.is_empty() {
        let count = doubtful.len();
        bar.println(format!(
            "asking what became of {count} events that an earlier run left in doubt"
        ));
    }
    let known = arrived(server, key, dataset, doubtful).await?;
    let mut starts: Vec<usize> = (journal.acknowledged..dataset.len())
        .step_by(BATCH)
        .collect();
    starts.reverse();

    journal.in_doubt = (journal.acknowledged + BATCH * (CONNECTIONS + 1)).max(journal.in_doubt);
    journal.save()?;
    let mut requests = futures::stream::FuturesUnordered::new();
    let mut done: BTreeMap<usize, usize> = BTreeMap::new();
    loop {
        while requests.len() < CONNECTIONS
            && starts.last().is_some_and(|start| {
                start + BATCH <= journal.in_doubt.max(journal.acknowledged + BATCH)
            })
        {
            let Some(start) = starts.pop() else { break };
            let range = start..(start + BATCH).min(dataset.len());
            requests.push(send(server, key, dataset.clone(), range, &known));
        }
        let Some(result) = requests.next().await else {
            break;
        };
        let (range, counts) = result?;
        answered.accepted += counts.accepted;
        answered.rejected += counts.rejected;
        bar.inc(range.len() as u64);
        done.insert(range.start, range.end);
        while let Some(end) = done.remove(&journal.acknowledged) {
            journal.acknowledged = end;
        }
        journal.in_doubt = (journal.acknowledged + BATCH * (CONNECTIONS + 1)).max(journal.in_doubt);
        journal.save()?;
    }
    journal.in_doubt = journal.acknowledged;
    journal.save()?;
    Ok(answered)
}

/// Which events of a range the log already holds.
async fn arrived(
    server: &Server,
    key: &str,
    dataset: &Dataset,
    range: std::ops::Range<usize>,
) -> Result<std::collections::HashSet<usize>> {
    let asked = futures::stream::iter(range).map(|index| async move {
        let (event_id, customer_id) = dataset.ids(index);
        let event_id = utf8_percent_encode(&event_id, NON_ALPHANUMERIC).to_string();
        let path = format!("/ingest/events/{event_id}?customer_id={customer_id}");
        let response = server.get(&path).bearer_auth(key).send().await?;
        match response.status() {
            StatusCode::OK => Ok(Some(index)),
            StatusCode::NOT_FOUND => Ok(None),
            other => bail!("the receipt of {event_id} cannot be read: {other}"),
        }
    });
    let found: Vec<Result<Option<usize>>> = asked.buffer_unordered(8).collect().await;
    found.into_iter().filter_map(Result::transpose).collect()
}

async fn send(
    server: &Server,
    key: &str,
    dataset: Arc<Dataset>,
    range: std::ops::Range<usize>,
    known: &std::collections::HashSet<usize>,
) -> Result<(std::ops::Range<usize>, Answered)> {
    let mut body = Vec::with_capacity(BATCH * 1400);
    let mut sent = 0;
    for index in range.clone().filter(|index| !known.contains(index)) {
        dataset.write(index, &mut body);
        sent += 1;
    }
    let skipped = (range.len() - sent) as u64;
    if sent == 0 {
        return Ok((
            range,
            Answered {
                accepted: skipped,
                rejected: 0,
            },
        ));
    }
    let response = server
        .post("/ingest/batch?verdicts=rejected")
        .bearer_auth(key)
        .header("content-type", "application/x-ndjson")
        .body(body)
        .send()
        .await
        .context("a batch got no answer; run the demo again with the same --data to go on")?;
    let status = response.status();
    let answer: Value = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
    let count = |name: &str| answer[name].as_u64();
    match (count("accepted"), count("rejected")) {
        (Some(accepted), Some(rejected)) => {
            if rejected > 0 {
                tracing::warn!(first = %answer["results"][0], "events were rejected");
            }
            Ok((
                range,
                Answered {
                    accepted: accepted + skipped,
                    rejected,
                },
            ))
        }
        _ => bail!(
            "a batch was answered {status}: {}",
            answer["detail"].as_str().unwrap_or("no detail")
        ),
    }
}
