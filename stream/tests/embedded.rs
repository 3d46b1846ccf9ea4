//! What only the embedded log can suffer: its process killed, its disk full, its folder opened twice.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use schemas::Record;
use stream::{AppendError, Consumer, Delivery, LogError, NewRecord, Options};
use support::*;

/// Set for a child: the folder of its log.
const CHILD_FOLDER: &str = "MILLRACE_TEST_LOG_FOLDER";
const CHILD_FILE_LIMIT: &str = "MILLRACE_TEST_FILE_LIMIT";

/// This test program again, running only `test`, after what `shell` sets up.
fn child(test: &str, folder: &Path, shell: &str) -> Child {
    Command::new("bash")
        .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD_FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Acknowledged appends, as a child reports them: partition, offset, payload.
fn acknowledged(line: &str) -> Option<(u32, u64, String)> {
    let mut words = line.strip_prefix("ACK ")?.split(' ');
    let (partition, offset, payload) = (words.next()?, words.next()?, words.next()?);
    Some((
        partition.parse().ok()?,
        offset.parse().ok()?,
        payload.to_owned(),
    ))
}

/// In a child: appends for ever from eight tasks, and reports what was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn child_appends_until_killed() {
    let Ok(folder) = std::env::var(CHILD_FOLDER) else {
        return;
    };
    let log = stream::open(&format!("file:{folder}"), &small_segments())
        .await
        .unwrap();
    let tasks = (0..8).map(|task| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            for call in 0_u64.. {
                let size = [1, 3, 40][(call % 3) as usize];
                let name =
                    |number| format!("{}/{task}/{call}/{number}{:x<600}", std::process::id(), ".");
                let records: Vec<NewRecord> = (0..size)
                    .map(|number| record(number % 4, name(number)))
                    .collect();
                let results = log.append(records.clone()).await;
                let mut report = String::new();
                for (record, result) in records.iter().zip(results) {
                    let position = result.unwrap();
                    let payload = std::str::from_utf8(&record.payload).unwrap();
                    report +=
                        &format!("ACK {} {} {payload}\n", position.partition, position.offset);
                }
                std::io::stdout()
                    .lock()
                    .write_all(report.as_bytes())
                    .unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

fn small_segments() -> Options {
    let mut options = options();
    options.embedded.segment_bytes = 1 << 20;
    options.retention_interval = Duration::from_millis(100);
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_doubled_by_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected: BTreeMap<(u32, u64), String> = BTreeMap::new();
    for round in 0..5 {
        let mut child = child("child_appends_until_killed", folder.path(), "");
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut seen = 0;
        let mut line = Vec::new();
        // Another moment each time; then whatever it had said before it died.
        while lines.read_until(b'\n', &mut line).unwrap() > 0 {
            if let Some((partition, offset, payload)) = line
                .strip_suffix(b"\n")
                .and_then(|line| acknowledged(std::str::from_utf8(line).ok()?))
            {
                assert!(
                    expected.insert((partition, offset), payload).is_none(),
                    "a position given twice"
                );
                seen += 1;
                if seen == 700 + round * 531 {
                    child.kill().unwrap();
                }
            }
            line.clear();
        }
        child.wait().unwrap();
        assert!(seen > 500, "the child appended: {seen}");

        let log = stream::open(
            &format!("file:{}", folder.path().display()),
            &small_segments(),
        )
        .await
        .unwrap();
        let mut payloads = HashSet::new();
        let mut found = 0;
        for partition in 0..4 {
            for (index, record) in read_all(&log, partition).await.iter().enumerate() {
                assert_eq!(record.position.offset, index as u64, "dense");
                assert!(
                    payloads.insert(text(record)),
                    "{} is in the log twice",
                    text(record)
                );
                if let Some(payload) = expected.get(&(partition, record.position.offset)) {
                    assert_eq!(*payload, text(record));
                    found += 1;
                }
            }
        }
        assert_eq!(
            found,
            expected.len(),
            "round {round}: acknowledged records are missing"
        );
        log.close().await.unwrap();
    }
}

/// The journal that is being written, and where its last byte is.
fn journal_end(folder: &Path) -> (std::path::PathBuf, u64) {
    let mut journals: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .collect();
    journals.sort_by_key(|path| {
        path.file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    });
    let journal = journals.pop().unwrap();
    let bytes = std::fs::read(&journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    (journal, end as u64)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_last_write_is_cut_off() {
    for cut in [1, 9, 60, 2_000] {
        let place = Place::embedded();
        let Place::Folder(folder) = &place else {
            unreachable!()
        };
        let log = place.open().await;
        for group in 0..10 {
            append(
                &log,
                vec![
                    record(1, format!("group-{group}")),
                    record(1, noise(5_000, group)),
                ],
            )
            .await;
        }
        log.close().await.unwrap();
        let (journal, end) = journal_end(&folder.path().join("log"));
        std::fs::OpenOptions::new()
            .write(true)
            .open(journal)
            .unwrap()
            .set_len(end - cut)
            .unwrap();

        let log = place.open().await;
        assert_eq!(
            log.bounds().await.unwrap()[1].end,
            18,
            "the last write, and only that, is gone"
        );
        assert_eq!(append(&log, vec![record(1, "again")]).await[0].offset, 18);
        log.close().await.unwrap();
        let log = place.open().await;
        let records = read_all(&log, 1).await;
        assert_eq!(records.len(), 19);
        assert_eq!(
            (text(&records[16]), text(&records[18])),
            ("group-8".to_owned(), "again".to_owned())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_the_last_write_is_cut_off() {
    let place = Place::embedded();
    let Place::Folder(folder) = &place else {
        unreachable!()
    };
    let log = place.open().await;
    for group in 0..3 {
        append(&log, vec![record(0, noise(20_000, group))]).await;
    }
    log.close().await.unwrap();
    // Power loss: the end of the write reached the disk, a page before it did not.
    let (journal, end) = journal_end(&folder.path().join("log"));
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[end as usize - 12_000..end as usize - 8_000].fill(0);
    std::fs::write(&journal, &bytes).unwrap();
    let log = place.open().await;
    assert_eq!(log.bounds().await.unwrap()[0].end, 2);
    assert_eq!(append(&log, vec![record(0, "again")]).await[0].offset, 2);
    log.close().await.unwrap();

    // The same in a write that others follow is damage, and is not hidden.
    let (journal, _) = journal_end(&folder.path().join("log"));
    let mut bytes = std::fs::read(&journal).unwrap();
    let middle = bytes
        .windows(64)
        .position(|window| *window == noise(20_000, 1)[..64])
        .unwrap();
    bytes[middle..middle + 1_000].fill(0);
    std::fs::write(&journal, &bytes).unwrap();
    let error = stream::open(&place.url(), &options()).await.unwrap_err();
    assert!(matches!(error, LogError::Damaged(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_one_owner() {
    let place = Place::embedded();
    let log = place.open().await;
    let error = stream::open(&place.url(), &options()).await.unwrap_err();
    assert!(matches!(error, LogError::Locked { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("stop that process, or where roles run apart"),
        "{error}"
    );
    log.close().await.unwrap();
    place.open().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_generation_is_refused() {
    let place = Place::embedded();
    place.open().await.close().await.unwrap();
    let error = stream::open(
        &place.url(),
        &Options {
            generation: 2,
            ..options()
        },
    )
    .await
    .unwrap_err();
    assert!(
        matches!(&error, LogError::Mismatch(text) if text.contains("is generation 1, 2 is configured")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_fall_behind_read_from_disk() {
    let place = Place::embedded();
    let mut options = small_segments();
    options.embedded.tail_bytes = 50_000;
    let log = place.open_with(&options).await;
    let mut consumer = log.subscribe("state").await.unwrap();
    start_all(&mut consumer, 4, 0).await;
    let mut next = [0_u64; 4];
    let mut sent = 0_u64;
    for round in 0..60_u64 {
        // Sometimes it keeps up, sometimes it is far behind; the tail holds about 50 records.
        let count = [10, 400, 90][(round % 3) as usize];
        let records: Vec<_> = (0..count)
            .map(|number| record((number % 4) as u32, noise(700, sent * 1_000 + number)))
            .collect();
        append(&log, records).await;
        sent += count;
        let wanted = if round % 4 == 0 { 3 } else { 1_000 };
        let limits = stream::Limits {
            max_records: wanted,
            ..LIMITS
        };
        for delivery in consumer.poll(&limits).await.unwrap() {
            take(&delivery, &mut next);
        }
    }
    while next.iter().sum::<u64>() < sent {
        for delivery in consumer.poll(&LIMITS).await.unwrap() {
            take(&delivery, &mut next);
        }
    }
    assert!(consumer.poll(&LIMITS).await.unwrap().is_empty());
}

fn take(delivery: &Delivery, next: &mut [u64; 4]) {
    let Delivery::Records { partition, records } = delivery else {
        panic!("{delivery:?}")
    };
    for record in records {
        assert_eq!(record.position.offset, next[*partition as usize]);
        next[*partition as usize] += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ingest_parsed_is_handed_on_while_it_is_in_memory() {
    let place = Place::embedded();
    let log = place.open().await;
    let mut consumer: Box<dyn Consumer> = log.subscribe("state").await.unwrap();
    start_all(&mut consumer, 4, 0).await;
    let decoded = Arc::new(Record::Control(schemas::Control::Probe));
    let new = NewRecord {
        partition: 2,
        payload: "probe".into(),
        decoded: Some(Arc::clone(&decoded)),
        trace: None,
    };
    append(&log, vec![new]).await;
    let received = receive(&mut consumer, 1).await;
    let handed_on = received[&2][0].decoded.as_ref().expect("still in memory");
    assert!(Arc::ptr_eq(handed_on, &decoded));
    drop(received);
    consumer.start(2, 0).await.unwrap();
    let again = receive(&mut consumer, 1).await;
    assert!(
        again[&2][0].decoded.is_none(),
        "everyone had it, so it was dropped and is read from disk"
    );
    assert_eq!(text(&again[&2][0]), "probe");
}

/// In a child that may not write files beyond a limit: appends until that hurts, then raises the limit, as somebody
/// who makes room on a full disk, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn child_appends_with_little_space() {
    let Ok(folder) = std::env::var(CHILD_FOLDER) else {
        return;
    };
    if std::env::var(CHILD_FILE_LIMIT).is_err() {
        return;
    }
    let mut options = Options {
        append_timeout: Duration::from_secs(6),
        ..options()
    };
    // The journal may reach the limit before its memtable is written out.
    options.embedded.segment_bytes = 256 << 20;
    let log = stream::open(&format!("file:{folder}"), &options)
        .await
        .unwrap();
    let mut failed = 0;
    let mut after = 0;
    for number in 0_u64.. {
        let result = log
            .append(vec![record(0, noise(500_000, number))])
            .await
            .remove(0);
        match result {
            Ok(position) => {
                println!("ACK 0 {} {number}", position.offset);
                after += u32::from(failed > 0);
            }
            Err(AppendError::Unavailable { .. } | AppendError::Unknown { .. }) => {
                failed += 1;
                if failed == 5 {
                    let me = std::process::id().to_string();
                    let raised = Command::new("prlimit")
                        .args(["--pid", &me, "--fsize=unlimited"])
                        .status();
                    assert!(raised.unwrap().success());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(other) => panic!("{other}"),
        }
        if after == 20 || number == 2_000 {
            break;
        }
    }
    println!("END {failed} {after}");
    log.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_is_told_and_the_log_recovers() {
    let folder = tempfile::tempdir().unwrap();
    // 66,000 blocks of 1 kB: just above what a new journal reserves. Writes beyond fail as on a full disk.
    let shell = format!("trap '' XFSZ; ulimit -S -f 66000; export {CHILD_FILE_LIMIT}=1;");
    let mut child = child("child_appends_with_little_space", folder.path(), &shell);
    let mut output = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut output)
        .unwrap();
    assert!(child.wait().unwrap().success(), "{output}");
    let end = output
        .lines()
        .find_map(|line| line.strip_prefix("END "))
        .expect("it came to its end");
    let (failed, after) = end.split_once(' ').unwrap();
    assert!(
        failed.parse::<u32>().unwrap() >= 5,
        "no write failed: {end}"
    );
    assert_eq!(after, "20", "appends succeed again");

    let log = stream::open(&format!("file:{}", folder.path().display()), &options())
        .await
        .unwrap();
    let records = read_all(&log, 0).await;
    let mut checked = 0;
    for (_, offset, number) in output.lines().filter_map(acknowledged) {
        assert_eq!(
            records[offset as usize].payload,
            noise(500_000, number.parse().unwrap()),
            "offset {offset}"
        );
        checked += 1;
    }
    assert!(checked > 100, "{checked}");
}
