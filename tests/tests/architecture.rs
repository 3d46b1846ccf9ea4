//! Which crate may use which, and what is found nowhere else.
//!
//! `schemas` ← `stream`, `control`, `warehouse` ← `ingest`, `processors`, `query-api` ← `millrace`.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const PORTS: [&str; 3] = ["stream", "control", "warehouse"];
const ROLES: [&str; 3] = ["ingest", "processors", "query-api"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
            "--manifest-path",
        ])
        .arg(root().join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What each package of the workspace names as a dependency, tests' and builds' too.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let named = package["dependencies"].as_array().unwrap();
            let named = named
                .iter()
                .map(|of| of["name"].as_str().unwrap().to_owned());
            (
                package["name"].as_str().unwrap().to_owned(),
                named.collect(),
            )
        })
        .collect()
}

/// The Rust sources of a folder of the workspace, as (path, text).
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                found.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} holds no sources");
    found
}

/// The lines of a source that are neither comments nor in its tests, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // Tests stand at the end of a file, behind this attribute.
    let code = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn is_test(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name == "tests.rs" || name.ends_with("_tests.rs")
}

#[test]
fn dependencies_point_one_way() {
    let found = dependencies();
    let members: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    let ours = |package: &str| -> BTreeSet<&str> {
        found[package]
            .iter()
            .map(String::as_str)
            .filter(|name| members.contains(name))
            .collect()
    };
    assert_eq!(ours("schemas"), BTreeSet::new());
    for port in PORTS {
        assert_eq!(ours(port), BTreeSet::from(["schemas"]), "{port}");
    }
    let below: BTreeSet<&str> = PORTS.into_iter().chain(["schemas"]).collect();
    for role in ROLES {
        let used = ours(role);
        assert!(used.is_subset(&below), "{role} uses {used:?}");
        assert!(used.contains("schemas"), "{role} has words of its own");
    }
    let all: BTreeSet<&str> = below.iter().copied().chain(ROLES).collect();
    assert_eq!(
        ours("millrace"),
        all,
        "only the composition root knows every crate"
    );
    for package in &members {
        assert!(
            !ours(package).contains("millrace"),
            "{package} uses the composition root"
        );
        assert!(!ours(package).contains("tests"), "{package} uses the tests");
    }
}

#[test]
fn each_engine_is_named_by_one_crate() {
    let found = dependencies();
    for (engine, owner) in [
        ("rdkafka", "stream"),
        ("fjall", "stream"),
        ("clickhouse", "warehouse"),
        ("libloading", "warehouse"),
        ("deltalake", "warehouse"),
        ("sqlx", "control"),
    ] {
        let named: Vec<&str> = found
            .iter()
            .filter(|(_, named)| named.contains(engine))
            .map(|(package, _)| package.as_str())
            .collect();
        assert_eq!(named, [owner], "{engine}");
    }
    for (package, named) in &found {
        let adbc: Vec<_> = named
            .iter()
            .filter(|name| name.starts_with("adbc"))
            .collect();
        assert!(
            adbc.is_empty() || package == "warehouse",
            "{package} names {adbc:?}"
        );
    }
}

#[test]
fn there_is_one_arrow() {
    let lock: toml::Table = fs::read_to_string(root().join("Cargo.lock"))
        .unwrap()
        .parse()
        .unwrap();
    let packages = lock["package"].as_array().unwrap();
    for name in [
        "arrow-array",
        "arrow-schema",
        "arrow-buffer",
        "parquet",
        "datafusion",
    ] {
        let versions: Vec<&str> = packages
            .iter()
            .filter(|package| package["name"].as_str() == Some(name))
            .filter_map(|package| package["version"].as_str())
            .collect();
        assert_eq!(versions.len(), 1, "{name} has versions {versions:?}");
    }
}

#[test]
fn only_the_configuration_reads_the_environment() {
    let mut readers = BTreeSet::new();
    for folder in PORTS.into_iter().chain(ROLES).chain(["schemas", "."]) {
        let folder = if folder == "." {
            "src".to_owned()
        } else {
            format!("{folder}/src")
        };
        for (path, text) in sources(&folder) {
            if is_test(&path) {
                continue;
            }
            for (number, line) in code(&text) {
                let reads = ["env::var", "env::vars", "env::set_var", "env::remove_var"]
                    .iter()
                    .any(|word| line.contains(word));
                if reads && path != root().join("src/config.rs") {
                    panic!(
                        "{}:{number} touches the environment: {line}",
                        path.display()
                    );
                }
                if reads {
                    readers.insert(path.clone());
                }
            }
        }
    }
    assert_eq!(
        readers.len(),
        1,
        "src/config.rs reads it, and this test would see another"
    );
}

#[test]
fn the_vocabulary_does_no_input_or_output_and_reads_no_clock() {
    for (path, text) in sources("schemas/src") {
        if is_test(&path) {
            continue;
        }
        for (number, line) in code(&text) {
            for word in [
                "std::fs",
                "std::net",
                "std::env",
                "std::process",
                "SystemTime",
                "Instant",
                "Utc::now",
                "tokio",
            ] {
                assert!(
                    !line.contains(word),
                    "{}:{number} has {word}: {line}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn no_source_is_too_long_to_read() {
    let mut long = Vec::new();
    for (path, text) in sources(".") {
        // Tests count as well: they are read too.
        let lines = text.lines().count();
        if lines > 600 {
            long.push(format!("{}: {lines} lines", path.display()));
        }
    }
    assert!(
        long.is_empty(),
        "split what has over 600 lines:\n{}",
        long.join("\n")
    );
}

/// Where C libraries are called that have no safe interface of their own.
const UNSAFE: [&str; 2] = [
    "stream/src/kafka/revival.rs",
    "warehouse/src/embedded/library.rs",
];

#[test]
fn unsafe_code_is_where_c_is_called() {
    let mut with_unsafe: Vec<PathBuf> = sources(".")
        .into_iter()
        .filter(|(path, text)| {
            !path.ends_with("tests/architecture.rs") && text.contains("#![allow(unsafe_code)]")
        })
        .map(|(path, _)| path)
        .collect();
    with_unsafe.sort();
    assert_eq!(with_unsafe, UNSAFE.map(|path| root().join(path)));
}

#[test]
fn the_readme_says_how_to_see_it_and_how_to_test_it() {
    let readme = fs::read_to_string(root().join("README.md")).expect("there is a README.md");
    for words in ["make demo", "make test"] {
        assert!(readme.contains(words), "the README does not name `{words}`");
    }
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    for target in ["demo:", "test:", "build:"] {
        assert!(
            makefile.lines().any(|line| line.starts_with(target)),
            "the Makefile has no {target}"
        );
    }
}
