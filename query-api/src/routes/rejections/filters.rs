//! The filters of a request, from parameters or from a body.

use schemas::{Problem, Timestamp};

use crate::http::body::Fields;
use crate::http::params::Params;
use crate::models::rejections::Filter;

/// Columns that are compared with one value, by the names of the filters.
const EQUALS: [(&str, &str); 4] = [
    ("reason", "reason"),
    ("kind", "kind"),
    ("customer_id", "customer"),
    ("event_id", "event_id"),
];

/// What was asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    values: [Option<String>; EQUALS.len()],
    key: Option<String>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

/// The filters of an address.
pub(super) fn read(params: &mut Params) -> Result<Wanted, Problem> {
    Ok(Wanted {
        values: EQUALS.map(|(name, _)| params.text(name)),
        key: params.text("key"),
        from: params.time("from")?,
        to: params.time("to")?,
    })
}

/// The filters of a body.
pub(super) fn read_body(body: &mut Fields) -> Result<Wanted, Problem> {
    let mut values = [const { None }; EQUALS.len()];
    for (value, (name, _)) in values.iter_mut().zip(EQUALS) {
        *value = body.optional_text(name)?;
    }
    Ok(Wanted {
        values,
        key: body.optional_text("key")?,
        from: body.time("from")?,
        to: body.time("to")?,
    })
}

impl Wanted {
    /// Narrows what the caller may see to what was asked for.
    pub(super) fn apply(self, mut filter: Filter) -> Filter {
        for (value, (_, column)) in self.values.iter().zip(EQUALS) {
            if let Some(value) = value {
                filter.equals(column, value);
            }
        }
        if let Some(key) = &self.key {
            filter.source(key);
        }
        filter.received(self.from, self.to);
        filter
    }
}
