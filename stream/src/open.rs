//! From a URL to an adapter.

use std::path::PathBuf;
use std::sync::Arc;

use crate::embedded::EmbeddedLog;
use crate::kafka::KafkaLog;
use crate::{Log, LogError, Options};
use futures::FutureExt as _;
use futures::future::BoxFuture;

/// Opens the log at `url` and creates it if there is none. See the crate's documentation for the forms.
///
/// # Errors
/// [`LogError::Misconfigured`] for a URL or options that cannot work, [`LogError::Mismatch`] when the log exists
/// with other partitions or another generation, [`LogError::Locked`] when another process has the folder.
pub fn open<'a>(
    url: &'a str,
    options: &'a Options,
) -> BoxFuture<'a, Result<Arc<dyn Log>, LogError>> {
    async move {
        options.check()?;
        if let Some(folder) = url.strip_prefix("file:") {
            // `file:///var/x` and `file:/var/x` name the same folder; `file:./x` is relative.
            let folder = folder.strip_prefix("//").unwrap_or(folder);
            if folder.is_empty() {
                return Err(unknown_url(url));
            }
            let log = EmbeddedLog::open(PathBuf::from(folder), options.clone()).await?;
            return Ok(Arc::new(log) as Arc<dyn Log>);
        }
        if let Some(rest) = url.strip_prefix("kafka://") {
            let (brokers, topic) = match rest.split_once('/') {
                Some((brokers, topic)) => (brokers, topic.trim_end_matches('/')),
                None => (rest, ""),
            };
            if brokers.is_empty() || topic.contains(['/', '?', '#']) {
                return Err(unknown_url(url));
            }
            let topic = if topic.is_empty() {
                &options.kafka.topic
            } else {
                topic
            };
            let log = KafkaLog::open(brokers, topic, options.clone()).await?;
            return Ok(Arc::new(log) as Arc<dyn Log>);
        }
        Err(unknown_url(url))
    }
    .boxed()
}

fn unknown_url(url: &str) -> LogError {
    LogError::Misconfigured(format!(
        "{url} does not name a log; use file:FOLDER or kafka://BROKER:PORT[,BROKER:PORT…][/TOPIC]"
    ))
}
