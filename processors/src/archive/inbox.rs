//! What the driver has told the archiver and it has not taken yet.
//!
//! The driver never waits for the archive, so what it says must not pile up while the archive stands still: rows count
//! against their budget, and all else is put together, so that a few messages for each partition are the most there is.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Message;

/// The driver's end; the archiver is done when it is gone.
#[derive(Debug)]
pub(crate) struct Teller(Arc<Shared>);

/// The archiver's end.
#[derive(Debug)]
pub(crate) struct Inbox(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    told: Notify,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    closed: bool,
}

pub(crate) fn inbox() -> (Teller, Inbox) {
    let shared = Arc::<Shared>::default();
    (Teller(shared.clone()), Inbox(shared))
}

impl Teller {
    pub(crate) fn tell(&self, message: Message) {
        self.0.state.lock().add(message);
        self.0.told.notify_one();
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.told.notify_one();
    }
}

impl Inbox {
    /// Waits for messages and takes all there are: they say what holds only together. None when the driver is gone.
    pub(crate) async fn take(&self) -> Option<VecDeque<Message>> {
        loop {
            {
                let mut state = self.0.state.lock();
                if !state.messages.is_empty() {
                    return Some(std::mem::take(&mut state.messages));
                }
                if state.closed {
                    return None;
                }
            }
            self.0.told.notified().await;
        }
    }
}

impl State {
    fn add(&mut self, message: Message) {
        match (self.messages.back_mut(), message) {
            // What must be read back from the warehouse is one range, however many cycles made it.
            (
                Some(Message::Committed {
                    parts: before,
                    rows: None,
                    count: counted,
                }),
                Message::Committed {
                    parts,
                    rows: None,
                    count,
                },
            ) => {
                *counted += count;
                for (partition, from, next, events) in parts {
                    match before.iter_mut().find(|part| part.0 == partition) {
                        Some(part) => (part.2, part.3) = (next, events),
                        None => before.push((partition, from, next, events)),
                    }
                }
            }
            (_, Message::Lost(partitions)) => {
                // What was said of their ownership before has passed.
                self.messages.retain_mut(|message| match message {
                    Message::Assigned { partition, .. } => !partitions.contains(partition),
                    Message::Lost(earlier) => {
                        earlier.retain(|partition| !partitions.contains(partition));
                        !earlier.is_empty()
                    }
                    Message::Committed { .. } => true,
                });
                self.messages.push_back(Message::Lost(partitions));
            }
            (_, message) => self.messages.push_back(message),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn committed(partition: u32, from: u64, next: u64) -> Message {
        Message::Committed {
            parts: vec![(partition, from, next, next)],
            rows: None,
            count: (next - from) as usize,
        }
    }

    fn assigned(partition: u32) -> Message {
        Message::Assigned {
            partition,
            next: 0,
            events: 0,
        }
    }

    #[tokio::test]
    async fn a_standing_archive_gathers_ranges_not_messages() {
        let (teller, inbox) = inbox();
        for cycle in 0..10_000 {
            teller.tell(committed(cycle % 3, u64::from(cycle), u64::from(cycle) + 1));
        }
        let messages = inbox.take().await.unwrap();
        assert_eq!(messages.len(), 1);
        let Message::Committed { parts, count, .. } = &messages[0] else {
            panic!("{messages:?}");
        };
        assert_eq!(*count, 10_000);
        assert_eq!(
            parts[..],
            [
                (0, 0, 10_000, 10_000),
                (1, 1, 9_998, 9_998),
                (2, 2, 9_999, 9_999)
            ]
        );
    }

    #[tokio::test]
    async fn hand_overs_there_and_back_leave_the_last() {
        let (teller, inbox) = inbox();
        for round in 0..1_000 {
            teller.tell(assigned(0));
            teller.tell(assigned(1));
            teller.tell(committed(0, round, round + 1));
            teller.tell(Message::Lost(vec![0, 1]));
        }
        teller.tell(assigned(1));
        drop(teller);
        let messages = inbox.take().await.unwrap();
        let owned = messages
            .iter()
            .filter(|message| !matches!(message, Message::Committed { .. }));
        assert!(matches!(
            owned.collect::<Vec<_>>()[..],
            [Message::Lost(_), Message::Assigned { partition: 1, .. }]
        ));
        assert!(inbox.take().await.is_none());
    }
}
