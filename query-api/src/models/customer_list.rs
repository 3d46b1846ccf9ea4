//! A page of the customer list: filters and order over the newest versions, by key.
//!
//! Merging every customer to find some (`FINAL`) costs the more the more there are. Here the versions that fulfil the
//! filters give candidates in order from a few narrow columns, some more than a page holds; only for those is the newest
//! version looked at, by key, and only a page of them is read whole.

use std::collections::{HashMap, HashSet};

use schemas::definition::NEW_TIER;
use schemas::{OrganizationId, Problem, ProblemKind, Tier, Timestamp};
use warehouse::{Params, Warehouse, WarehouseError};

use crate::tables::CUSTOMER;
use crate::tables::rows::Rows;

/// What a list may be ordered by: its name, the expression, and the type of its values.
pub(crate) struct SortKey {
    pub(crate) name: &'static str,
    expression: &'static str,
    kind: &'static str,
}

const TIME: &str = "DateTime64(6, 'UTC')";

const SORT_KEYS: [SortKey; 9] = [
    SortKey {
        name: "customer_id",
        expression: CUSTOMER,
        kind: "String",
    },
    SortKey {
        name: "name",
        expression: "lowerUTF8(name)",
        kind: "String",
    },
    SortKey {
        name: "total_revenue",
        expression: "revenue",
        kind: "Decimal(38, 6)",
    },
    SortKey {
        name: "total_orders",
        expression: "orders",
        kind: "UInt64",
    },
    SortKey {
        name: "points",
        expression: "points",
        kind: "Int64",
    },
    SortKey {
        name: "created_at",
        expression: "created_at",
        kind: TIME,
    },
    SortKey {
        name: "last_seen",
        expression: "last_seen",
        kind: TIME,
    },
    // Customers without one come as if before all time.
    SortKey {
        name: "last_contact",
        expression: "ifNull(last_contact, toDateTime64('1900-01-01', 6, 'UTC'))",
        kind: TIME,
    },
    SortKey {
        name: "last_order_date",
        expression: "ifNull(last_order, toDateTime64('1900-01-01', 6, 'UTC'))",
        kind: TIME,
    },
];

/// An order: a key, and whether it falls.
#[derive(Clone, Copy)]
pub(crate) struct Sort {
    key: &'static SortKey,
    pub(crate) descending: bool,
}

impl Sort {
    /// Reads `name` or `-name`.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let (name, descending) = match text.strip_prefix('-') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let key = SORT_KEYS.iter().find(|key| key.name == name);
        key.map(|key| Self { key, descending }).ok_or_else(|| {
            let names: Vec<&str> = SORT_KEYS.iter().map(|key| key.name).collect();
            let detail = format!(
                "sort: use one of {}, with - before it for the largest first",
                names.join(", ")
            );
            Problem::new(ProblemKind::BadRequest, detail).field("sort")
        })
    }
}

/// Conditions, all of which must hold.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    conditions: Vec<String>,
    params: Params,
}

impl Filter {
    fn add(&mut self, condition: &str, name: &str, value: impl Into<warehouse::Value>) {
        self.conditions.push(condition.to_owned());
        self.params = std::mem::take(&mut self.params).with(name, value);
    }

    /// Name, e-mail, phone, company or id contains the text, whatever its case.
    pub(crate) fn search(&mut self, text: &str) {
        let columns = ["name", "email", "phone", "company_name", CUSTOMER];
        let contains = columns
            .map(|column| format!("positionCaseInsensitiveUTF8({column}, {{q:String}}) > 0"));
        self.add(&format!("({})", contains.join(" OR ")), "q", text);
    }

    /// A column has this value.
    pub(crate) fn equals(&mut self, column: &'static str, value: &str) {
        self.add(
            &format!("{column} = {{is_{column}:String}}"),
            &format!("is_{column}"),
            value,
        );
    }

    /// It is assigned to this user, or is a prospect or lead of nobody.
    pub(crate) fn in_charge(&mut self, user: &str) {
        self.add(
            "(assigned_to = {in_charge:String} OR assigned_to = '' AND status IN ('prospect', 'lead'))",
            "in_charge",
            user,
        );
    }

    /// It is this user itself.
    pub(crate) fn is_user(&mut self, user: &str) {
        self.add("user_id = {is_user:String}", "is_user", user);
    }

    /// A column has this value, whatever the case.
    pub(crate) fn equals_folded(&mut self, column: &'static str, value: &str) {
        let condition = format!("lowerUTF8({column}) = lowerUTF8({{is_{column}:String}})");
        self.add(&condition, &format!("is_{column}"), value);
    }

