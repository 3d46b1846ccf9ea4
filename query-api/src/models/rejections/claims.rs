//! Which sending of a rejected event comes next, found by who has claimed its id.
//!
//! A retry must count at most once, whoever else sends the event again. Where the rejected sending has claimed its id,
//! a retry carries the next attempt, and a second retry finds that one claimed. What was refused before it could claim
//! (it broke a rule of its kind, or was in another partition) is sent as the attempt it was, so that it shares its claim
//! with the client's own repeat.

use std::collections::HashMap;

use schemas::{OrganizationId, Position, event_hash, who_hash};
use warehouse::{Params, Warehouse, WarehouseError};

use super::{DUPLICATE, Rejection};
use crate::tables::rows::Rows;

/// What may become of a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It may be sent again as this attempt.
    Attempt(u32),
    /// The event has been sent again: this position holds the claim.
    Sent(Position),
    /// It is the repeat of an event that has been decided on: sent again, it would count twice.
    Repeat,
}

type Claim = (u128, u64);

/// Ids in one statement: servers refuse parameters of more than 128 KiB.
const AT_ONCE: usize = 1_500;

/// What may become of each of some rejections.
pub(crate) async fn next_sendings(
    warehouse: &dyn Warehouse,
    rejections: &[Rejection],
) -> Result<Vec<Next>, WarehouseError> {
    let wanted: Vec<u128> = rejections
        .iter()
        .filter(|rejection| rejection.reason != DUPLICATE && !rejection.event_id.is_empty())
        .flat_map(|rejection| {
            let attempt = rejection.attempt;
            [
                claim(rejection, attempt).0,
                claim(rejection, attempt.saturating_add(1)).0,
            ]
        })
        .collect();
    let mut holders = HashMap::new();
    for ids in wanted.chunks(AT_ONCE) {
        find(warehouse, ids, &mut holders).await?;
    }
    Ok(rejections
        .iter()
        .map(|rejection| next(rejection, &holders))
        .collect())
}

fn claim(rejection: &Rejection, attempt: u32) -> Claim {
    (
        event_hash(&rejection.organization, &rejection.event_id, attempt),
        who_hash(&rejection.customer_id),
    )
}

fn next(rejection: &Rejection, holders: &HashMap<Claim, Position>) -> Next {
    if rejection.reason == DUPLICATE {
        return Next::Repeat;
    }
    let (own, later) = (rejection.attempt, rejection.attempt.saturating_add(1));
    match holders.get(&claim(rejection, own)) {
        // So it is with what names no event at all: there is no claim without one.
        None => Next::Attempt(own),
        Some(holder) if *holder != rejection.position => Next::Sent(*holder),
        Some(_) => match holders.get(&claim(rejection, later)) {
            Some(holder) => Next::Sent(*holder),
            None => Next::Attempt(later),
        },
    }
}

/// The first position that holds the claim on an event, by its customer, id and attempt.
pub(crate) async fn holder(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    customer_id: &str,
    event_id: &str,
    attempt: u32,
) -> Result<Option<Position>, WarehouseError> {
    let claim = (
        event_hash(organization, event_id, attempt),
        who_hash(customer_id),
    );
    let mut holders = HashMap::new();
    find(warehouse, &[claim.0], &mut holders).await?;
    Ok(holders.remove(&claim))
}

/// The first position that holds each claim on these ids.
async fn find(
    warehouse: &dyn Warehouse,
    ids: &[u128],
    holders: &mut HashMap<Claim, Position>,
) -> Result<(), WarehouseError> {
    let sql = "SELECT hex(id) AS c_id, toString(who) AS c_who, \
        tupleElement(min((generation, offset, partition)) AS first, 1) AS c_generation, \
        tupleElement(first, 2) AS c_offset, tupleElement(first, 3) AS c_partition \
        FROM event_ids WHERE id IN {ids:Array(FixedString(16))} GROUP BY id, who";
    let ids: Vec<[u8; 16]> = ids.iter().map(|id| id.to_be_bytes()).collect();
    for batch in warehouse
        .query(sql, &Params::new().with("ids", ids))
        .await?
    {
        let rows = Rows::new(&batch);
        let (ids, whos) = (rows.texts("c_id")?, rows.texts("c_who")?);
        let (generations, partitions) =
            (rows.numbers("c_generation")?, rows.numbers("c_partition")?);
        let offsets = rows.numbers("c_offset")?;
        let small = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
        for (row, id) in ids.iter().enumerate() {
            let (Ok(id), Ok(who)) = (u128::from_str_radix(id, 16), whos[row].parse()) else {
                return Err(WarehouseError::Answer(
                    "event_ids has other hashes".to_owned(),
                ));
            };
            let holder = Position {
                generation: small(generations[row]).unwrap_or_default(),
                partition: small(partitions[row]).unwrap_or_default(),
                offset: offsets[row].unwrap_or_default().unsigned_abs(),
            };
            holders.insert((id, who), holder);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use schemas::Timestamp;

    use super::super::Payload;
    use super::*;

    fn rejection(offset: u64, reason: &str, event_id: &str) -> Rejection {
        Rejection {
            position: at(offset),
            organization: OrganizationId::from_text("org_1"),
            customer_id: "c".to_owned(),
            event_id: event_id.to_owned(),
            kind: "purchase".to_owned(),
            attempt: 0,
            received_at: Timestamp::default(),
            reason: reason.to_owned(),
            field: String::new(),
            detail: String::new(),
            first: None,
            source: String::new(),
            payload: Payload::Text(String::new()),
        }
    }

    fn at(offset: u64) -> Position {
        Position {
            generation: 1,
            partition: 0,
            offset,
        }
    }

    #[test]
    fn a_retry_carries_the_first_attempt_that_is_free() {
        let failed = rejection(5, "internal", "e");
        let held = |attempts: &[(u32, u64)]| -> HashMap<Claim, Position> {
            attempts
                .iter()
                .map(|(attempt, offset)| (claim(&failed, *attempt), at(*offset)))
                .collect()
        };
        assert_eq!(next(&failed, &held(&[(0, 5)])), Next::Attempt(1));
        assert_eq!(next(&failed, &held(&[(0, 5), (1, 9)])), Next::Sent(at(9)));
        // It could not claim: the client's repeat and the operator's retry are one sending.
        assert_eq!(next(&failed, &held(&[])), Next::Attempt(0));
        assert_eq!(next(&failed, &held(&[(0, 9)])), Next::Sent(at(9)));
    }

    #[test]
    fn a_repeat_is_never_sent_again() {
        let repeat = rejection(5, "duplicate", "e");
        assert_eq!(next(&repeat, &HashMap::new()), Next::Repeat);
    }
}
