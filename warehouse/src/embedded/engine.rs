//! The engine of this process: one storage path, started with the first session and stopped after the last.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::library::{Library, Session};
use crate::error::WarehouseError;
use crate::params::Params;
use crate::port::Options;

/// The running engine. Holds one session open, so that it runs whether or not the others do.
pub(crate) struct Engine {
    library: &'static Library,
    path: PathBuf,
    query_memory: u64,
    /// Never used for statements: the engine runs while a session is open.
    _keeper: Mutex<Session>,
}

static RUNNING: Mutex<Weak<Engine>> = Mutex::new(Weak::new());

impl Engine {
    /// Starts the engine, or joins it if this process runs it on the same directory.
    pub(super) fn start(path: &Path, options: &Options) -> Result<Arc<Engine>, WarehouseError> {
        let library_path = library_path(options)?;
        let fail = |reason: String| WarehouseError::Library {
            library: library_path.clone(),
            reason,
        };
        std::fs::create_dir_all(path)
            .map_err(|error| fail(format!("cannot create {}: {error}", path.display())))?;
        let path = path
            .canonicalize()
            .map_err(|error| fail(error.to_string()))?;
        let mut running = RUNNING.lock();
        if let Some(engine) = running.upgrade() {
            if engine.path == path {
                return Ok(engine);
            }
            return Err(fail(format!(
                "this process already runs it on {}; one process holds one directory",
                engine.path.display()
            )));
        }
        let library = Library::load(&library_path)?;
        let keeper = library.connect(&arguments(&path, options)).ok_or_else(|| {
            fail(format!(
                "it refused {}; check that no other process has it open and that it is writable",
                path.display()
            ))
        })?;
        let engine = Arc::new(Engine {
            library,
            path,
            query_memory: options.query_memory,
            _keeper: Mutex::new(keeper),
        });
        *running = Arc::downgrade(&engine);
        Ok(engine)
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a session, which takes well under a millisecond.
    pub(crate) fn session(&self) -> Result<Session, WarehouseError> {
        let arguments = [
            argument("path", self.path.display()),
            argument("max_memory_usage", self.query_memory),
        ];
        self.library
            .connect(&arguments)
            .ok_or_else(|| WarehouseError::Answer("the engine opened no session".into()))
    }

    /// Opens a session with these settings.
    pub(super) fn session_with(
        &self,
        settings: &[(&str, &str)],
    ) -> Result<Session, WarehouseError> {
        let mut session = self.session()?;
        for (name, value) in settings {
            session.run(
                &format!("SET {name} = {value}"),
                "Null",
                &Params::new(),
                |_, _| (),
            )?;
        }
        Ok(session)
    }
}

fn argument(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

/// The engine's own settings: memory in bytes, and threads for a small machine.
fn arguments(path: &Path, options: &Options) -> Vec<String> {
    let memory = options.memory;
    vec![
        argument("path", path.display()),
        argument("max_server_memory_usage", memory),
        argument("max_memory_usage", options.query_memory),
        // Caches are inside the limit, not beside it.
        argument("mark_cache_size", memory / 16),
        argument("primary_index_cache_size", memory / 16),
        argument("index_mark_cache_size", memory / 64),
        argument("index_uncompressed_cache_size", 0),
        argument("uncompressed_cache_size", 0),
        argument("query_condition_cache_size", memory / 64),
        argument("background_pool_size", options.merges),
    ]
}

fn library_path(options: &Options) -> Result<PathBuf, WarehouseError> {
    if let Some(path) = &options.library {
        return Ok(path.clone());
    }
    let name = format!("libchdb{}", std::env::consts::DLL_SUFFIX);
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(|folder| folder.join(&name)));
    beside.ok_or_else(|| WarehouseError::Library {
        library: PathBuf::from(name),
        reason: "the place of this program is unknown; set the library's path".into(),
    })
}
