//! The guarantee under faults: real servers, roles apart, a driver with a book of its own, one fault at a time, and a
//! comparison of everything after each.
//!
//! `make faults` runs the whole table; `make test` the most dangerous faults, shortened. Arguments choose by name, as in
//! `make faults ARGS="zombie broker"`; `MILLRACE_FAULTS` is `short`, `full` or `soak`.

#![allow(clippy::unwrap_used)]

mod cluster;
mod driver;
mod inject;
mod lag;
mod ledger;
mod log;
mod oracle;
mod process;
mod proxy;
mod run;
mod services;
mod soak;
mod table;

use std::process::ExitCode;

use futures::FutureExt;
use futures::future::LocalBoxFuture;

use crate::driver::Pace;
use crate::inject::{broken, clients, clock, embedded, members, overload, processes, servers};
use crate::run::{Injected, Run};
use crate::table::Row;

/// A fault of the roles apart.
struct Fault {
    name: &'static str,
    /// Also in the shortened run.
    short: bool,
    inject: for<'a> fn(&'a mut Run) -> LocalBoxFuture<'a, Injected>,
}

macro_rules! faults {
    ($($name:literal $length:ident $inject:path;)*) => {
        &[$(Fault {
            name: $name,
            short: matches!(Length::$length, Length::Short),
            inject: |run| $inject(run).boxed_local(),
        }),*]
    };
}

enum Length {
    Short,
    Full,
}

const FAULTS: &[Fault] = faults! {
    "ingest killed" Short processes::ingest;
    "processor killed" Short processes::processor;
    "processor killed at its writes" Short processes::processor_at_writes;
    "serve killed" Full processes::serve;
    "rebalance storm" Full members::storm;
    "zombie" Full members::zombie;
    "zombie returns" Short members::zombie_returns;
    "broker killed" Short servers::broker_killed;
    "broker paused" Full servers::broker_paused;
    "warehouse away" Short servers::warehouse_away;
    "warehouse silent" Full servers::warehouse_silent;
    "warehouse breaks off inserts" Short servers::warehouse_breaks;
    "warehouse's answers lost" Full servers::warehouse_answers_lost;
    "warehouse's reads break off" Full servers::warehouse_reads_break;
    "s3 failing" Full servers::s3_failing;
    "s3 away" Full servers::s3_away;
    "s3 slow" Full servers::s3_slow;
    "s3's answers lost" Short servers::s3_answers_lost;
    "control database away" Full servers::control_away;
    "client cut off" Short clients::cut_off;
    "clock jumps an hour" Full clock::jumps;
    "overload" Full overload::rush;
};

/// Gentle, so that all the parts have a share of a small machine.
const PACE: Pace = Pace {
    senders: 6,
    batch: 60,
    rate: 1_200,
    customers: 400,
};

fn main() -> ExitCode {
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    if wanted.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    // What cargo's own test programs understand.
    wanted.retain(|argument| !argument.starts_with('-'));
    let mode = std::env::var("MILLRACE_FAULTS").unwrap_or_else(|_| "short".to_owned());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // On this thread, which lives as long as the processes that it starts.
    let good = runtime.block_on(async {
        match mode.as_str() {
            "soak" => soak::soak().await,
            "short" | "full" => whole_table(mode == "full", &wanted).await,
            other => panic!("MILLRACE_FAULTS is short, full or soak, not {other}"),
        }
    });
    match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Runs the faults of this length, or those that are named, and prints what came of them.
async fn whole_table(full: bool, wanted: &[String]) -> bool {
    let chosen = |name: &str, short: bool| match wanted {
        [] => full || short,
        words => words.iter().any(|word| name.contains(word.as_str())),
    };
    let faults: Vec<&Fault> = FAULTS
        .iter()
        .filter(|fault| chosen(fault.name, fault.short))
        .collect();
    let mut rows: Vec<Row> = Vec::new();
    if !faults.is_empty() {
        let mut run = Run::start(full, PACE).await;
        for fault in faults {
            run.driver
                .wait_for(300, std::time::Duration::from_secs(60))
                .await;
            let injected = (fault.inject)(&mut run).await;
            rows.push(run.judge(fault.name, injected).await);
            tell(&rows);
        }
    }
    if chosen("embedded, killed", false) {
        rows.push(embedded::killed(full).await);
        tell(&rows);
    }
    if chosen("embedded, disk full", false) {
        rows.push(embedded::disk_full(full).await);
        tell(&rows);
    }
    if chosen(broken::NAME, false) {
        rows.push(broken::claims(PACE).await);
        tell(&rows);
    }
    table::print(&rows)
}

fn tell(rows: &[Row]) {
    if let Some(row) = rows.last() {
        row.tell();
    }
}
