//! What every benchmark can be told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

/// Options of all benchmarks.
#[derive(Debug, Clone, Args)]
pub(crate) struct Settings {
    /// One short run of everything: shows that it works, not how fast it is
    #[arg(long, global = true)]
    pub(crate) quick: bool,
    /// Runs of each case; the figures are their medians
    #[arg(long, global = true, default_value_t = 3)]
    runs: usize,
    /// Seconds of load in each run
    #[arg(long, global = true)]
    seconds: Option<f64>,
    /// Run only the cases whose name holds this text
    #[arg(long, global = true)]
    pub(crate) only: Option<String>,
    /// The program under test [default: bin/millrace of this workspace]
    #[arg(long, global = true)]
    millrace: Option<PathBuf>,
    /// libchdb.so [default: beside the program]
    #[arg(long, global = true)]
    libchdb: Option<PathBuf>,
    /// A further setting of the program, key=value
    #[arg(long = "set", global = true)]
    pub(crate) set: Vec<String>,
    /// Where data is put for the time of a run [default: the system's temporary folder]
    #[arg(long, global = true)]
    folder: Option<PathBuf>,
}

impl Settings {
    /// How often each case is run.
    pub(crate) fn runs(&self) -> usize {
        if self.quick { 1 } else { self.runs.max(1) }
    }

    /// How long load lasts in a run.
    pub(crate) fn load_time(&self) -> Duration {
        let seconds = self.seconds.unwrap_or(5.0).clamp(0.2, 600.0);
        Duration::from_secs_f64(if self.quick {
            seconds.min(0.7)
        } else {
            seconds
        })
    }

    /// One number for a real run, another for a quick one.
    pub(crate) fn size(&self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }

    /// The program under test.
    pub(crate) fn program(&self) -> Result<PathBuf> {
        let program = self
            .millrace
            .clone()
            .unwrap_or_else(|| workspace().join("bin/millrace"));
        if !program.is_file() {
            bail!(
                "{} is missing; run `make build`, or name the program with --millrace",
                program.display()
            );
        }
        Ok(program)
    }

    /// The flags and settings every role under test is started with.
    pub(crate) fn program_settings(&self) -> Vec<String> {
        let mut all = vec!["logging.level=warn".to_owned()];
        if let Some(library) = &self.libchdb {
            all.push(format!("embedded.library={}", library.display()));
        }
        all.extend(self.set.iter().cloned());
        all
    }

    /// A folder that goes away with its handle.
    pub(crate) fn temporary_folder(&self) -> Result<tempfile::TempDir> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("millrace-bench-");
        Ok(match &self.folder {
            Some(folder) => builder.tempdir_in(folder)?,
            None => builder.tempdir()?,
        })
    }
}

/// The folder of the workspace this was built from.
pub(crate) fn workspace() -> &'static Path {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.parent().unwrap_or(folder)
}
