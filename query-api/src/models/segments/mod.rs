//! Segments: their definitions on their way into the log, and what the fold makes of them.

mod publish;
mod read;
mod select;
mod trend;

pub(crate) use publish::{Calculated, calculated, publish, recalculate, retire};
pub(crate) use read::{ChangeRow, MemberPlace, Place, changes, members, sizes};
pub(crate) use select::{Selected, select};
pub(crate) use trend::{Period, TrendRow, trend};

use std::collections::{BTreeMap, BTreeSet};

use control::{Control, Segment};
use schemas::definition::MANUAL;
use schemas::{Criteria, OrganizationId, Problem, ProblemKind, SegmentId};
use serde_json::Value;

use crate::http::body::refuse;
use crate::http::problem::control_problem;
use crate::models::authoring::field_problem;

/// Segments read at once.
const PAGE: usize = 200;

/// Criteria as they are stored, and as the fold takes them: none where staff alone decide who is in the segment.
pub(crate) fn parse(json: &str) -> Result<Option<Criteria>, Problem> {
    let manual = serde_json::from_str::<Value>(json).is_ok_and(|value| value.to_string() == MANUAL);
    if manual {
        return Ok(None);
    }
    let criteria = Criteria::parse(json).map_err(|mut error| {
        error.field = match error.field.as_str() {
            "" => "criteria".into(),
            path if path.starts_with('[') => format!("criteria{path}").into(),
            path => format!("criteria.{path}").into(),
        };
        field_problem(error)
    })?;
    Ok(Some(criteria))
}

/// Every segment of an organization.
pub(crate) async fn all(
    control: &Control,
    organization: &OrganizationId,
) -> Result<Vec<Segment>, Problem> {
    let mut found: Vec<Segment> = Vec::new();
    loop {
        let after = found.last().map(|segment| segment.id.clone());
        let page = control
            .segments_after(organization, after.as_ref(), PAGE)
            .await
            .map_err(control_problem)?;
        let whole = page.len() < PAGE;
        found.extend(page);
        if whole {
            return Ok(found);
        }
    }
}

/// What each segment refers to.
fn references(segments: &[Segment]) -> BTreeMap<&str, Vec<String>> {
    segments
        .iter()
        .map(|segment| {
            let criteria = parse(&segment.criteria).ok().flatten();
            let others = criteria.iter().flat_map(Criteria::segments);
            (segment.id.as_str(), others.map(str::to_owned).collect())
        })
        .collect()
}

/// Passes where criteria refer to segments that there are, and none of them leads back to the one they are of.
pub(crate) fn check_references(
    segments: &[Segment],
    own: Option<&SegmentId>,
    criteria: Option<&Criteria>,
) -> Result<(), Problem> {
    let known = references(segments);
    let mut ahead: Vec<String> = Vec::new();
    for segment in criteria.map(Criteria::segments).unwrap_or_default() {
        if !known.contains_key(segment) {
            let detail = format!("there is no segment {segment}");
            return Err(refuse("criteria", "unknown_segment", detail));
        }
        ahead.push(segment.to_owned());
    }
    let mut seen = BTreeSet::new();
    while let Some(segment) = ahead.pop() {
        if own.is_some_and(|own| own.as_str() == segment) {
            let detail =
                "criteria: they lead back to the segment itself; take one of the references out";
            return Err(Problem::new(ProblemKind::Unprocessable, detail)
                .field("criteria")
                .with("code", "cycle".into()));
        }
        if let Some(others) = known
            .get(segment.as_str())
            .filter(|_| !seen.contains(&segment))
        {
            ahead.extend(others.iter().cloned());
        }
        seen.insert(segment);
    }
    Ok(())
}

/// Passes where no other active segment refers to one that is about to end.
pub(crate) fn check_unused(segments: &[Segment], id: &SegmentId) -> Result<(), Problem> {
    let references = references(segments);
    let user = segments.iter().find(|segment| {
        segment.is_active
            && segment.id != *id
            && references[segment.id.as_str()]
                .iter()
                .any(|other| other == id.as_str())
    });
    match user {
        None => Ok(()),
        Some(user) => {
            let detail = format!(
                "the segment {:?} refers to it; change that one first",
                user.name
            );
            Err(Problem::new(ProblemKind::Unprocessable, detail).with("code", "in_use".into()))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use schemas::Timestamp;

    use super::*;

    fn segment(id: &str, criteria: &str) -> Segment {
        Segment {
            id: SegmentId::from_text(id),
            name: id.to_owned(),
            description: None,
            criteria: criteria.to_owned(),
            is_active: true,
            version: 1,
            created_at: Timestamp::from_micros(0),
            updated_at: Timestamp::from_micros(0),
            created_by: "usr_1".to_owned(),
        }
    }

    #[test]
    fn criteria_may_refer_to_others_and_not_to_themselves() {
        let segments = [
            segment("a", r#"{"tags":["x"]}"#),
            segment("b", r#"{"segment":"a"}"#),
            segment("c", r#"{"not":{"segment":"b"}}"#),
        ];
        let check = |own: &str, criteria: &str| {
            let criteria = parse(criteria).unwrap();
            check_references(
                &segments,
                Some(&SegmentId::from_text(own)),
                criteria.as_ref(),
            )
        };
        assert!(check("c", r#"{"all":[{"segment":"a"},{"segment":"b"}]}"#).is_ok());
        let circle = check("a", r#"{"segment":"c"}"#).unwrap_err();
        assert_eq!(circle.more["code"], "cycle");
        assert!(check("b", r#"{"segment":"b"}"#).is_err());
        let unknown = check("a", r#"{"segment":"z"}"#).unwrap_err();
        assert_eq!(unknown.more["code"], "unknown_segment");
        assert!(check_unused(&segments, &SegmentId::from_text("c")).is_ok());
        let used = check_unused(&segments, &SegmentId::from_text("a")).unwrap_err();
        assert_eq!(used.more["code"], "in_use");
    }

    #[test]
    fn staff_alone_may_decide() {
        assert_eq!(parse(r#"{ "manual" : true }"#).unwrap(), None);
        let problem = parse(r#"{"all":[{"field":"shoe_size","op":"eq","value":1}]}"#).unwrap_err();
        let field = problem.more["field"].as_str().unwrap();
        assert!(field.starts_with("criteria.all[0]"), "{field}");
    }
}
