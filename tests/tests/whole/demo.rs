//! The demo on real purchases: cut off and gone on, and sent twice, its figures are those of the data.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{children, dataset, kill, libchdb, run_python};

/// All of it: 155,848 baskets and 2,469 households.
const EVENTS: u64 = 158_317;
const REVENUE: &str = "4596039.58";

fn demo(data: &Path, events: u64, out: &Path, more: &[&str]) -> Child {
    let mut command = tests::command();
    command.arg("demo").arg("--dataset").arg(dataset());
    command.args(["--events", &events.to_string(), "--once"]);
    command
        .arg("--json")
        .arg(out)
        .arg("--data")
        .arg(data)
        .args(more);
    command.args([
        "--set",
        &format!("embedded.library={}", libchdb().display()),
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().unwrap()
}

/// Runs the demo to its end and reads the figures that it wrote.
fn figures(data: &Path, events: u64, more: &[&str]) -> Value {
    let out = data.with_extension("json");
    let _ = std::fs::remove_file(&out);
    let status = demo(data, events, &out, more).wait().unwrap();
    assert!(status.success(), "the demo ended with {status}");
    serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap()
}

/// The sum of the first events of the data, computed by other means.
fn prefix(events: u64) -> Value {
    run_python(
        "prefix.py",
        &[dataset().to_str().unwrap(), &events.to_string()],
    )
}

#[track_caller]
fn assert_whole(found: &Value, events: u64, duplicates: u64) {
    let expected = prefix(events);
    for name in ["sent", "accepted", "processed", "archived"] {
        assert_eq!(found[name], events, "{name}");
    }
    assert_eq!(found["rejected"], 0);
    assert_eq!(found["duplicates"], duplicates);
    assert_eq!(found["balanced"], true);
    for way in ["sent", "state", "archive"] {
        let revenue = found["revenue"][way].as_str().unwrap();
        assert_eq!(
            tests::micros(revenue),
            tests::micros(expected["revenue"].as_str().unwrap()),
            "{way}"
        );
    }
    assert!(found["events_per_s"].as_f64().unwrap() > 0.0);
    assert!(found["elapsed_s"].as_f64().unwrap() > 0.0);
    let memory = found["peak_rss_mb"].as_f64().unwrap();
    assert!(memory > 10.0 && memory < 2_000.0, "{memory} MB");
    let top = found["top_products"].as_array().unwrap();
    let shown: Vec<(&str, i128)> = top
        .iter()
        .map(|of| {
            (
                of["product_id"].as_str().unwrap(),
                tests::micros(of["revenue"].as_str().unwrap()),
            )
        })
        .collect();
    let expected: Vec<(&str, i128)> = expected["top_products"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| {
            (
                of[0].as_str().unwrap(),
                tests::micros(of[1].as_str().unwrap()),
            )
        })
        .collect();
    assert_eq!(shown, expected, "top products");
    assert_eq!(found["forecast"]["rows"].as_array().unwrap().len(), 28);
    let customers = found["recommendations"].as_array().unwrap();
    assert_eq!(customers.len(), 3);
    for customer in customers {
        for list in ["replenish", "discover"] {
            for item in customer[list].as_array().unwrap() {
                assert!(
                    item["product_id"].is_string() && item["score"].is_f64(),
                    "{item}"
                );
                assert!(
                    item["reason"]
                        .as_str()
                        .is_some_and(|reason| !reason.is_empty()),
                    "{item}"
                );
            }
        }
        assert!(!customer["discover"].as_array().unwrap().is_empty());
    }
}

#[test]
fn the_demo_is_exact_and_sending_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = figures(&data, EVENTS, &[]);
    assert_whole(&first, EVENTS, 0);
    for way in ["sent", "state", "archive"] {
        assert_eq!(first["revenue"][way], REVENUE, "{way}");
    }

    let again = figures(&data, EVENTS, &["--again"]);
    assert_whole(&again, EVENTS, EVENTS);
    for name in ["processed", "archived", "revenue", "top_products"] {
        assert_eq!(again[name], first[name], "{name}");
    }
    let values = |found: &Value| -> Vec<Value> {
        let rows = found["forecast"]["rows"].as_array().unwrap();
        rows.iter().map(|row| row["value"].clone()).collect()
    };
    assert_eq!(values(&again), values(&first), "the forecast");
}

#[test]
fn a_demo_that_is_killed_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let out = folder.path().join("cut.json");
    for goal in [5_000, 20_000] {
        // Of this run: what the one before had come to is in the notes from the start.
        let goal = goal.max(acknowledged(&data) + 5_000);
        let mut running = demo(&data, EVENTS, &out, &[]);
        let acknowledged = wait_until_acknowledged(&data, goal, &mut running);
        assert!(acknowledged < EVENTS, "it was done before it was killed");
        let server = children(running.id());
        assert_eq!(server.len(), 1, "the demo runs one millrace up");
        // The server first: the demo would stop it in order.
        kill(server[0]);
        let _ = running.kill();
        running.wait().unwrap();
        wait_until_gone(server[0]);
        assert!(!out.exists(), "it wrote figures although it was killed");
    }
    assert_whole(&figures(&data, EVENTS, &[]), EVENTS, 0);
}

/// What the demo's notes say is acknowledged.
fn acknowledged(data: &Path) -> u64 {
    let text = std::fs::read(data.join("demo.json")).unwrap_or_default();
    let journal: Value = serde_json::from_slice(&text).unwrap_or_default();
    journal["acknowledged"].as_u64().unwrap_or(0)
}

fn wait_until_acknowledged(data: &Path, goal: u64, running: &mut Child) -> u64 {
    let started = Instant::now();
    loop {
        let acknowledged = acknowledged(data);
        if acknowledged >= goal {
            return acknowledged;
        }
        assert!(
            running.try_wait().unwrap().is_none(),
            "the demo ended before {goal} events"
        );
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "{acknowledged} of {goal} events"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn wait_until_gone(pid: u32) {
    let started = Instant::now();
    // A killed process without a parent is waited for by the system.
    while std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
    {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "process {pid} is still there"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
