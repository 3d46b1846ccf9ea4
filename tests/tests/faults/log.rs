//! The log, read with a client that nobody here wrote (kcat): what is durable, record by record.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tests::micros;

use crate::cluster::{PARTITIONS, TOPIC};
use crate::ledger::Id;

/// Where a record is.
pub(crate) type Place = (u32, u64);

/// What the log holds, as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct LogView {
    /// The next offset to read, by partition.
    next: BTreeMap<u32, u64>,
    /// The first copy of each event, with its amount in millionths where it is a purchase.
    pub(crate) first: HashMap<Id, (Place, Option<i128>)>,
    /// Later copies.
    pub(crate) duplicates: HashSet<Place>,
    /// Broken records that the driver wrote.
    pub(crate) poison: HashSet<Place>,
    /// Records of the program itself.
    pub(crate) internal: u64,
    /// Records that nobody should have written, and holes.
    pub(crate) wrong: Vec<String>,
}

impl LogView {
    /// The end of each partition, as read.
    pub(crate) fn ends(&self) -> BTreeMap<u32, u64> {
        (0..PARTITIONS)
            .map(|partition| (partition, self.next.get(&partition).copied().unwrap_or(0)))
            .collect()
    }

    /// Reads what has come since the last time.
    pub(crate) fn read_on(&mut self, broker: &str, poison: &HashSet<String>) {
        for partition in 0..PARTITIONS {
            let from = self.next.get(&partition).copied().unwrap_or(0);
            let read = kcat(broker)
                .args(["-C", "-t", TOPIC, "-e", "-q", "-f", "%o\t%s\n"])
                .args(["-p", &partition.to_string(), "-o", &from.to_string()])
                .output()
                .unwrap();
            assert!(
                read.status.success(),
                "kcat: {}",
                String::from_utf8_lossy(&read.stderr)
            );
            let text = String::from_utf8_lossy(&read.stdout);
            for line in text.lines() {
                let (offset, payload) = line.split_once('\t').expect("offset and payload");
                self.take(partition, offset.parse().unwrap(), payload, poison);
            }
        }
    }

    fn take(&mut self, partition: u32, offset: u64, payload: &str, poison: &HashSet<String>) {
        let next = self.next.entry(partition).or_default();
        if *next != offset {
            self.wrong.push(format!(
                "partition {partition} goes on at {offset} after {next}"
            ));
        }
        *next = offset + 1;
        let place = (partition, offset);
        if poison.contains(payload) {
            self.poison.insert(place);
            return;
        }
        let record: Value = serde_json::from_str(payload).unwrap_or_default();
        match record["kind"].as_str() {
            Some("user" | "purchase") => {
                let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
                let amount = record["event"]["amount"].as_str().map(micros);
                if let Some((first, _)) = self.first.get(&(text("customer_id"), text("event_id"))) {
                    if first.0 != partition {
                        self.wrong
                            .push(format!("copies of one event in two partitions: {payload}"));
                    }
                    self.duplicates.insert(place);
                } else {
                    self.first
                        .insert((text("customer_id"), text("event_id")), (place, amount));
                }
            }
            Some("define" | "tick" | "probe") => self.internal += 1,
            _ => self.wrong.push(format!(
                "a record that nobody has written at {place:?}: {payload}"
            )),
        }
    }
}

/// The end of each partition now; nothing while the broker does not answer.
pub(crate) fn ends(broker: &str) -> Option<BTreeMap<u32, u64>> {
    let mut command = kcat(broker);
    command.args(["-Q", "-q", "-X", "socket.timeout.ms=2000"]);
    for partition in 0..PARTITIONS {
        command.args(["-t", &format!("{TOPIC}:{partition}:-1")]);
    }
    let asked = command.output().unwrap();
    if !asked.status.success() {
        return None;
    }
    // TOPIC [PARTITION] offset OFFSET
    let text = String::from_utf8_lossy(&asked.stdout);
    let found: BTreeMap<u32, u64> = text
        .lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once('[')?;
            let (partition, rest) = rest.split_once(']')?;
            let offset = rest.trim().strip_prefix("offset")?.trim();
            Some((partition.parse().ok()?, offset.parse().ok()?))
        })
        .collect();
    (found.len() == PARTITIONS as usize).then_some(found)
}

/// Writes a payload past the program into a partition. It may or may not have landed.
pub(crate) async fn write(broker: &str, partition: u32, payload: &str) {
    use tokio::io::AsyncWriteExt;
    let mut command = tokio::process::Command::from(kcat(broker));
    command
        .args(["-P", "-t", TOPIC, "-p", &partition.to_string()])
        .args(["-X", "message.timeout.ms=3000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut writing = command.spawn().unwrap();
    if let Some(mut input) = writing.stdin.take() {
        let _ = input.write_all(payload.as_bytes()).await;
    }
    let _ = tokio::time::timeout(Duration::from_secs(10), writing.wait()).await;
}

fn kcat(broker: &str) -> Command {
    let mut command = Command::new("kcat");
    command.args(["-b", broker]);
    command
}
