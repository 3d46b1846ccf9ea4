//! Configuration: `deploy/millrace.toml`, overridden by a file, by the environment and by flags.
//!
//! This is the only place that reads the environment. A key that the defaults do not hold is an error that names the
//! nearest one they do.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use toml::{Table, Value};

/// Every key with its default, compiled in.
pub(crate) const DEFAULTS: &str = include_str!("../deploy/millrace.toml");
const PREFIX: &str = "MILLRACE_";
/// Variables of the development scripts, and of a build for tests, that share the prefix.
const NOT_SETTINGS: &[&str] = &[
    "MILLRACE_CACHE",
    "MILLRACE_LIBCHDB",
    #[cfg(feature = "crash-points")]
    CRASH_AT,
    #[cfg(feature = "crash-points")]
    LEAVE_OUT,
];
/// The point at which a test lets the process die, `NAME` or `NAME:N` for the Nth passage.
#[cfg(feature = "crash-points")]
const CRASH_AT: &str = "MILLRACE_CRASH_AT";
/// The step of the recipe that a test leaves out.
#[cfg(feature = "crash-points")]
const LEAVE_OUT: &str = "MILLRACE_LEAVE_OUT";
const SECRETS: [&str; 6] = [
    "tokens.secret",
    "s3.secret_access_key",
    "operator.key",
    "clickhouse_http.password",
    "clickhouse_http.reader_password",
    "s3.access_key_id",
];

