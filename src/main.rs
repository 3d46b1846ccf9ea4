//! `millrace`: one executable, its roles as subcommands.
//!
//! This crate only composes: it reads the configuration, opens the ports, and wires the role crates
//! together. What a role does is in its own crate.

mod assemble;
mod backup;
mod config;
mod connection;
mod demo;
mod measure;
mod operations;
mod pace;
mod replay;
mod roles;
mod serve;
mod telemetry;
mod unread;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, Flags};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Streaming ingestion and analytics for customer data
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Example:\n  millrace up --data ./data --listen 127.0.0.1:8080"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every role in one process
    #[command(after_help = "Example:\n  millrace up --data ./data --listen 127.0.0.1:8080")]
    Up {
        /// Stop in order when standard input closes: for a parent that must not leave it behind
        #[arg(long, hide = true)]
        until_stdin_closes: bool,
    },
    /// Take events over HTTP into the log
    #[command(
        after_help = "Example:\n  millrace ingest --listen 0.0.0.0:8080 --set log=kafka://broker:9092 \\\n    --set warehouse=clickhouse://node:8123/millrace --set archive=s3://bucket/prefix \\\n    --set control=postgres://host/millrace"
    )]
    Ingest,
    /// Fold the log into customer state and the archive
    #[command(
        after_help = "Example:\n  millrace process --set log=kafka://broker:9092 \\\n    --set warehouse=clickhouse://node:8123/millrace --set archive=s3://bucket/prefix \\\n    --set control=postgres://host/millrace"
    )]
    Process,
    /// Serve customers, reports, forecasts and recommendations
    #[command(
        after_help = "Example:\n  millrace serve --listen 0.0.0.0:8081 --set log=kafka://broker:9092 \\\n    --set warehouse=clickhouse://node:8123/millrace --set archive=s3://bucket/prefix \\\n    --set control=postgres://host/millrace"
    )]
    Serve,
    /// Serve the embedded warehouse over ClickHouse's HTTP interface
    #[command(
        after_help = "Example:\n  millrace warehouse --data ./node --listen 0.0.0.0:8123 --set clickhouse_http.password=…"
    )]
    Warehouse,
    /// Copy warehouse, archive, control database and the end of the log to an empty folder or bucket
    #[command(after_help = "Example:\n  millrace backup --to s3://backups/2026-03-01")]
    Backup {
        /// Where to: file:DIRECTORY or s3://BUCKET/PREFIX
        #[arg(long, value_name = "URL")]
        to: String,
    },
    /// Put a backup back onto an empty place
    #[command(
        after_help = "Example:\n  millrace restore --from s3://backups/2026-03-01 --data ./data --set stream.generation=2"
    )]
    Restore(backup::RestoreOptions),
    /// Compute customer state a second time, from the archive and the log, and compare it with the live one
    #[command(
        after_help = "Example:\n  millrace replay --data ./data\n  millrace replay --data ./data --switch\n  millrace replay --since 2026-03-01T00:00:00Z --json --set log=kafka://broker:9092 \\\n    --set warehouse=clickhouse://node:8123/millrace --set archive=s3://bucket/prefix\n\nEnds with 0 where nothing differs or what did was mended, else with 1.\n\nWhile `millrace up` has the folder, ask it instead: POST /api/v1/admin/replay."
    )]
    Replay(replay::Options),
    /// Print the settings in force, secrets hidden
    #[command(after_help = "Example:\n  millrace config --set stream.partitions=8")]
    Config,
    /// Replay real purchases through the whole pipeline and show what came out
    #[command(
        after_help = "Example:\n  millrace demo --dataset ~/.cache/millrace/data/complete-journey --once --json out.json"
    )]
    Demo(demo::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millrace: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    if let Command::Config = cli.command {
        print!("{}", config::shown(&cli.flags)?);
        return Ok(());
    }
    let config = Config::load(&cli.flags)?;
    telemetry::logs(&config.logging)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("millrace")
        .build()?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Up { until_stdin_closes } => roles::up(config, until_stdin_closes).await,
            Command::Ingest => roles::ingest(config).await,
            Command::Process => roles::process(config).await,
            Command::Serve => roles::serve(config).await,
            Command::Warehouse => roles::warehouse(config).await,
            Command::Replay(options) => replay::run(config, options).await,
            Command::Demo(options) => demo::run(config, &cli.flags, options).await,
            Command::Backup { to } => backup::backup(config, &to).await,
            Command::Restore(options) => backup::restore(config, options).await,
            Command::Config => Ok(()),
        }
    });
    // Threads that still block in a library must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    warehouse::close_embedded();
    result
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command_shows_an_example() {
        let mut cli = Cli::command();
        assert!(cli.render_long_help().to_string().contains("Example:"));
        for command in cli
            .get_subcommands_mut()
            .filter(|command| command.get_name() != "help")
        {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example:\n  millrace "), "{help}");
        }
    }
}
