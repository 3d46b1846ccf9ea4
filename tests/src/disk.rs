//! A disk whose power can be cut: a real file system in a file.
//!
//! What a program wrote and did not sync is in the kernel's memory only. Shutting the file system down without a flush
//! drops it, and mounting it again recovers what is left as after a power cut. The mount's own commit interval is set
//! so long that nothing reaches the disk that nobody asked to be synced.
//!
//! What it cannot show: a disk that itself loses or reorders what it has taken since its last flush.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools::run_python;

/// Bytes of a disk; only those written take room.
const SIZE: u64 = 4 << 30;

/// A mounted file system of its own.
#[derive(Debug)]
pub(crate) struct Disk {
    image: PathBuf,
    mounted: PathBuf,
}

impl Disk {
    /// Makes one in `image` and mounts it.
    pub(crate) fn new(image: PathBuf, mounted: PathBuf) -> Self {
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(SIZE).unwrap();
        std::fs::create_dir_all(&mounted).unwrap();
        run("mkfs.ext4", &["-q", "-F", "-m", "0"], &[&image]);
        let disk = Self { image, mounted };
        disk.mount();
        disk
    }

    fn mount(&self) {
        let options = ["-o", "loop,noatime,noinit_itable,commit=3600"];
        run("mount", &options, &[&self.image, &self.mounted]);
    }

    /// Loses what is not synced. Nothing may be running on it.
    pub(crate) fn lose_power(&self) {
        let mounted = self.mounted.to_str().expect("a path of UTF-8");
        run_python("cut_power.py", &[mounted]);
        run("umount", &[], &[&self.mounted]);
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a reader that has not gone yet must not leave the mount behind.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(&self.mounted)
            .status();
    }
}

fn run(program: &str, options: &[&str], paths: &[&Path]) {
    let output = Command::new(program).args(options).args(paths).output();
    let output = output.unwrap_or_else(|error| {
        panic!(
            "{program} cannot be run ({error}): the power-loss tests need util-linux and e2fsprogs"
        )
    });
    assert!(
        output.status.success(),
        "{program} {paths:?} failed; the power-loss tests need root and loop devices: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
