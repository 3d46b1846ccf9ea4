//! The archive in an S3 service: versitygw, which keeps the objects in a folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::suite::Site;
use warehouse::archive::{Archive, ArchiveOptions, S3Access};

/// A service of its own for each test; stopped at the end of it.
struct Service {
    directory: tempfile::TempDir,
    access: S3Access,
}

impl Service {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let started = Command::new(script())
            .args(["start", "--bucket", "archive", "--dir"])
            .arg(directory.path())
            .output()
            .expect("deploy/dev/s3 runs");
        assert!(
            started.status.success(),
            "no S3 service to test with, run `make setup` once: {}",
            String::from_utf8_lossy(&started.stderr)
        );
        let report = String::from_utf8(started.stdout).unwrap();
        let value = |key: &str| {
            let found = report
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            found
                .unwrap_or_else(|| panic!("deploy/dev/s3 names no {key}: {report}"))
                .to_owned()
        };
        let access = S3Access {
            endpoint: report.lines().next().map(str::to_owned),
            region: value("region"),
            access_key: value("access_key"),
            secret_key: value("secret_key"),
        };
        Self { directory, access }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = Command::new(script())
            .args(["stop", "--dir"])
            .arg(self.directory.path())
            .status();
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/dev/s3")
}

fn site() -> Site {
    let service = Service::start();
    let options = ArchiveOptions::default().with_s3(&service.access);
    Site {
        url: "s3://archive/a/prefix".to_owned(),
        options,
        _alive: Box::new(service),
    }
}

suite!(site());

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_refused_and_not_shown() {
    let service = Service::start();
    let access = S3Access {
        secret_key: "not-the-secret".to_owned(),
        ..service.access.clone()
    };
    let options = ArchiveOptions::default().with_s3(&access);
    let error = Archive::open("s3://archive/a", &options).await.unwrap_err();
    assert!(
        !format!("{error} {error:?} {access:?}").contains("not-the-secret"),
        "{error}"
    );
}