    /// The tier is this one: given by hand, or reached by points in a table of tiers.
    pub(crate) fn tier(&mut self, tiers: &[Tier], name: &str) {
        let mut by_points = "FALSE".to_owned();
        if name == NEW_TIER {
            by_points = format!("manual_tier = '' AND tier = '{NEW_TIER}'");
        } else if let Some(at) = tiers.iter().position(|tier| tier.name == name) {
            by_points = format!("manual_tier = '' AND tier != '{NEW_TIER}'");
            let mut bound = |operator, name: &str, points: i64| {
                by_points.push_str(&format!(" AND points {operator} {{{name}:Int64}}"));
                self.params = std::mem::take(&mut self.params).with(name, points);
            };
            if at > 0 {
                bound(">=", "tier_from", tiers[at].from);
            }
            if let Some(next) = tiers.get(at + 1) {
                bound("<", "tier_to", next.from);
            }
        }
        let condition = format!("(manual_tier = {{is_tier:String}} OR {by_points})");
        self.add(&condition, "is_tier", name);
    }

    /// The loyalty account was used, or has a tier given by hand.
    pub(crate) fn has_account(&mut self) {
        let condition = format!("(tier != '{NEW_TIER}' OR manual_tier != '')");
        self.conditions.push(condition);
    }

    /// It is in this segment.
    pub(crate) fn segment(&mut self, segment: &str) {
        let condition = format!(
            "{CUSTOMER} IN (SELECT {CUSTOMER} FROM segment_members WHERE organization = {{organization:String}} \
             AND segment = {{segment:String}} GROUP BY {CUSTOMER} HAVING argMax(is_member, segment_members.version))"
        );
        self.add(&condition, "segment", segment);
    }

    /// The profile has this tag.
    pub(crate) fn tag(&mut self, tag: &str) {
        self.add("has(tags, {tag:String})", "tag", tag);
    }

    /// A column contains the text, whatever its case.
    pub(crate) fn contains(&mut self, column: &'static str, text: &str) {
        let condition =
            format!("positionCaseInsensitiveUTF8({column}, {{in_{column}:String}}) > 0");
        self.add(&condition, &format!("in_{column}"), text);
    }

    /// A text of the profile that has no column of its own has this value, whatever its case.
    pub(crate) fn profile_text(&mut self, field: &'static str, value: &str) {
        // The state keeps a field's JSON as text, in quotation marks.
        let text = format!("JSONExtractString(state, 'profile', 'fields', '{field}')");
        let condition =
            format!("lowerUTF8(JSONExtractString({text})) = lowerUTF8({{is_{field}:String}})");
        self.add(&condition, &format!("is_{field}"), value);
    }

    /// The first address is in this state or province, whatever its case.
    pub(crate) fn state(&mut self, state: &str) {
        let addresses = "JSONExtractString(state, 'profile', 'fields', 'addresses')";
        let condition = format!(
            "lowerUTF8(JSONExtractString({addresses}, 1, 'state')) = lowerUTF8({{is_state:String}})"
        );
        self.add(&condition, "is_state", state);
    }

    /// There is an interaction of this kind or on this channel.
    pub(crate) fn has_interaction(&mut self, field: &'static str, value: &str) {
        let condition = format!(
            "{CUSTOMER} IN (SELECT {CUSTOMER} FROM customer_records FINAL \
             WHERE organization = {{organization:String}} AND record = 'interaction' AND NOT is_deleted \
             AND JSONExtractString(fields, '{field}') = {{has_{field}:String}})"
        );
        self.add(&condition, &format!("has_{field}"), value);
    }

    /// A time is in a range; `from` is inside, `to` outside.
    pub(crate) fn between(
        &mut self,
        column: &'static str,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) {
        for (bound, operator, time) in [("from", ">=", from), ("to", "<", to)] {
            if let Some(time) = time {
                let name = format!("{column}_{bound}");
                self.add(
                    &format!("{column} {operator} {{{name}:{TIME}}}"),
                    &name,
                    time,
                );
            }
        }
    }
}

/// Where a page begins: the sort value and id of the last customer before it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Place {
    pub(crate) key: String,
    pub(crate) customer: String,
}

/// Customers looked at in one step: so many times what is still wanted, for versions that are not the newest.
const SLACK: usize = 3;

/// The ids of a page with their sort values, at most `limit`.
pub(crate) async fn page(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    filter: Filter,
    sort: Sort,
    after: Option<&Place>,
    limit: usize,
) -> Result<Vec<(String, String)>, WarehouseError> {
    let Filter {
        mut conditions,
        params,
    } = filter;
    conditions.push("NOT is_deleted".to_owned());
    let listing = Listing {
        warehouse,
        conditions: conditions.join(" AND "),
        params: params.with("organization", organization.as_str()),
        sort,
    };
    let mut page = Vec::new();
    let mut seen = HashSet::new();
    let mut after = after.cloned();
    while page.len() < limit {
        let wanted = (limit - page.len()).saturating_mul(SLACK) + 10;
        let candidates = listing.candidates(after.as_ref(), wanted).await?;
        let newest = listing.newest(&candidates).await?;
        let whole = candidates.len() < wanted;
        after = candidates.last().cloned();
        for candidate in candidates {
            let is_newest = newest.get(&candidate.customer) == Some(&candidate.key);
            if is_newest && seen.insert(candidate.customer.clone()) {
                page.push((candidate.customer, candidate.key));
            }
        }
        if whole {
            break;
        }
    }
    page.truncate(limit);
    Ok(page)
}

