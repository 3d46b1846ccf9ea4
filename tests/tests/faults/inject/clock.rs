//! The wall clock jumps by an hour, forth and back, where events are stamped and questions answered (libfaketime).
//!
//! Not in processors: their Kafka client waits until times that libfaketime shifts twice, so they would only stand still.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::run::{Injected, Run};

const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
const SEEN_WITHIN: Duration = Duration::from_secs(60);

pub(crate) async fn jumps(run: &mut Run) -> Injected {
    let folder = tempfile::tempdir().unwrap();
    let offset = folder.path().join("offset");
    set(&offset, "+0s");
    let library = library();
    let environment = [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", offset.display().to_string()),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        // What a jump of the wall clock leaves alone.
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    restart(run, &environment).await;
    let mut times = 0;
    for (jump, far) in [("+3600s", "> now() + 1800"), ("-3600s", "< now() - 1800")] {
        set(&offset, jump);
        // What comes in now says when ingest believes it is; it is seen once the processors have found each other again.
        let sql = format!("SELECT count() FROM events WHERE received_at {far} FORMAT TSV");
        let begun = Instant::now();
        while begun.elapsed() < SEEN_WITHIN {
            tokio::time::sleep(run.either(5, 2)).await;
            let seen = run.cluster.ask_warehouse(&sql).await.unwrap_or_default();
            if seen.trim().parse::<u64>().unwrap_or(0) > 0 {
                times += 1;
                break;
            }
        }
    }
    set(&offset, "+0s");
    tokio::time::sleep(Duration::from_secs(2)).await;
    restart(run, &[]).await;
    Injected::times(times)
}

/// These roles anew with these variables.
async fn restart(run: &mut Run, environment: &[(&str, String)]) {
    let cluster = &mut run.cluster;
    for role in cluster.ingests.iter_mut().chain(&mut cluster.serves) {
        role.process.kill();
        role.process.with_environment(environment);
        role.process.launch();
    }
    for role in cluster.ingests.iter_mut().chain(&mut cluster.serves) {
        role.process.wait_ready().await;
    }
}

fn set(file: &Path, offset: &str) {
    // A rename: nobody reads half of it.
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{offset}\n")).unwrap();
    std::fs::rename(new, file).unwrap();
}

fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten();
    folders
        .map(|folder| folder.path().join(LIBRARY))
        .chain([Path::new("/usr/lib").join(LIBRARY)])
        .find(|library| library.exists())
        .expect("libfaketime is missing: run `make setup`")
}
