//! Membership in a group: a client that fetches nothing and only says whose the partitions are.
//!
//! Keeping it apart from fetching means that a partition is fetched exactly from where its start said, however
//! rebalances and seeks might interleave. A revocation blocks the rebalance until the processor has let go.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};

use super::inbox::Inbox;
use super::revival::Revival;
use super::{Cluster, ask_error, trace_client};
use crate::LogError;

const LOOK: Duration = Duration::from_millis(100);
/// Room in the group's time-outs beyond what a revocation may take.
const SLACK: Duration = Duration::from_secs(15);

pub(super) struct Rebalances {
    inbox: Arc<Inbox>,
    topic: String,
    revoke_timeout: Duration,
    revival: Revival,
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        trace_client(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka group member");
        self.revival.note(&error);
    }
}

impl ConsumerContext for Rebalances {
    fn pre_rebalance(&self, member: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Revoke(list) => {
                let partitions = self.partitions(list);
                if partitions.is_empty() {
                    return;
                }
                if member.assignment_lost() {
                    self.inbox.lost(partitions);
                } else {
                    self.inbox.revoke(partitions, self.revoke_timeout);
                }
            }
            Rebalance::Assign(_) => {}
            Rebalance::Error(error) => self.inbox.fail(ask_error(error)),
        }
    }

    fn post_rebalance(&self, member: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            if let Err(error) = member.pause(list) {
                tracing::warn!(%error, "the group member could not be paused");
            }
            let partitions = self.partitions(list);
            if !partitions.is_empty() {
                self.inbox.assigned(partitions);
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "progress for lag tools was not noted");
        }
    }
}

impl Rebalances {
    fn partitions(&self, list: &TopicPartitionList) -> Vec<u32> {
        list.elements_for_topic(&self.topic)
            .iter()
            .filter_map(|element| u32::try_from(element.partition()).ok())
            .collect()
    }
}

pub(super) type Member = BaseConsumer<Rebalances>;

/// Joins the group; [`follow`] then keeps the membership.
pub(super) fn join(cluster: &Cluster, inbox: &Arc<Inbox>, group: &str) -> Result<Member, LogError> {
    let options = &cluster.options;
    let session = Duration::from_secs(10);
    let most_between_polls = (options.revoke_timeout + SLACK)
        .max(session + SLACK)
        .as_millis()
        .to_string();
    let config = cluster.config(&[
        ("group.id", group),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("session.timeout.ms", &session.as_millis().to_string()),
        ("heartbeat.interval.ms", "2000"),
        ("max.poll.interval.ms", &most_between_polls),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "latest"),
        ("allow.auto.create.topics", "false"),
        // It fetches nothing, but it might begin to before it is paused.
        ("queued.min.messages", "1"),
        ("queued.max.messages.kbytes", "64"),
        ("fetch.message.max.bytes", "1024"),
    ]);
    let rebalances = Rebalances {
        inbox: Arc::clone(inbox),
        topic: cluster.topic.clone(),
        revoke_timeout: options.revoke_timeout,
        revival: cluster.revival(),
    };
    let member = BaseConsumer::from_config_and_context(&config, rebalances)
        .map_err(|error| ask_error(&error))?;
    member
        .subscribe(&[&cluster.topic])
        .map_err(|error| ask_error(&error))?;
    Ok(member)
}

/// Runs until the inbox is closed, then leaves the group.
pub(super) fn follow(member: &Member, inbox: &Inbox, max_idle: Duration) {
    while !inbox.is_closed() {
        if inbox.idle() > max_idle {
            // A processor that does not poll must not keep its partitions: without our polls the group takes them.
            std::thread::sleep(LOOK);
            continue;
        }
        member.context().revival.attempt(member.client());
        match member.poll(LOOK) {
            None | Some(Ok(_)) => {}
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                inbox.fail(LogError::Unavailable(format!(
                    "the group member failed: {code}"
                )));
                std::thread::sleep(LOOK);
            }
            Some(Err(error)) => tracing::debug!(%error, "kafka group member"),
        }
    }
    member.unsubscribe();
}

/// Tells lag tools how far the group is.
pub(super) fn note(member: &Member, topic: &str, progress: &[(u32, u64)]) {
    let mut list = TopicPartitionList::new();
    for (partition, next) in progress {
        let offset = rdkafka::topic_partition_list::Offset::Offset(next.cast_signed());
        if let Err(error) = list.add_partition_offset(topic, partition.cast_signed(), offset) {
            tracing::debug!(%error, partition, "progress for lag tools was not noted");
        }
    }
    if let Err(error) = member.commit(&list, CommitMode::Async) {
        tracing::debug!(%error, "progress for lag tools was not noted");
    }
}
