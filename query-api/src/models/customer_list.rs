//! A page of the customer list: filters and order over the newest versions, by key.
//!
//! Merging every customer to find some (`FINAL`) costs the more the more there are. Here the versions that fulfil the
//! filters give candidates from a few narrow columns; only for those is the newest version looked at, and only a
//! page of them is read whole.

use schemas::{OrganizationId, Problem, ProblemKind, Timestamp};
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

    /// The profile has this tag.
    pub(crate) fn tag(&mut self, tag: &str) {
        // The state keeps a field's JSON as text.
        let tags =
            "JSONExtract(JSONExtractString(state, 'profile', 'fields', 'tags'), 'Array(String)')";
        self.add(&format!("has({tags}, {{tag:String}})"), "tag", tag);
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

/// The ids of a page with their sort values, at most `limit`.
pub(crate) async fn page(
    warehouse: &dyn Warehouse,
    organization: &OrganizationId,
    filter: Filter,
    sort: Sort,
    after: Option<&Place>,
    limit: usize,
) -> Result<Vec<(String, String)>, WarehouseError> {
    let Sort { key, descending } = sort;
    let Filter {
        mut conditions,
        mut params,
    } = filter;
    params = params.with("organization", organization.as_str());
    let candidates = match conditions.is_empty() {
        true => String::new(),
        false => format!(
            " AND {CUSTOMER} IN (SELECT {CUSTOMER} FROM customer_state \
             WHERE organization = {{organization:String}} AND {})",
            conditions.join(" AND ")
        ),
    };
    let (direction, beyond) = match descending {
        true => ("DESC", "<"),
        false => ("ASC", ">"),
    };
    let mut start = String::new();
    if let Some(place) = after {
        params = params.with("after_id", place.customer.as_str());
        if key.expression == CUSTOMER {
            // In order of the table: earlier ones are not even read.
            start = format!(" AND {CUSTOMER} {beyond} {{after_id:String}}");
        } else {
            let (expression, kind) = (key.expression, key.kind);
            conditions.push(format!(
                "({expression}, {CUSTOMER}) {beyond} ({{after_key:{kind}}}, {{after_id:String}})"
            ));
            params = params.with("after_key", place.key.as_str());
        }
    }
    conditions.push("NOT is_deleted".to_owned());
    let newest = conditions.join(" AND ");
    let columns = inner_columns(&newest, key.expression);
    let sql = format!(
        "SELECT {CUSTOMER} AS c_customer, toString({expression}) AS c_key FROM (\
           SELECT {columns} FROM customer_state WHERE organization = {{organization:String}}{start}{candidates} \
           ORDER BY {CUSTOMER} {inner}, version DESC LIMIT 1 BY {CUSTOMER}\
         ) WHERE {newest} ORDER BY {expression} {direction}, {CUSTOMER} {direction} LIMIT {limit}",
        expression = key.expression,
        inner = if key.expression == CUSTOMER {
            direction
        } else {
            "ASC"
        },
    );
    let mut page = Vec::new();
    for batch in warehouse.query(&sql, &params).await? {
        let rows = Rows::new(&batch);
        page.extend(
            rows.texts("c_customer")?
                .into_iter()
                .zip(rows.texts("c_key")?),
        );
    }
    Ok(page)
}

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
        let columns = inner_columns(&filter.conditions.join(" AND "), "revenue");
        assert_eq!(
            columns,
            "customer, version, name, email, phone, company_name, status, revenue"
        );
    }

    #[test]
    fn orders_are_parsed() {
        let sort = Sort::parse("-total_revenue").unwrap();
        assert!(sort.descending && sort.key.name == "total_revenue");
        assert!(Sort::parse("password").is_err() && Sort::parse("").is_err());
    }
}
