//! The criteria of segments: what is read is written as a tree that is read the same, and can be asked and put into SQL.

use schemas::Criteria;
use schemas::criteria::sample::Sampler;

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let criteria = match Criteria::parse(text) {
        Ok(criteria) => criteria,
        Err(error) => {
            assert!(!error.detail.is_empty());
            return;
        }
    };
    let canonical = criteria.to_json();
    let again = Criteria::parse(&canonical).expect("a canonical tree is criteria");
    assert_eq!(again, criteria);
    assert_eq!(again.to_json(), canonical);

    let mut sampler = Sampler::new(data.len() as u64);
    let now = sampler.now();
    let customer = sampler.customer(now);
    assert_eq!(
        criteria.matches(&customer, now),
        again.matches(&customer, now)
    );
    if let Some(change) = criteria.next_change(&customer, now) {
        assert!(change > now);
    }
    let mut values = 0;
    let sql = criteria.to_sql(&mut |value| {
        values += 1;
        format!("{{p{values}:{}}}", value.sql_type())
    });
    assert_eq!(sql.matches('(').count(), sql.matches(')').count(), "{sql}");
    let _ = (criteria.segments(), criteria.windows());
}
