//! A real PostgreSQL for tests: a new cluster in a temporary folder, on a free loopback port, gone on drop.
//!
//! Needs only `std` and `tempfile`, so that tests of other crates can include this file by its path.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The account that owns the server's files when the tests run as root, whom PostgreSQL refuses to serve.
const ACCOUNT: &str = "postgres";
const SUPERUSER: &str = "millrace";

/// A running server.
#[derive(Debug)]
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    databases: AtomicU32,
}

impl Postgres {
    /// Starts a server; panics with what to do where PostgreSQL is not installed or does not start.
    pub(crate) fn start() -> Self {
        let programs = find_programs().unwrap_or_else(|| {
            panic!("PostgreSQL is not installed under /usr/lib/postgresql: run `make setup`")
        });
        // Not TMPDIR: that may lie where the server's account cannot go.
        let folder = tempfile::Builder::new()
            .prefix("millrace-pg-")
            .tempdir_in("/tmp")
            .expect("/tmp is writable");
        if is_root() {
            check(Command::new("chown").arg(ACCOUNT).arg(folder.path()));
        }
        let data = folder.path().join("data");
        let arguments = [
            "--no-sync",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-U",
            SUPERUSER,
            "-D",
        ];
        check(
            server_command(&programs.join("initdb"))
                .args(arguments)
                .arg(&data),
        );
        let mut server = Self {
            programs,
            folder,
            port: 0,
            databases: AtomicU32::new(0),
        };
        // Another program may take the port between our look and the server's; then the next one is tried.
        let mut last = String::new();
        for _ in 0..5 {
            server.port = free_port();
            match server.try_start() {
                Ok(()) => return server,
                Err(error) => last = error,
            }
        }
        panic!("PostgreSQL did not start: {last}");
    }

    /// Creates an empty database and gives its URL.
    pub(crate) fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        check(self.client("createdb").arg(&name));
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{name}", self.port)
    }

    /// Stops the server as a power failure would, keeping its files.
    pub(crate) fn stop(&self) {
        let data = self.folder.path().join("data");
        let mut command = server_command(&self.programs.join("pg_ctl"));
        check(
            command
                .args(["stop", "-w", "-m", "immediate", "-D"])
                .arg(data),
        );
    }

    /// Starts the stopped server again on its port.
    pub(crate) fn start_again(&self) {
        if let Err(error) = self.try_start() {
            panic!("PostgreSQL did not start again: {error}");
        }
    }

    fn try_start(&self) -> Result<(), String> {
        let folder = self.folder.path();
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off",
            self.port
        );
        let mut command = server_command(&self.programs.join("pg_ctl"));
        command
            .args(["start", "-w", "-t", "60", "-o", &options, "-D"])
            .arg(folder.join("data"));
        // The server inherits what is not redirected, and would keep a pipe open for ever.
        let status = command
            .arg("-l")
            .arg(folder.join("log"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(std::fs::read_to_string(folder.join("log")).unwrap_or_default()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.args([
            "-h",
            "127.0.0.1",
            "-U",
            SUPERUSER,
            "-p",
            &self.port.to_string(),
        ]);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        let mut command = server_command(&self.programs.join("pg_ctl"));
        command
            .args(["stop", "-w", "-m", "immediate", "-D"])
            .arg(data);
        // A server that is stopped already is no reason to panic here.
        let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// The newest installed version's programs.
fn find_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let version = |path: &Path| {
        path.file_name()
            .and_then(|name| name.to_str()?.parse::<u32>().ok())
    };
    let newest = versions
        .flatten()
        .map(|entry| entry.path())
        .max_by_key(|path| version(path))?;
    let programs = newest.join("bin");
    programs.join("initdb").exists().then_some(programs)
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// A command that runs as an account PostgreSQL accepts, in a folder that account can enter.
fn server_command(program: &Path) -> Command {
    let mut command = match is_root() {
        true => {
            let mut command = Command::new("runuser");
            command.args(["-u", ACCOUNT, "--"]).arg(program);
            command
        }
        false => Command::new(program),
    };
    command.current_dir("/");
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port is free");
    listener
        .local_addr()
        .expect("a bound listener has an address")
        .port()
}

fn check(command: &mut Command) {
    let result = command.stdin(Stdio::null()).output();
    let Output { status, stderr, .. } =
        result.unwrap_or_else(|error| panic!("{command:?} did not run: {error}"));
    assert!(
        status.success(),
        "{command:?} failed, run `make setup` if a program is missing: {}",
        String::from_utf8_lossy(&stderr)
    );
}
