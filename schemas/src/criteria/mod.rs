//! The criteria of segments: which customers are meant, as a tree of conditions.
//!
//! ```
//! # use schemas::criteria::Criteria;
//! let criteria = Criteria::parse(r#"{"all": [
//!     {"field": "tier", "op": "in", "value": ["gold", "vip"]},
//!     {"sum": "revenue", "days": 90, "op": "gte", "value": "250.00"},
//!     {"not": {"recency": "last_order", "op": "lt", "days": 14}}
//! ]}"#)?;
//! assert_eq!(criteria.windows(), 90);
//! # Ok::<(), schemas::FieldError>(())
//! ```
//!
//! A condition is one of
//!
//! | form | holds |
//! |---|---|
//! | `{"all": […]}`, `{"any": […]}`, `{"not": {…}}` | as they say |
//! | `{"field": F, "op": O, "value": V}` | of a text, the tags, a number or a time of the customer, or `attributes.KEY` |
//! | `{"recency": T, "op": O, "days": N}` | of the whole days (86,400 s) since the last order, contact or sight |
//! | `{"count": M, "days": N, "op": O, "value": V}` | of the orders, activities or interactions of the last N days |
//! | `{"sum": M, "days": N, "op": O, "value": V, "currency": C}` | of the revenue or refunds of the last N days |
//! | `{"segment": ID}` | of the members of another segment |
//!
//! The flat form `{"loyalty_status": ["Gold", "VIP"], "tags": ["VIP"]}` means all of its keys, each with any of its values.
//!
//! A condition holds or does not, there is no third: what a customer does not have equals nothing, contains nothing
//! and is neither more nor less than anything, so that only `ne`, `not_in` and `absent` hold of it. An empty text is
//! as good as none.
//!
//! Texts are not trimmed. What people write (names, addresses, tiers, tags, attributes) is compared in lower case,
//! character by character as Unicode has it; ids, telephone numbers and words of a closed list as they are. An
//! attribute's text is what stands in its string, or its digits, or `true` or `false`; compared with a number it is
//! that number, if it is a decimal of at most 15 digits before the point and 6 after it.
//!
//! A window of N days ends with the UTC day that is now: it holds the days after today - N, up to today.

mod aspects;
mod facts;
mod fields;
mod folding;
mod leaf;
mod matching;
mod node;
mod parse;
pub mod sample;
mod schema;
mod sql;
mod values;
mod write;

pub use aspects::Aspects;
pub use facts::Facts;
pub use fields::{Measure, NumberField, TextField, TimeField};
pub use leaf::{MAX_RECENCY_DAYS, MAX_WINDOW_DAYS};
pub use parse::{MAX_BYTES, MAX_DEPTH, MAX_LEAVES};
pub use schema::json_schema;
pub use sql::SqlValue;
pub use values::{MAX_TEXT, MAX_VALUES};

use crate::error::FieldError;
use crate::json::ReadError;
use crate::time::Timestamp;
use node::{Node, Test};

/// Criteria, read, checked and compiled. Two are equal when their canonical trees are.
#[derive(Debug, Clone, PartialEq)]
pub struct Criteria(Node);

impl Criteria {
    /// Reads a tree or the flat form.
    ///
    /// # Errors
    /// What is wrong first, with its path (`all[1].value`) and what is allowed there.
    pub fn parse(json: &str) -> Result<Self, FieldError> {
        parse::criteria(json)
            .map(Self)
            .map_err(ReadError::into_field_error)
    }

    /// The canonical tree: values as they are compared (in lower case where that is so), lists sorted and without
    /// repeats. It parses to the same criteria.
    pub fn to_json(&self) -> String {
        write::json(&self.0)
    }

    /// Whether they hold of a customer at a time.
    pub fn matches(&self, facts: &(impl Facts + ?Sized), now: Timestamp) -> bool {
        self.0.matches(facts, now)
    }

    /// The earliest time after `now` at which [`Criteria::matches`] may change without any event: a recency reached,
    /// or a day that enters or leaves a window at midnight UTC. Never later than the true change, and now and then earlier;
    /// then ask again. `None` when it never will.
    ///
    /// Membership in other segments is taken to stay: who changes it asks again.
    pub fn next_change(&self, facts: &(impl Facts + ?Sized), now: Timestamp) -> Option<Timestamp> {
        self.0.outlook(facts, now).1
    }

    /// The segments whose members are asked for, sorted, each once.
    pub fn segments(&self) -> Vec<&str> {
        let mut segments = Vec::new();
        self.0.each_leaf(&mut |leaf| {
            if let Test::Segment(segment) = &leaf.test {
                segments.push(&**segment);
            }
        });
        segments.sort_unstable();
        segments.dedup();
        segments
    }

    /// The days of the longest window: so many buckets must be at hand, today's included. 0 without windows.
    pub fn windows(&self) -> u32 {
        let mut longest = 0;
        self.0.each_leaf(&mut |leaf| {
            if let Test::Window(window) = &leaf.test {
                longest = longest.max(window.days);
            }
        });
        longest
    }

    /// A condition of ClickHouse's SQL that holds of the same customers.
    ///
    /// It stands over `customer_state` with one row for each customer, the newest, and looks into `customer_days` and
    /// `segment_members` (organization, segment, customer, version, is_member) by itself. No value is part of the text:
    /// each goes to `params`, which answers with its place, such as `{p1:String}` (see [`SqlValue::sql_type`]).
    pub fn to_sql(&self, params: &mut dyn FnMut(SqlValue<'_>) -> String) -> String {
        sql::condition(&self.0, params)
    }
}

#[cfg(test)]
mod tests;
