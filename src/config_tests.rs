#![allow(clippy::unwrap_used)]

use super::*;

fn load(flags: &Flags, variables: &[(&str, &str)]) -> Result<Config> {
    let layers = layered(
        flags,
        variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    )?;
    Ok(Value::Table(layers.0).try_into()?)
}

#[test]
fn the_defaults_are_complete() {
    let config = load(&Flags::default(), &[]).unwrap();
    assert_eq!(config.log, "file:./data/log");
    assert_eq!(config.http.body_bytes, 20_000_000);
}

#[test]
fn every_default_has_a_comment() {
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    for (index, line) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.contains(" = ") && !line.starts_with('#'))
    {
        let documented = lines[..index]
            .iter()
            .rev()
            .take(3)
            .take_while(|line| !line.is_empty())
            .any(|line| line.starts_with('#'));
        assert!(documented, "{line} has no comment");
    }
}

#[test]
fn file_environment_and_flags_override_in_this_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("millrace.toml");
    std::fs::write(
        &path,
        "data = \"/from/file\"\n[stream]\npartitions = 2\ngeneration = 3\n[http]\nbatch_events = 5",
    )
    .unwrap();
    let flags = Flags {
        config: Some(path),
        set: vec!["stream.generation=7".into()],
        ..Flags::default()
    };
    let config = load(
        &flags,
        &[
            ("MILLRACE_STREAM_PARTITIONS", "8"),
            ("MILLRACE_STREAM_GENERATION", "5"),
            ("PATH", "x"),
        ],
    )
    .unwrap();
    assert_eq!(
        (
            config.stream.partitions,
            config.stream.generation,
            config.http.batch_events
        ),
        (8, 7, 5)
    );
    assert_eq!(config.warehouse, "chdb:/from/file/warehouse");
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    let told = |result: Result<Config>| result.unwrap_err().to_string();
    assert!(
        told(load(
            &Flags::default(),
            &[("MILLRACE_STREAM_PARTITION", "8")]
        ))
        .contains("MILLRACE_STREAM_PARTITIONS")
    );
    let flags = Flags {
        set: vec!["http.body_byte=8".into()],
        ..Flags::default()
    };
    assert!(told(load(&flags, &[])).contains("http.body_bytes"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("millrace.toml");
    std::fs::write(&path, "lisen = \"x\"").unwrap();
    assert!(
        told(load(
            &Flags {
                config: Some(path),
                ..Flags::default()
            },
            &[]
        ))
        .contains("listen")
    );
    let flags = Flags {
        set: vec!["stream.partitions=many".into()],
        ..Flags::default()
    };
    assert!(told(load(&flags, &[])).contains("whole number"));
    assert!(load(&Flags::default(), &[("MILLRACE_CACHE", "x")]).is_ok());
}

#[test]
fn secrets_are_not_shown() {
    let flags = Flags {
        set: vec![
            "operator.key=opensesame".into(),
            "control=postgres://u:opensesame@h/db".into(),
            "warehouse=clickhouse://u:p#opensesame@h/db".into(),
            "log=kafka://u:opensesame@b1:9092,b2:9092".into(),
            "archive=s3://b/p?password=opensesame".into(),
        ],
        ..Flags::default()
    };
    let shown = shown(&flags).unwrap();
    assert!(!shown.contains("opensesame"), "{shown}");
    assert!(shown.contains("(hidden)"));
}
