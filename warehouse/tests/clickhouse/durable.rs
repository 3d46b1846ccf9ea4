//! Kill -9 at any moment: no acknowledged insert is lost, and none is there in part.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::suite::{execute, number, options, rows};
use warehouse::open;

const FOLDER: &str = "MILLRACE_TEST_FOLDER";
const ROWS: u64 = 500;

/// Starts this executable again as the writer of a directory.
fn start(folder: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "durable::write", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

fn numbered(line: &str, name: &str) -> Option<u64> {
    line.strip_prefix(name)?.trim().parse().ok()
}

#[test]
fn no_acknowledged_insert_is_lost_and_none_is_partial() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..8_u64 {
        let (mut child, mut lines) = start(folder.path());
        let found = lines
            .find_map(|line| numbered(&line.unwrap(), "found "))
            .expect("the writer starts");
        assert!(
            found >= acknowledged,
            "{acknowledged} blocks were acknowledged and {found} are there"
        );
        // At most the block under way is there without its acknowledgement.
        assert!(
            found <= acknowledged + 1,
            "{found} blocks after {acknowledged} acknowledgements"
        );
        acknowledged = found;
        let target = found + 3 + round * 2;
        while acknowledged < target {
            let line = lines.next().expect("the writer goes on").unwrap();
            if let Some(block) = numbered(&line, "kept ") {
                assert_eq!(block, acknowledged + 1);
                acknowledged = block;
            }
        }
        // Into the middle of the next insert, at another place each time.
        std::thread::sleep(std::time::Duration::from_micros(round * 1_700));
        child.kill().unwrap();
        child.wait().unwrap();
        // What was acknowledged between the last line read and the kill.
        for line in lines {
            if let Some(block) = line
                .ok()
                .as_deref()
                .and_then(|line| numbered(line, "kept "))
            {
                acknowledged = block;
            }
        }
    }
    assert!(acknowledged > 30);
}

#[test]
#[ignore = "the writer of the test above, in a process of its own"]
fn write() {
    let folder = std::env::var(FOLDER).expect("run by the other test of this file");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let warehouse = open(&format!("chdb:{folder}/warehouse"), &options()).await.unwrap();
        execute(
            &warehouse,
            "CREATE TABLE IF NOT EXISTS kept (id UInt64, text String) ENGINE = MergeTree ORDER BY id \
             SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1",
        )
        .await;
        let count = number(&warehouse, "SELECT count() FROM kept").await;
        let distinct = number(&warehouse, "SELECT uniqExact(id) FROM kept").await;
        let highest = number(&warehouse, "SELECT if(count() = 0, 0, max(id) + 1) FROM kept").await;
        assert!(
            count % ROWS == 0 && count == distinct && count == highest,
            "{count} {distinct} {highest}"
        );
        let mut block = count / ROWS;
        println!("\nfound {block}");
        loop {
            let rows = rows::numbered(block * ROWS, ROWS as usize);
            warehouse.insert("kept", rows).await.unwrap();
            block += 1;
            println!("kept {block}");
        }
    });
}
