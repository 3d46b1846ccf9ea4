//! The topic: finding or making it, and deleting what is released and old.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;

use super::reader::Reader;
use super::{ASK_TIMEOUT, Cluster, QuietContext, ask_error};
use crate::LogError;

/// How long a new topic may take to be known to the brokers.
const APPEAR: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Makes the topic if there is none and compares its partitions with what is asked for.
pub(super) async fn ensure(cluster: &Arc<Cluster>) -> Result<(), LogError> {
    let begun = std::time::Instant::now();
    let mut created = false;
    loop {
        let asked = Arc::clone(cluster);
        let partitions =
            tokio::task::spawn_blocking(move || Reader::new(&asked)?.partitions(ASK_TIMEOUT))
                .await
                .map_err(|error| LogError::Unavailable(error.to_string()))??;
        let expected = cluster.options.partitions as usize;
        if partitions == expected {
            return Ok(());
        }
        if partitions > 0 {
            return Err(LogError::Mismatch(format!(
                "topic {} has {partitions} partitions, {expected} are configured; set the partition count to \
                 {partitions}, or drain this log and go on with the next generation",
                cluster.topic
            )));
        }
        if !created {
            create(cluster).await?;
            created = true;
        } else if begun.elapsed() > APPEAR {
            return Err(LogError::Timeout(APPEAR));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn create(cluster: &Cluster) -> Result<(), LogError> {
    let options = &cluster.options;
    let largest = (options.max_record_bytes + 64 * 1024).to_string();
    let partitions = options.partitions.cast_signed();
    let topic = NewTopic::new(
        &cluster.topic,
        partitions,
        TopicReplication::Fixed(options.kafka.replication),
    )
    .set("message.timestamp.type", "LogAppendTime")
    .set("max.message.bytes", &largest)
    .set("cleanup.policy", "delete")
    // Retention must spare what is not released: see `retain`.
    .set("retention.ms", "-1")
    .set("retention.bytes", "-1");
    let answers = admin(cluster)?
        .create_topics(
            [&topic],
            &AdminOptions::new().operation_timeout(Some(ASK_TIMEOUT)),
        )
        .await
        .map_err(|error| ask_error(&error))?;
    match answers.into_iter().next() {
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) => Ok(()),
        Some(Err((topic, code))) => Err(LogError::Misconfigured(format!(
            "topic {topic} cannot be created: {code}; create it by hand"
        ))),
        None => Err(LogError::Unavailable(
            "the brokers did not answer for the new topic".to_owned(),
        )),
    }
}

/// Deletes what is released and too old, again and again.
pub(super) async fn retain(cluster: Arc<Cluster>, reader: Arc<Reader>) {
    loop {
        tokio::time::sleep(cluster.options.retention_interval).await;
        if cluster.closed.load(Ordering::Acquire) {
            return;
        }
        match delete_old(&cluster, &reader).await {
            Ok(0) => {}
            Ok(partitions) => {
                tracing::info!(partitions, "released records of the log were deleted")
            }
            Err(error) => tracing::warn!(%error, "released records cannot be deleted yet"),
        }
    }
}

/// Returns of how many partitions something was deleted.
async fn delete_old(cluster: &Arc<Cluster>, reader: &Arc<Reader>) -> Result<usize, LogError> {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let oldest = since_epoch.saturating_sub(cluster.options.retention_age);
    let reader = Arc::clone(reader);
    let asked = move || Ok::<_, LogError>((reader.bounds()?, reader.offsets_at(oldest)?));
    let (bounds, young) = tokio::task::spawn_blocking(asked)
        .await
        .map_err(|error| LogError::Unavailable(error.to_string()))??;
    let mut delete = TopicPartitionList::new();
    for (bounds, young) in bounds.iter().zip(young) {
        let released = cluster.released[bounds.partition as usize].load(Ordering::Acquire);
        let below = young.unwrap_or(bounds.end).min(released).min(bounds.end);
        if below > bounds.start {
            let offset = Offset::Offset(below.cast_signed());
            delete
                .add_partition_offset(&cluster.topic, bounds.partition.cast_signed(), offset)
                .map_err(|error| ask_error(&error))?;
        }
    }
    let partitions = delete.count();
    if partitions > 0 {
        let options = AdminOptions::new().operation_timeout(Some(ASK_TIMEOUT));
        admin(cluster)?
            .delete_records(&delete, &options)
            .await
            .map_err(|error| ask_error(&error))?;
    }
    Ok(partitions)
}

fn admin(cluster: &Cluster) -> Result<AdminClient<QuietContext>, LogError> {
    AdminClient::from_config_and_context(&cluster.config(&[]), QuietContext(cluster.revival()))
        .map_err(|error: KafkaError| ask_error(&error))
}
