//! Definitions of segments as records of the log, and how far the look at everybody that follows them has come.

use std::collections::BTreeMap;

use control::Segment;
use schemas::definition::MANUAL;
use schemas::ids::BUCKETS;
use schemas::position::version;
use schemas::{Control, Criteria, Define, OrganizationId, Problem, ProblemKind, Timestamp};
use serde::Serialize;
use stream::NewRecord;
use utoipa::ToSchema;
use warehouse::{Params, Warehouse, WarehouseError};

use super::parse;
use crate::api::{App, now};
use crate::tables::rows::Rows;

/// Tells every partition of a segment as it is now, and has everybody looked at.
pub(crate) async fn publish(
    app: &App,
    organization: &OrganizationId,
    segment: &Segment,
) -> Result<(), Problem> {
    let defines = vec![define(organization, segment)?];
    append(app, organization, defines).await
}

/// Tells every partition that a segment is no more.
pub(crate) async fn retire(
    app: &App,
    organization: &OrganizationId,
    segment: &Segment,
) -> Result<(), Problem> {
    let ended = Segment {
        is_active: false,
        ..segment.clone()
    };
    publish(app, organization, &ended).await
}

/// Tells every partition of all these segments once more, and has everybody looked at.
pub(crate) async fn recalculate(
    app: &App,
    organization: &OrganizationId,
    segments: &[Segment],
) -> Result<(), Problem> {
    let defines: Result<Vec<Define>, Problem> = segments
        .iter()
        .map(|segment| define(organization, segment))
        .collect();
    append(app, organization, defines?).await
}

fn define(organization: &OrganizationId, segment: &Segment) -> Result<Define, Problem> {
    let criteria = parse(&segment.criteria)?;
    Ok(Define::Segment {
        organization: organization.clone(),
        id: segment.id.as_str().into(),
        version: segment.version.unsigned_abs(),
        criteria: criteria.map_or_else(
            || MANUAL.to_owned(),
            |criteria| Criteria::to_json(&criteria),
        ),
        is_active: segment.is_active,
    })
}

async fn append(
    app: &App,
    organization: &OrganizationId,
    defines: Vec<Define>,
) -> Result<(), Problem> {
    let log = &*app.api.log;
    let partitions = log.partitions();
    let record = |partition: u32, payload: bytes::Bytes| NewRecord {
        partition,
        payload,
        decoded: None,
        trace: None,
    };
    let mut records = Vec::new();
    for define in defines {
        let payload = Control::Define { define }.encode();
        records.extend((0..partitions).map(|partition| record(partition, payload.clone())));
    }
    let at = now();
    records.extend((0..BUCKETS).map(|bucket| {
        let evaluate = Control::Evaluate {
            organization: organization.clone(),
            bucket,
            at,
        };
        record(u32::from(bucket) % partitions, evaluate.encode())
    }));
    for answer in log.append(records).await {
        if let Err(error) = answer {
            tracing::warn!(%error, "the log did not take a definition of a segment");
            let detail = "the segment is kept, and the log takes no records now: send it again, or recalculate";
            return Err(Problem::new(ProblemKind::Unavailable, detail));
        }
    }
    Ok(())
}

/// How far everybody has been looked at since a segment was last defined.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub(crate) struct Calculated {
    /// The share of the customers that were looked at, 0 to 1.
    pub(crate) share: f64,
    /// As of when everybody was looked at last; null while that is under way for the first time.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) at: Option<Timestamp>,
}

/// Where a record is: partition, generation and offset as a version.
type Places = BTreeMap<u32, u64>;

/// How far each segment is, by id and version.
pub(crate) async fn calculated(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    segments: &[Segment],
) -> Result<Vec<Calculated>, WarehouseError> {
    let params = Params::new().with("organization", organization.as_str());
    let sql = "SELECT JSONExtractString(control, 'define', 'id') AS c_id, \
        toInt64(JSONExtractInt(control, 'define', 'version')) AS c_version, toInt64(partition) AS c_partition, \
        toInt64(max(bitShiftLeft(toUInt64(generation), 48) + offset)) AS c_place FROM controls \
        WHERE kind = 'define' AND JSONExtractString(control, 'define', 'what') = 'segment' \
        AND JSONExtractString(control, 'define', 'organization') = {organization:String} \
        GROUP BY c_id, c_version, c_partition";
    let mut defined: BTreeMap<(String, i64), Places> = BTreeMap::new();
    for batch in warehouse.query(sql, &params).await? {
        let rows = Rows::new(&batch);
        let (ids, versions) = (rows.texts("c_id")?, rows.numbers("c_version")?);
        let (partitions, places) = (rows.numbers("c_partition")?, rows.numbers("c_place")?);
        for (row, id) in ids.into_iter().enumerate() {
            let key = (id, versions[row].unwrap_or_default());
            let partition = partitions[row].unwrap_or_default() as u32;
            let place = places[row].unwrap_or_default().unsigned_abs();
            defined.entry(key).or_default().insert(partition, place);
        }
    }
    let sql = "SELECT toInt64(JSONExtractInt(control, 'bucket')) AS c_bucket, toInt64(partition) AS c_partition, \
        toInt64(max(bitShiftLeft(toUInt64(generation), 48) + offset) AS place) AS c_place, \
        toUnixTimestamp64Micro(argMax(parseDateTime64BestEffortOrZero(JSONExtractString(control, 'at'), 6, 'UTC'), \
        bitShiftLeft(toUInt64(generation), 48) + offset)) AS c_at FROM controls \
        WHERE kind = 'evaluate' AND JSONExtractString(control, 'organization') = {organization:String} \
        GROUP BY c_bucket, c_partition";
    let mut looked: Vec<(u32, u64, Option<Timestamp>)> = Vec::new();
    for batch in warehouse.query(sql, &params).await? {
        let rows = Rows::new(&batch);
        let (partitions, places) = (rows.numbers("c_partition")?, rows.numbers("c_place")?);
        for (row, at) in rows.times("c_at")?.into_iter().enumerate() {
            let partition = partitions[row].unwrap_or_default() as u32;
            let place = places[row].unwrap_or_default().unsigned_abs();
            looked.push((partition, place, at));
        }
    }
    let of = |segment: &Segment| {
        let key = (segment.id.to_string(), segment.version);
        let Some(places) = defined.get(&key) else {
            return Calculated {
                share: 0.0,
                at: None,
            };
        };
        // Of another generation is later if that one is.
        let newest = places.values().copied().max().unwrap_or_default();
        let generation = version((newest >> 48) as u32 + 1, 0);
        let done: Vec<Option<Timestamp>> = looked
            .iter()
            .filter(|(partition, place, _)| {
                *place >= generation || places.get(partition).is_some_and(|at| place > at)
            })
            .map(|(_, _, at)| *at)
            .collect();
        let share = (done.len() as f64 / f64::from(BUCKETS)).min(1.0);
        Calculated {
            share,
            at: done.into_iter().flatten().min().filter(|_| share >= 1.0),
        }
    };
    Ok(segments.iter().map(of).collect())
}
