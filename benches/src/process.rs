//! What the kernel says of a process.

use std::path::Path;

use anyhow::{Context, Result};

/// Ticks of `/proc/PID/stat` in a second: 100 on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// Seconds of user and system time a process has used, all threads together.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| {
        format!("the CPU time of process {pid} cannot be read; this runs on Linux")
    })?;
    // The second field, the name in brackets, may hold blanks.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<f64>().ok())
    };
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok((user + system) / TICKS),
        _ => anyhow::bail!("/proc/{pid}/stat has no CPU times"),
    }
}

/// CPU time of this process.
pub(crate) fn own_cpu_seconds() -> Result<f64> {
    cpu_seconds(std::process::id())
}

/// A line of `/proc/PID/status` that is given in kB, in MB of a million bytes.
pub(crate) fn memory_mb(pid: u32, line: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    let kib = found.and_then(|text| {
        text.trim_start_matches(':')
            .split_whitespace()
            .next()?
            .parse::<f64>()
            .ok()
    });
    Ok(kib.with_context(|| format!("/proc/{pid}/status has no {line}"))? * 1024.0 / 1e6)
}

/// Bytes of the files below a folder.
pub(crate) fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        sum += match about.is_dir() {
            true => folder_bytes(&entry.path())?,
            false => about.len(),
        };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_time_and_memory() {
        let before = own_cpu_seconds().expect("Linux");
        let begun = std::time::Instant::now();
        let mut sum = 0_u64;
        while begun.elapsed().as_millis() < 100 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(own_cpu_seconds().expect("Linux") > before);
        assert!(memory_mb(std::process::id(), "VmRSS").expect("Linux") > 0.1);
    }
}
