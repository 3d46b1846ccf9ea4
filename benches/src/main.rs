//! `benches`: how fast Millrace is, and at what cost.
//!
//! Each benchmark prints a line of JSON per case on standard output and the same for people on standard error:
//! medians of several runs with the lowest and highest. On a machine that is shared, CPU time per event is the figure
//! to trust. `RESULTS.md` beside holds what was measured.

mod benches;
mod events;
mod http;
mod kafka;
mod load;
mod process;
mod report;
mod server;
mod settings;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::report::Reporter;
use crate::settings::Settings;

/// The same allocator as the program's, so that what runs in this process costs what it costs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Millrace: throughput, CPU per event, latency and memory
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n  benches end-to-end --runs 5\n  benches all --quick")]
struct Cli {
    #[command(subcommand)]
    bench: Option<Bench>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
enum Bench {
    /// All of them, one after the other (also without a name)
    All,
    /// Durable appends to the log: embedded, and Kafka
    Append,
    /// Events over HTTP into the log: batches of 500, and single events
    Ingest,
    /// Records to state and columns, without I/O
    Fold,
    /// Events sent over HTTP until all are processed and archived
    EndToEnd,
    /// Commits of 100,000 events to the archive
    Archive,
    /// The sales report over what is archived
    Report,
    /// From the answer to an event until a query sees it, at 5,000 events/s
    Latency,
    /// Resident memory after a million customers
    Memory,
}

impl Bench {
    const EACH: [Self; 8] = [
        Self::Append,
        Self::Ingest,
        Self::Fold,
        Self::EndToEnd,
        Self::Archive,
        Self::Report,
        Self::Latency,
        Self::Memory,
    ];

    async fn run(self, settings: &Settings) -> anyhow::Result<()> {
        match self {
            Self::All => {
                for bench in Self::EACH {
                    Box::pin(bench.run(settings)).await?;
                }
                Ok(())
            }
            Self::Append => {
                benches::append::run(settings, &Reporter::new("append", settings)).await
            }
            Self::Ingest => {
                benches::ingest::run(settings, &Reporter::new("ingest", settings)).await
            }
            Self::Fold => benches::fold::run(settings, &Reporter::new("fold", settings)).await,
            Self::EndToEnd => {
                benches::end_to_end::run(settings, &Reporter::new("end-to-end", settings)).await
            }
            Self::Archive => {
                benches::archive::run(settings, &Reporter::new("archive", settings)).await
            }
            Self::Report => {
                benches::sales_report::run(settings, &Reporter::new("report", settings)).await
            }
            Self::Latency => {
                benches::latency::run(settings, &Reporter::new("latency", settings)).await
            }
            Self::Memory => {
                benches::memory::run(settings, &Reporter::new("memory", settings)).await
            }
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(cli.bench.unwrap_or(Bench::All).run(&cli.settings)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benches: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
