//! A replay for people: one line while it runs, a table when it is done.

use std::fmt::Write;

use processors::replay::{Progress, Report};

/// One line of how far it is.
pub(super) fn progress(progress: &Progress) -> String {
    let rate = progress.events_per_second;
    match progress.percent() {
        Some(percent) => format!(
            "{}: {percent:.1} % ({} of {} events, {rate:.0} events/s)",
            progress.phase.as_str(),
            progress.events,
            progress.total
        ),
        None => format!(
            "{}: {} events, {rate:.0} events/s",
            progress.phase.as_str(),
            progress.events
        ),
    }
}

/// Columns under each other, each as wide as its widest cell.
fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned))
        .chain(rows)
        .collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    });
    let mut out = String::new();
    for row in rows {
        let line: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        out.push_str(line.join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// Everything that was found.
pub(super) fn report(report: &Report) -> String {
    let mut out = table(
        ["partition", "events", "from the archive", "from the log"],
        report.partitions.iter().map(|part| {
            [
                format!("{}:{}", part.generation, part.partition),
                part.events.to_string(),
                format!("0..{}", part.archived),
                format!("{}..{}", part.archived, part.applied),
            ]
        }),
    );
    out.push('\n');
    // Writing to a String cannot fail.
    if report.dry_run {
        out.push_str("nothing was read further, and nothing was written\n");
        return out;
    }
    let _ = writeln!(
        out,
        "{} events folded in {:.1} s ({:.0} events/s), {} customers compared, {} differ",
        report.folded, report.seconds, report.events_per_second, report.customers, report.different
    );
    if report.moved > 0 {
        let _ = writeln!(
            out,
            "{} rows changed at every look and were not compared; replay again when there is less to do",
            report.moved
        );
    }
    if !report.differences.is_empty() {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
        out.push('\n');
        out.push_str(&table(
            [
                "organization",
                "customer",
                "table",
                "row",
                "field",
                "live",
                "replayed",
            ],
            report.differences.iter().map(|found| {
                [
                    found.organization.clone(),
                    found.customer_id.clone(),
                    found.table.to_owned(),
                    found.row.clone(),
                    found.field.clone(),
                    shown(&found.live),
                    shown(&found.replayed),
                ]
            }),
        ));
    }
    if report.hidden > 0 {
        let _ = writeln!(out, "and {} more rows", report.hidden);
    }
    if report.switched {
        out.push_str(
            "\nthe rebuilt state is the live one now; what it was is in customer_state_replaced and customer_days_replaced\n",
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let rows = [
            ["é".to_owned(), "1".to_owned()],
            ["long".to_owned(), "2".to_owned()],
        ];
        assert_eq!(
            table(["a", "b"], rows.into_iter()),
            "a     b\né     1\nlong  2\n"
        );
    }
}
