//! Commits of 100,000 purchases of ten items to the archive on the local disk, fsynced.

use std::time::Instant;

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use processors::rows::{Output, archive_rows};
use schemas::{Event, Position};
use warehouse::archive::{Archive, ArchiveOptions, Archived};

use crate::benches::fold::events;
use crate::events::Shape;
use crate::process;
use crate::report::{Figures, Reporter};
use crate::settings::Settings;

pub(crate) async fn run(settings: &Settings, reporter: &Reporter) -> Result<()> {
    let rows = settings.size(100_000, 5_000) as usize;
    let commits = settings.size(5, 2);
    let made = events(Shape::Basket, rows)?;
    let json: usize = made.iter().map(|(_, payload)| payload.len()).sum();
    let made: Vec<Event> = made.into_iter().map(|(event, _)| event).collect();
    reporter
        .case(
            &format!("commits of {rows} purchases of ten items"),
            async || measure(settings, &made, json, commits).await,
        )
        .await
}

/// The events as rows of the archive, from this offset on.
fn batch(events: &[Event], first: u64) -> Result<RecordBatch> {
    let mut out = Output::default();
    for (offset, event) in (first..).zip(events) {
        let position = Position {
            generation: 1,
            partition: 0,
            offset,
        };
        out.events.push(position, event);
    }
    let cycle = out.finish(1, Vec::new())?;
    Ok(archive_rows(&cycle.tables[0])?)
}

async fn measure(
    settings: &Settings,
    events: &[Event],
    json: usize,
    commits: u64,
) -> Result<Figures> {
    let folder = settings.temporary_folder()?;
    let archive = Archive::open(
        &format!("file:{}", folder.path().display()),
        &ArchiveOptions::default(),
    )
    .await?;
    let count = events.len() as u64;
    let (mut wall, mut cpu) = (0.0, 0.0);
    let mut snapshot = archive.snapshot().await?;
    for commit in 0..commits {
        let rows = [batch(events, commit * count)?];
        let progress = [Archived {
            generation: 1,
            partition: 0,
            next_offset: (commit + 1) * count,
        }];
        let (begun, before) = (Instant::now(), process::own_cpu_seconds()?);
        snapshot = archive.commit(&snapshot, &rows, &progress).await?;
        wall += begun.elapsed().as_secs_f64();
        cpu += process::own_cpu_seconds()? - before;
    }
    let archived = snapshot.archived(1, 0);
    anyhow::ensure!(archived == commits * count, "{archived} archived");
    let all = (commits * count) as f64;
    let bytes =
        process::folder_bytes(&folder.path().join("events")).context("the archive's files")?;
    Ok(vec![
        ("events_per_s", all / wall),
        (
            "mb_of_json_per_s",
            json as f64 * commits as f64 / 1e6 / wall,
        ),
        ("mb_written_per_s", bytes as f64 / 1e6 / wall),
        ("cpu_us_per_event", cpu * 1e6 / all),
        ("bytes_per_event", bytes as f64 / all),
    ])
}
