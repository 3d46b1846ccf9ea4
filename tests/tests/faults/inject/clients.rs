//! Clients that are cut off after their whole request was sent and before they could read the answer.

use std::time::Duration;

use rand::RngExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::driver::Outgoing;
use crate::run::{Injected, Run};

const EVENTS: u64 = 20;
/// So many clients are cut off in the end where none of the first had sent all in time.
const MOST: u64 = 40;

/// They send the same again, and it counts once. Seen to act where the request that was cut off had landed.
pub(crate) async fn cut_off(run: &mut Run) -> Injected {
    let wanted = if run.full { 40 } else { 8 };
    let (mut rounds, mut landed) = (0, 0);
    while rounds < wanted || (landed == 0 && rounds < wanted + MOST) {
        let round = rounds;
        rounds += 1;
        let events: Vec<Outgoing> = (0..EVENTS)
            .map(|number| {
                let id = (format!("c-{number}"), format!("cut-{round}-{number}"));
                Outgoing::purchase(id, i128::from(round * 100 + number) * 10_000)
            })
            .collect();
        run.driver.state(&events);
        let ingest = &run.cluster.ingests[round as usize % 2].process;
        let body: String = events.iter().map(|event| event.line.as_str()).collect();
        let request = format!(
            "POST /api/v1/ingest/batch HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n{body}",
            ingest.listen(),
            run.cluster.key,
            body.len()
        );
        let mut connection = TcpStream::connect(ingest.listen()).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        // On a slow machine nothing lands so soon: then they stay longer and longer.
        let longest = 5_000_u64 << (round.saturating_sub(wanted) / 4).min(6);
        let patience = Duration::from_micros(run.rng.random_range(0..longest));
        tokio::time::sleep(patience).await;
        drop(connection);
        run.driver.note_cut(EVENTS);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let event_id = events[0].id.1.clone();
        run.driver.insist(events).await;
        let path = format!("/ingest/events/{event_id}?customer_id=c-0");
        let receipts = run.driver.key().get(&path).await.expect(200);
        let times = receipts["receipts"].as_array().map_or(0, Vec::len);
        landed += u64::from(times > 1);
    }
    Injected::times(landed).note(format!("{landed} of {rounds} had landed all the same"))
}