/// One question for a list.
struct Listing<'a> {
    warehouse: &'a dyn Warehouse,
    conditions: String,
    params: Params,
    sort: Sort,
}

impl Listing<'_> {
    /// Versions that fulfil the conditions, in order, whether they are the newest of their customer or not. The newest
    /// one of every customer of the list is among them, in its place.
    async fn candidates(
        &self,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Place>, WarehouseError> {
        let Sort { key, descending } = self.sort;
        let (expression, kind) = (key.expression, key.kind);
        let (direction, beyond) = match descending {
            true => ("DESC", "<"),
            false => ("ASC", ">"),
        };
        let mut params = self.params.clone();
        let mut start = String::new();
        if let Some(place) = after {
            params = params.with("after_id", place.customer.as_str());
            if expression == CUSTOMER {
                // In order of the table: earlier ones are not even read.
                start = format!(" AND {CUSTOMER} {beyond} {{after_id:String}}");
            } else {
                start = format!(
                    " AND ({expression}, {CUSTOMER}) {beyond} ({{after_key:{kind}}}, {{after_id:String}})"
                );
                params = params.with("after_key", place.key.as_str());
            }
        }
        let sql = format!(
            "SELECT {CUSTOMER} AS c_customer, toString({expression}) AS c_key FROM customer_state \
             WHERE organization = {{organization:String}} AND {}{start} \
             ORDER BY {expression} {direction}, {CUSTOMER} {direction} LIMIT {limit}",
            self.conditions,
        );
        let mut found = Vec::new();
        for batch in self.warehouse.query(&sql, &params).await? {
            let rows = Rows::new(&batch);
            let (customers, keys) = (rows.texts("c_customer")?, rows.texts("c_key")?);
            let places = customers.into_iter().zip(keys);
            found.extend(places.map(|(customer, key)| Place { key, customer }));
        }
        Ok(found)
    }

    /// The sort value of the newest version of each of these customers, where that one fulfils the conditions.
    async fn newest(
        &self,
        candidates: &[Place],
    ) -> Result<HashMap<String, String>, WarehouseError> {
        let mut ids: Vec<String> = candidates
            .iter()
            .map(|place| place.customer.clone())
            .collect();
        ids.dedup();
        let expression = self.sort.key.expression;
        let columns = inner_columns(&self.conditions, expression);
        let sql = format!(
            "SELECT {CUSTOMER} AS c_customer, toString({expression}) AS c_key FROM (\
               SELECT {columns} FROM customer_state WHERE organization = {{organization:String}} \
               AND {CUSTOMER} IN {{page_ids:Array(String)}} ORDER BY {CUSTOMER}, version DESC LIMIT 1 BY {CUSTOMER}\
             ) WHERE {}",
            self.conditions,
        );
        let mut found = HashMap::with_capacity(ids.len());
        for ids in ids.chunks(MOST_IDS) {
            let params = self.params.clone().with("page_ids", ids.to_vec());
            for batch in self.warehouse.query(&sql, &params).await? {
                let rows = Rows::new(&batch);
                let keys = rows.texts("c_key")?;
                found.extend(rows.texts("c_customer")?.into_iter().zip(keys));
            }
        }
        Ok(found)
    }
}

/// Ids in one statement: servers refuse parameters of more than 128 KiB, and an id has 256 characters at most.
const MOST_IDS: usize = 100;

/// The columns that the conditions and the order need of the newest version.
fn inner_columns(conditions: &str, order: &str) -> String {
    let known = [
        "name",
        "email",
        "phone",
        "company_name",
        "customer_type",
        "status",
        "city",
        "country",
        "tier",
        "manual_tier",
        "points",
        "orders",
        "revenue",
        "created_at",
        "last_seen",
        "last_contact",
        "last_order",
        "assigned_to",
        "user_id",
        "is_deleted",
        "tags",
        "state",
    ];
    let mut columns = vec![CUSTOMER, "version"];
    columns.extend(
        known
            .into_iter()
            .filter(|name| mentions(conditions, name) || mentions(order, name)),
    );
    columns.join(", ")
}

/// Whether an expression has this word outside of longer words.
fn mentions(expression: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    expression.match_indices(word).any(|(at, _)| {
        !part(expression[..at].chars().next_back())
            && !part(expression[at + word.len()..].chars().next())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_needed_columns_are_read() {
        let mut filter = Filter::default();
        filter.equals("status", "active");
        filter.search("a");
        filter.state("x");
        let columns = inner_columns(&filter.conditions.join(" AND "), "revenue");
        assert_eq!(
            columns,
            "customer, version, name, email, phone, company_name, status, revenue, state"
        );
    }

    #[test]
    fn orders_are_parsed() {
        let sort = Sort::parse("-total_revenue").unwrap();
        assert!(sort.descending && sort.key.name == "total_revenue");
        assert!(Sort::parse("password").is_err() && Sort::parse("").is_err());
    }
}
