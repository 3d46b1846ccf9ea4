//! Where things are, and what is done to processes.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The program under test: `MILLRACE_BIN`, else the one that was built beside this test.
pub fn millrace() -> PathBuf {
    built("MILLRACE_BIN", "millrace", "make build")
}

/// A command of the program with nobody's settings.
pub fn command() -> Command {
    let mut command = Command::new(millrace());
    forget_settings(&mut command);
    command
}

/// Settings of whoever runs the tests are not those of the test.
pub fn forget_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("MILLRACE_"))
        {
            command.env_remove(name);
        }
    }
}

/// The variant that can be crashed at named points: `MILLRACE_CRASHABLE_BIN`, else the one beside this test.
pub fn crashable() -> PathBuf {
    built(
        "MILLRACE_CRASHABLE_BIN",
        "millrace-crashable",
        "make crashable",
    )
}

fn built(variable: &str, name: &str, target: &str) -> PathBuf {
    let program = match std::env::var_os(variable) {
        Some(path) => PathBuf::from(path),
        // The test is …/release/deps/whole-…, the program …/release/millrace.
        None => {
            let test = std::env::current_exe().expect("a running test has a path");
            test.parent()
                .and_then(Path::parent)
                .expect("tests are two folders deep")
                .join(name)
        }
    };
    assert!(
        program.is_file(),
        "{} is missing: run `{target}`",
        program.display()
    );
    program
}

/// Where tools and test data are kept.
fn cache() -> PathBuf {
    std::env::var_os("MILLRACE_CACHE").map_or_else(
        || {
            let home = std::env::var_os("HOME")
                .expect("HOME or MILLRACE_CACHE names where tools are kept");
            Path::new(&home).join(".cache/millrace")
        },
        PathBuf::from,
    )
}

fn there(path: PathBuf) -> PathBuf {
    assert!(
        path.exists(),
        "{} is missing: run `make setup`",
        path.display()
    );
    path
}

/// The engine of the embedded warehouse.
pub fn libchdb() -> PathBuf {
    match std::env::var_os("MILLRACE_LIBCHDB") {
        Some(path) => there(PathBuf::from(path)),
        None => there(cache().join("chdb/lib/libchdb.so")),
    }
}

/// The retail purchases that the demo replays.
pub fn dataset() -> PathBuf {
    there(cache().join("data/complete-journey"))
}

/// Python with the pinned readers.
pub fn python() -> PathBuf {
    there(cache().join("venv/bin/python"))
}

/// Runs a script of `tests/py` and reads the JSON that it prints.
pub fn run_python(script: &str, arguments: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("py")
        .join(script);
    let output = Command::new(python())
        .arg(script)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Ends a process at once (SIGKILL).
pub fn kill(pid: u32) {
    signal("-KILL", pid);
}

/// Asks a process to end in order (SIGTERM).
pub fn terminate(pid: u32) {
    signal("-TERM", pid);
}

/// Stops a process where it is (SIGSTOP).
pub fn stop(pid: u32) {
    signal("-STOP", pid);
}

/// Lets a stopped process go on (SIGCONT).
pub fn resume(pid: u32) {
    signal("-CONT", pid);
}

fn signal(name: &str, pid: u32) {
    let status = Command::new("kill")
        .arg(name)
        .arg(pid.to_string())
        .status()
        .unwrap();
    assert!(status.success(), "process {pid} could not be signalled");
}

/// The processes that a process has started and that still run.
pub fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    for task in tasks.flatten() {
        let list = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(
            list.split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
    }
    found
}

/// The memory that a process holds now.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim()
        .trim_end_matches("kB")
        .trim()
        .parse::<u64>()
        .unwrap()
        * 1024
}