/// What is in force. Each field is documented in `deploy/millrace.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) listen: String,
    pub(crate) log: String,
    pub(crate) warehouse: String,
    pub(crate) archive: String,
    pub(crate) control: String,
    pub(crate) http: Http,
    pub(crate) quota: Quota,
    pub(crate) stream: Stream,
    pub(crate) process: Process,
    pub(crate) embedded: Embedded,
    pub(crate) s3: S3,
    pub(crate) backup: Backup,
    pub(crate) operator: Operator,
    pub(crate) tokens: Tokens,
    pub(crate) clickhouse_http: ClickhouseHttp,
    pub(crate) logging: Logging,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) body_bytes: usize,
    pub(crate) batch_events: usize,
    pub(crate) bodies_in_memory: usize,
    pub(crate) header_bytes: usize,
    pub(crate) header_seconds: u64,
    pub(crate) idle_seconds: u64,
    pub(crate) body_seconds: u64,
    pub(crate) body_bytes_per_second: u64,
    pub(crate) connections: usize,
    pub(crate) proxies: usize,
    pub(crate) drain_seconds: u64,
    pub(crate) unready_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quota {
    pub(crate) events_per_second: u64,
    pub(crate) burst: u64,
    pub(crate) events_per_day: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stream {
    pub(crate) generation: u32,
    pub(crate) partitions: u32,
    pub(crate) queue_bytes: usize,
    pub(crate) tail_bytes: usize,
    pub(crate) append_seconds: u64,
    pub(crate) retention_hours: u64,
    pub(crate) retention_bytes: u64,
    pub(crate) kafka_replication: i32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Process {
    pub(crate) cycle_events: usize,
    pub(crate) cycle_bytes: usize,
    pub(crate) cycle_ms: u64,
    pub(crate) state_bytes: usize,
    pub(crate) ready_lag_records: u64,
    pub(crate) ready_lag_seconds: u64,
    pub(crate) archive_rows: usize,
    pub(crate) archive_ms: u64,
    pub(crate) compact_every: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Embedded {
    pub(crate) library: String,
    pub(crate) memory_bytes: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct S3 {
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Backup {
    pub(crate) place: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Operator {
    pub(crate) key: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tokens {
    pub(crate) secret: String,
    pub(crate) jwks: String,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) organization_claim: String,
    pub(crate) user_claim: String,
    pub(crate) role_claim: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClickhouseHttp {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) reader: String,
    pub(crate) reader_password: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Logging {
    pub(crate) level: String,
    pub(crate) format: String,
    pub(crate) trace_every: u64,
}

/// What flags say of the configuration.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Flags {
    /// A file of settings, in the form of deploy/millrace.toml
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// The folder of everything on embedded defaults
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,
    /// Where HTTP is served
    #[arg(long, value_name = "HOST:PORT", global = true)]
    pub(crate) listen: Option<String>,
    /// Any setting, for example --set stream.partitions=8
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    pub(crate) set: Vec<String>,
}

/// Settings by their dotted keys, on the way to a [`Config`].
#[derive(Debug)]
struct Layers(Table);

impl Layers {
    fn defaults() -> Result<Self> {
        Ok(Self(
            DEFAULTS
                .parse::<Table>()
                .context("the built-in settings are broken")?,
        ))
    }

    fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for (name, value) in &self.0 {
            match value {
                Value::Table(section) => {
                    keys.extend(section.keys().map(|key| format!("{name}.{key}")))
                }
                _ => keys.push(name.clone()),
            }
        }
        keys
    }

    fn slot(&mut self, key: &str) -> Option<&mut Value> {
        match key.split_once('.') {
            None => self.0.get_mut(key).filter(|value| !value.is_table()),
            Some((section, key)) => self.0.get_mut(section)?.as_table_mut()?.get_mut(key),
        }
    }

    /// Overrides one key; `origin` says where the value comes from.
    fn set(&mut self, key: &str, value: Value, origin: &str) -> Result<()> {
        let Some(slot) = self.slot(key) else {
            return Err(self.unknown(key, origin));
        };
        if slot.same_type(&value) {
            *slot = value;
            return Ok(());
        }
        bail!(
            "{origin}: {key} must be {}, not {}",
            slot.type_str(),
            value.type_str()
        );
    }

    /// The same for a value that is text: read as what the default is.
    fn set_text(&mut self, key: &str, text: &str, origin: &str) -> Result<()> {
        let Some(slot) = self.slot(key) else {
            return Err(self.unknown(key, origin));
        };
        *slot = match slot {
            Value::Integer(_) => Value::Integer(
                text.parse()
                    .map_err(|_| anyhow!("{origin}: {key} must be a whole number, not {text:?}"))?,
            ),
            Value::Boolean(_) => Value::Boolean(
                text.parse()
                    .map_err(|_| anyhow!("{origin}: {key} must be true or false, not {text:?}"))?,
            ),
            _ => Value::String(text.to_owned()),
        };
        Ok(())
    }

    fn unknown(&self, key: &str, origin: &str) -> anyhow::Error {
        let keys = self.keys();
        let nearest = keys
            .iter()
            .max_by(|a, b| strsim::jaro_winkler(a, key).total_cmp(&strsim::jaro_winkler(b, key)));
        anyhow!(
            "{origin}: there is no setting {key}; did you mean {}?",
            nearest.map_or("data", String::as_str)
        )
    }

    fn file(&mut self, path: &Path) -> Result<()> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the settings file {origin} cannot be read"))?;
        let table = text
            .parse::<Table>()
            .with_context(|| format!("the settings file {origin} is not TOML"))?;
        for (name, value) in table {
            match value {
                Value::Table(section) => {
                    for (key, value) in section {
                        self.set(&format!("{name}.{key}"), value, &origin)?;
                    }
                }
                value => self.set(&name, value, &origin)?,
            }
        }
        Ok(())
    }

    fn environment(&mut self, variables: impl Iterator<Item = (String, String)>) -> Result<()> {
        let names: Vec<(String, String)> = self
            .keys()
            .into_iter()
            .map(|key| (variable(&key), key))
            .collect();
        for (name, value) in variables {
            if !name.starts_with(PREFIX) || NOT_SETTINGS.contains(&name.as_str()) {
                continue;
            }
            match names.iter().find(|(known, _)| *known == name) {
                Some((_, key)) => self.set_text(key, &value, &name)?,
                None => {
                    let nearest = names.iter().max_by(|a, b| {
                        strsim::jaro_winkler(&a.0, &name)
                            .total_cmp(&strsim::jaro_winkler(&b.0, &name))
                    });
                    let nearest = nearest.map_or("MILLRACE_DATA", |(known, _)| known.as_str());
                    bail!("the environment: there is no setting {name}; did you mean {nearest}?");
                }
            }
        }
        Ok(())
    }

    fn flags(&mut self, flags: &Flags) -> Result<()> {
        if let Some(data) = &flags.data {
            let data = data
                .to_str()
                .context("--data: the folder's name must be UTF-8")?;
            self.set_text("data", data, "--data")?;
        }
        if let Some(listen) = &flags.listen {
            self.set_text("listen", listen, "--listen")?;
        }
        for pair in &flags.set {
            let (key, value) = pair
                .split_once('=')
                .with_context(|| format!("--set {pair}: write KEY=VALUE"))?;
            self.set_text(key.trim(), value.trim(), "--set")?;
        }
        Ok(())
    }

    /// Puts the data folder in place of {data}.
    fn resolve(&mut self) {
        let data = self
            .0
            .get("data")
            .and_then(Value::as_str)
            .unwrap_or("./data")
            .trim_end_matches('/')
            .to_owned();
        for key in ["log", "warehouse", "archive", "control"] {
            if let Some(Value::String(text)) = self.0.get_mut(key) {
                *text = text.replace("{data}", &data);
            }
        }
    }
}

/// The environment variable of a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

fn layered(flags: &Flags, variables: impl Iterator<Item = (String, String)>) -> Result<Layers> {
    let mut layers = Layers::defaults()?;
    if let Some(path) = &flags.config {
        layers.file(path)?;
    }
    layers.environment(variables)?;
    layers.flags(flags)?;
    layers.resolve();
    Ok(layers)
}

fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

impl Config {
    /// What is in force for these flags.
    pub(crate) fn load(flags: &Flags) -> Result<Config> {
        #[cfg(feature = "crash-points")]
        {
            let variable = |name| std::env::var(name).ok();
            let (crash_at, leave_out) = (variable(CRASH_AT), variable(LEAVE_OUT));
            schemas::crash::ask(crash_at.as_deref(), leave_out.as_deref(), |point| {
                eprintln!("crash point {}", point.name());
                std::process::abort();
            })
            .map_err(|reason| anyhow!("the environment: {reason}"))?;
        }
        let layers = layered(flags, variables())?;
        Value::Table(layers.0)
            .try_into()
            .context("a setting is out of range")
    }

    /// Where libchdb is: as configured, else beside the program.
    pub(crate) fn library(&self) -> Option<PathBuf> {
        (!self.embedded.library.is_empty()).then(|| PathBuf::from(&self.embedded.library))
    }
}

/// What is in force, as TOML, with secrets hidden.
pub(crate) fn shown(flags: &Flags) -> Result<String> {
    let mut layers = layered(flags, variables())?;
    for key in SECRETS {
        if let Some(Value::String(text)) = layers.slot(key)
            && !text.is_empty()
        {
            *text = "(hidden)".to_owned();
        }
    }
    for key in ["log", "warehouse", "archive", "control"] {
        if let Some(Value::String(text)) = layers.slot(key) {
            *text = without_password(text);
        }
    }
    Ok(toml::to_string(&layers.0)?)
}

/// A URL without the password in it: before the last `@`, or as a parameter. No parser, for a URL may be wrong.
pub(crate) fn without_password(text: &str) -> String {
    let (address, query) = text
        .split_once('?')
        .map_or((text, None), |(a, q)| (a, Some(q)));
    let mut shown = match (address.find("://"), address.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            let user = address[scheme + 3..at]
                .split(':')
                .next()
                .unwrap_or_default();
            match address[scheme + 3..at].contains(':') {
                true => format!("{}{user}:hidden{}", &address[..scheme + 3], &address[at..]),
                false => address.to_owned(),
            }
        }
        _ => address.to_owned(),
    };
    for (number, pair) in query.iter().flat_map(|query| query.split('&')).enumerate() {
        let name = pair.split('=').next().unwrap_or_default();
        shown.push(if number == 0 { '?' } else { '&' });
        match name.contains("password") || name.contains("secret") {
            true => shown.push_str(&format!("{name}=hidden")),
            false => shown.push_str(pair),
        }
    }
    shown
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
