//! The state comes out of what is kept a second time: of the whole log, of one that is cut off, and of one that is gone.

use processors::replay::{self, Progress, Report};
use schemas::Position;

use super::*;

fn record(partitions: u32, kind: Kind, customer: &str, id: &str, own: &str) -> NewRecord {
    let organization = OrganizationId::from_text("org_1");
    let received_at = Timestamp::from_micros(1_780_000_000_000_000);
    let stated = format!(r#"{{"customer_id":"{customer}","event_id":"{id}",{own}}}"#);
    let context = ParseContext {
        received_at,
        currency: Currency::USD,
    };
    let draft = Draft::parse(kind, &stated, &context).unwrap();
    let event = draft.into_event(
        organization.clone(),
        || unreachable!(),
        received_at,
        "key".into(),
        0,
    );
    let mut payload = Vec::new();
    encode_event(&mut payload, &event, Currency::USD, &stated);
    NewRecord {
        partition: u32::from(bucket(&organization, customer)) % partitions,
        payload: payload.into(),
        decoded: None,
        trace: None,
    }
}

async fn replayed(place: &Place, processor: Option<&Handle>, switch: bool) -> Report {
    let (told, _) = tokio::sync::watch::channel(Progress::default());
    let options = replay::Options {
        switch,
        ..replay::Options::default()
    };
    let place = replay::Place {
        log: place.log.clone(),
        warehouse: place.warehouse.clone(),
        archive: place.archive.clone(),
        processor: processor.cloned(),
    };
    replay::replay(&place, &options, &told).await.unwrap()
}

fn assert_clean(report: &Report, folded: usize) {
    assert!(report.is_clean() && report.moved == 0, "{report:#?}");
    assert_eq!(report.folded, folded as u64);
}

/// Waits until everything in the log is applied and archived.
async fn settled(place: &Place, handle: &Handle) {
    for (partition, end) in place.ends().await {
        let last = Position {
            generation: place.log.generation(),
            partition,
            offset: end.saturating_sub(1),
        };
        if end > 0 {
            assert!(
                handle.applied(last, Duration::from_secs(60)).await,
                "{last}"
            );
            assert!(
                handle.archived(last, Duration::from_secs(60)).await,
                "{last}"
            );
        }
    }
}

async fn wait_until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} did not happen");
}

async fn open_log(folder: &Path, name: &str, options: stream::Options) -> Arc<dyn Log> {
    let url = format!("file:{}", folder.join(name).display());
    stream::open(&url, &options).await.unwrap()
}

/// Goes on with a place whose state is made of `folded` events, and whose processor has ended.
pub(super) async fn the_state_comes_out_again(
    folder: &Path,
    mut place: Place,
    folded: usize,
) -> Place {
    // From the archive, with what the whole log has between its events.
    let report = replayed(&place, None, false).await;
    assert_clean(&report, folded);
    assert_eq!(report.customers, 300);

    // From a log that is cut off behind a timer's tick.
    place.log.close().await.unwrap();
    let options = stream::Options {
        partitions: PARTITIONS,
        retention_age: Duration::from_millis(100),
        retention_interval: Duration::from_millis(50),
        append_timeout: Duration::from_secs(60),
        ..stream::Options::default()
    };
    place.log = open_log(folder, "log", options).await;
    let (handle, shutdown, running) = place.process(2_000);
    let follow_up = r#""next_follow_up":"2026-01-01T00:00:00Z""#;
    let timer = record(PARTITIONS, Kind::User, "c-1", "timer", follow_up);
    let partition = timer.partition;
    place.append(vec![timer]).await;
    let due =
        "SELECT count() FROM customer_state FINAL WHERE JSONExtractBool(state, 'follow_up_due')";
    wait_until("the timer", async || place.number(due).await == 1).await;
    let mut extra = 1;
    let tick = place.ends().await[&partition];
    wait_until("the cut", async || {
        // Something to archive, so that what came before is released.
        let id = format!("more-{extra}");
        place
            .append(vec![record(
                PARTITIONS,
                Kind::Activity,
                "c-1",
                &id,
                r#""name":"login""#,
            )])
            .await;
        extra += 1;
        settled(&place, &handle).await;
        let bounds = place.log.bounds().await.unwrap();
        bounds
            .iter()
            .any(|kept| kept.partition == partition && kept.start >= tick)
    })
    .await;
    let report = replayed(&place, Some(&handle), false).await;
    assert_clean(&report, folded + extra);
    shutdown.cancel();
    running.await.unwrap().unwrap();
    place.log.close().await.unwrap();

    // From a log that is gone, and its successor with another number of partitions.
    let options = stream::Options {
        partitions: 2,
        generation: 2,
        append_timeout: Duration::from_secs(60),
        ..stream::Options::default()
    };
    place.log = open_log(folder, "log-2", options).await;
    let (handle, shutdown, running) = place.process(2_000);
    let purchases = |from: usize| -> Vec<NewRecord> {
        (from..from + 100)
            .map(|number| {
                let (customer, id) = (format!("c-{}", 3 + number % 40), format!("second-{number}"));
                record(2, Kind::Purchase, &customer, &id, r#""amount":"0.75""#)
            })
            .collect()
    };
    place.append(purchases(0)).await;
    settled(&place, &handle).await;
    assert_clean(
        &replayed(&place, Some(&handle), false).await,
        folded + extra + 100,
    );

    // What is wrong is named, and mended beside a processor that goes on.
    let spoil = "INSERT INTO customer_state SELECT * REPLACE (points + 1 AS points) FROM customer_state FINAL WHERE customer = 'c-2'";
    place
        .warehouse
        .execute(spoil, &Params::new())
        .await
        .unwrap();
    place
        .warehouse
        .execute("OPTIMIZE TABLE customer_state FINAL", &Params::new())
        .await
        .unwrap();
    let (report, ()) = tokio::join!(
        replayed(&place, Some(&handle), true),
        place.append(purchases(100))
    );
    assert!(report.switched, "{report:#?}");
    let named: Vec<(&str, &str)> = report
        .differences
        .iter()
        .map(|found| (found.customer_id.as_str(), found.field.as_str()))
        .collect();
    assert_eq!(named, [("c-2", "points")]);
    settled(&place, &handle).await;
    assert_clean(
        &replayed(&place, Some(&handle), false).await,
        folded + extra + 200,
    );
    shutdown.cancel();
    running.await.unwrap().unwrap();
    place
}
