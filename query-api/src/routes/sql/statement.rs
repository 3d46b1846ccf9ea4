//! What is taken as a statement: one SELECT, of a size that planning it is no work.
//!
//! A long chain of operators is deep, and what walks over it needs stack for each; a table expression that is named twice
//! is planned twice, so names of names double. Both are counted before anything is planned.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::error::DataFusionError;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, Query, SetExpr, Statement as SqlStatement, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use schemas::{Problem, ProblemKind};

/// Operators of a statement, in all.
const MOST_OPERATORS: usize = 512;
/// Tables of a statement once every name of a table expression stands for what it names.
const MOST_TABLES: u64 = 64;

/// Functions that make much of little, whose results no limit of memory counts.
pub(super) const NOT_OFFERED: [&str; 9] = [
    "repeat",
    "lpad",
    "rpad",
    "array_repeat",
    "list_repeat",
    "array_resize",
    "list_resize",
    "range",
    "generate_series",
];

pub(super) fn refuse(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::BadRequest, detail.into()).field("sql")
}

/// One statement, and that a query.
pub(super) fn parse(sql: &str) -> Result<Statement, Problem> {
    if operators(sql) > MOST_OPERATORS {
        return Err(refuse(format!(
            "a statement has at most {MOST_OPERATORS} operators; for many values write IN (…)"
        )));
    }
    let mut statements = DFParser::parse_sql(sql).map_err(|error| refuse(plain(&error)))?;
    let statement = match (statements.pop_front(), statements.is_empty()) {
        (Some(Statement::Statement(statement)), true) => statement,
        (Some(_), true) => return Err(refuse("only SELECT is answered here")),
        (Some(_), false) => return Err(refuse("send one statement")),
        (None, _) => return Err(refuse("send a SELECT")),
    };
    match &*statement {
        SqlStatement::Query(query) if selects(&query.body) => check_tables(query)?,
        _ => return Err(refuse("only SELECT is answered here")),
    }
    Ok(Statement::Statement(statement))
}

/// Tokens that put expressions, queries or tables together. What is no SQL at all is the parser's to refuse.
fn operators(sql: &str) -> usize {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
    let joins = |token: &&Token| match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::XOR
                | Keyword::IS
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::CASE
                | Keyword::AT
                | Keyword::COLLATE
                | Keyword::UNION
                | Keyword::INTERSECT
                | Keyword::EXCEPT
                | Keyword::JOIN
        ),
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Whitespace(_)
        | Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::SemiColon => false,
        _ => true,
    };
    tokens.map_or(0, |tokens| tokens.iter().filter(joins).count())
}

/// A SELECT, or several put together.
fn selects(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(_) => true,
        SetExpr::Query(query) => selects(&query.body),
        SetExpr::SetOperation { left, right, .. } => selects(left) && selects(right),
        _ => false,
    }
}

/// Counts the tables that are read, those behind names too.
struct Tables {
    behind: HashMap<Ident, u64>,
    count: u64,
    inner_with: bool,
}

impl Visitor for Tables {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.inner_with |= query.with.is_some();
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let name = match &relation.0[..] {
            [part] => part.as_ident().map(folded),
            _ => None,
        };
        let tables = name.and_then(|name| self.behind.get(&name)).unwrap_or(&1);
        self.count = self.count.saturating_add(*tables);
        ControlFlow::Continue(())
    }
}

/// A name as the planner compares it.
fn folded(name: &Ident) -> Ident {
    match name.quote_style {
        Some(_) => Ident::new(name.value.clone()),
        None => Ident::new(name.value.to_lowercase()),
    }
}

fn check_tables(query: &Query) -> Result<(), Problem> {
    let mut tables = Tables {
        behind: HashMap::new(),
        count: 0,
        inner_with: false,
    };
    for named in query.with.iter().flat_map(|with| &with.cte_tables) {
        tables.count = 0;
        let _ = named.query.visit(&mut tables);
        let name = folded(&named.alias.name);
        tables.behind.insert(name, tables.count.max(1));
        if tables.count > MOST_TABLES {
            break;
        }
    }
    if tables.count <= MOST_TABLES {
        tables.count = 0;
        let _ = query.body.visit(&mut tables);
        let _ = query.order_by.visit(&mut tables);
    }
    if tables.count > MOST_TABLES {
        return Err(refuse(format!(
            "it reads {MOST_TABLES} tables at most, each as often as it is named; write it with fewer"
        )));
    }
    match tables.inner_with {
        true => Err(refuse("WITH stands at the beginning of the statement")),
        false => Ok(()),
    }
}

/// DataFusion's message without what is meant for its developers.
pub(super) fn plain(error: &DataFusionError) -> String {
    let text = match error.find_root() {
        DataFusionError::SQL(error, _) => error.to_string(),
        DataFusionError::Plan(text) => text.clone(),
        other => other.strip_backtrace(),
    };
    let first = text.lines().next().unwrap_or("the statement cannot be run");
    let first = first.trim_start_matches("sql parser error: ");
    match first.contains("datafusion.public.") {
        true => format!(
            "{}; the tables are events, items and customers",
            first.replace("datafusion.public.", "")
        ),
        false => first.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_query_parses() {
        for good in [
            "SELECT 1",
            "select * from events;",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "(SELECT 1) UNION ALL SELECT 2",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ";",
            "SELECT 1; SELECT 2",
            "SELEC 1",
            "VALUES (1)",
            "TABLE events",
            "INSERT INTO events VALUES (1)",
            "DELETE FROM events",
            "CREATE TABLE x AS SELECT 1",
            "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
            "COPY events TO '/tmp/x.csv'",
            "SET datafusion.execution.batch_size = 1",
            "SHOW TABLES",
            "EXPLAIN SELECT 1",
            "DROP TABLE events",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_would_be_too_much_to_plan_is_refused() {
        let chain =
            |operator: &str, count: usize| format!("SELECT {}", vec!["1"; count].join(operator));
        for operator in ["+", "||", " OR ", " UNION ALL SELECT "] {
            assert!(parse(&chain(operator, 500)).is_ok(), "{operator}");
            for count in [600, 300_000] {
                assert!(parse(&chain(operator, count)).is_err(), "{operator}");
            }
        }
        let list = vec!["'x'"; 10_000].join(",");
        assert!(parse(&format!("SELECT 1 FROM events WHERE kind IN ({list})")).is_ok());
        let doubling = |times: usize| {
            let names = (1..=times).map(|at| {
                format!(
                    ", a{at} AS (SELECT * FROM a{} UNION ALL SELECT * FROM A{})",
                    at - 1,
                    at - 1
                )
            });
            format!(
                "WITH a0 AS (SELECT 1 FROM events){} SELECT count(*) FROM a{times}",
                names.collect::<String>()
            )
        };
        assert!(parse(&doubling(5)).is_ok());
        for times in [7, 17, 200] {
            assert!(parse(&doubling(times)).is_err(), "{times}");
        }
        let inner = doubling(3);
        assert!(parse(&format!("SELECT * FROM ({inner})")).is_err());
    }
}
