//! The table at the end.

use crate::ledger::Counts;

/// What came of one fault.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) fault: String,
    pub(crate) times: u64,
    /// By the driver's book, since the fault before.
    pub(crate) counts: Counts,
    pub(crate) warehouse: usize,
    pub(crate) archive: usize,
    pub(crate) rejections: usize,
    pub(crate) notes: Vec<String>,
    /// Why the verdict is not good.
    pub(crate) wrong: Vec<String>,
    /// Whether something was broken on purpose, and noticed.
    pub(crate) caught: bool,
}

const HEAD: [&str; 9] = [
    "fault",
    "times",
    "sent",
    "acknowledged",
    "unknown",
    "warehouse",
    "archive",
    "rejections",
    "verdict",
];

impl Row {
    fn cells(&self) -> [String; 9] {
        [
            self.fault.clone(),
            self.times.to_string(),
            self.counts.sent.to_string(),
            self.counts.acknowledged.to_string(),
            self.counts.unknown.to_string(),
            self.warehouse.to_string(),
            self.archive.to_string(),
            self.rejections.to_string(),
            self.verdict().to_owned(),
        ]
    }

    fn verdict(&self) -> &'static str {
        match (self.wrong.is_empty(), self.caught) {
            (true, false) => "exact",
            (true, true) => "caught",
            (false, _) => "WRONG",
        }
    }

    /// Says at once how it went.
    pub(crate) fn tell(&self) {
        println!(
            "{}: {} ({})",
            self.fault,
            self.verdict(),
            self.notes.join("; ")
        );
        for wrong in &self.wrong {
            println!("    {wrong}");
        }
    }
}

/// Prints the table, and says whether every verdict is good.
pub(crate) fn print(rows: &[Row]) -> bool {
    let cells: Vec<[String; 9]> = rows.iter().map(Row::cells).collect();
    let widths: [usize; 9] = std::array::from_fn(|column| {
        let widest = cells.iter().map(|row| row[column].len()).max();
        widest.unwrap_or(0).max(HEAD[column].len())
    });
    let line = |cells: [&str; 9]| {
        let mut line = String::new();
        for (column, cell) in cells.into_iter().enumerate() {
            let width = widths[column];
            line += &match column {
                0 | 8 => format!("{cell:<width$}  "),
                _ => format!("{cell:>width$}  "),
            };
        }
        println!("{}", line.trim_end());
    };
    println!();
    line(HEAD);
    for row in &cells {
        line(std::array::from_fn(|column| row[column].as_str()));
    }
    println!(
        "\nsent, acknowledged and unknown: events by the driver's own book. warehouse, archive: events found beyond those\n\
         of the row before. rejections: repeats and broken records."
    );
    rows.iter().all(|row| row.wrong.is_empty())
}
