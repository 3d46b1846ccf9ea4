//! Who of a group has which partition. Pure: time is passed in.
//!
//! A partition moves in two steps, as with a broker: its owner is told `Revoked` and says that it is done by
//! polling again; only then is it free, and `Assigned` to another. An owner that does not poll in time loses it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::Delivery;

#[derive(Debug)]
pub(super) struct Group {
    owners: Vec<Option<Owner>>,
    members: BTreeMap<u64, Member>,
}

#[derive(Debug, Clone, Copy)]
struct Owner {
    member: u64,
    /// Set when the partition is to move on.
    leaving_since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Member {
    events: VecDeque<Delivery>,
    /// Delivered as revoked; the next poll says that they are free.
    to_confirm: Vec<u32>,
}

impl Group {
    pub(super) fn new(partitions: u32) -> Self {
        Self {
            owners: vec![None; partitions as usize],
            members: BTreeMap::new(),
        }
    }

    pub(super) fn join(&mut self, member: u64, now: Instant) {
        self.members.insert(member, Member::default());
        self.rebalance(now);
    }

    pub(super) fn leave(&mut self, member: u64, now: Instant) {
        self.members.remove(&member);
        for owner in &mut self.owners {
            if owner.is_some_and(|owner| owner.member == member) {
                *owner = None;
            }
        }
        self.rebalance(now);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The next thing that happened to the partitions of `member`, one at a time: what is assigned can be started
    /// even if it is taken away again right after. Returns also whether anything changed
    /// for other members, who should then be woken.
    pub(super) fn poll(
        &mut self,
        member: u64,
        now: Instant,
        timeout: Duration,
    ) -> (Vec<Delivery>, bool) {
        let confirmed = self
            .members
            .get_mut(&member)
            .map(|member| std::mem::take(&mut member.to_confirm))
            .unwrap_or_default();
        let mut changed = false;
        for partition in confirmed {
            let owner = &mut self.owners[partition as usize];
            if owner.is_some_and(|owner| owner.member == member && owner.leaving_since.is_some()) {
                *owner = None;
                changed = true;
            }
        }
        changed |= self.expire(now, timeout);
        if changed {
            self.rebalance(now);
        }
        let Some(state) = self.members.get_mut(&member) else {
            return (Vec::new(), changed);
        };
        let events: Vec<Delivery> = state.events.pop_front().into_iter().collect();
        if let [Delivery::Revoked(partitions)] = &events[..] {
            state.to_confirm.extend(partitions);
        }
        (events, changed)
    }

    /// Takes partitions from owners that do not let go.
    fn expire(&mut self, now: Instant, timeout: Duration) -> bool {
        let mut expired = false;
        for (partition, slot) in (0..).zip(&mut self.owners) {
            let Some(owner) = *slot else { continue };
            let patient = |since| now.saturating_duration_since(since) <= timeout;
            if owner.leaving_since.is_none_or(patient) {
                continue;
            }
            if let Some(member) = self.members.get_mut(&owner.member) {
                member.to_confirm.retain(|other| *other != partition);
                member.events.retain_mut(|event| {
                    if let Delivery::Revoked(partitions) = event {
                        partitions.retain(|other| *other != partition);
                        return !partitions.is_empty();
                    }
                    true
                });
                member.events.push_back(Delivery::Lost(vec![partition]));
            }
            *slot = None;
            expired = true;
        }
        expired
    }

    /// Gives free partitions to those who have least, and takes from those who have more than their share.
    fn rebalance(&mut self, now: Instant) {
        let mut load: BTreeMap<u64, usize> =
            self.members.keys().map(|member| (*member, 0)).collect();
        if load.is_empty() {
            return;
        }
        let mut leaving = 0;
        for owner in self.owners.iter().flatten() {
            if owner.leaving_since.is_some() {
                leaving += 1;
            } else if let Some(load) = load.get_mut(&owner.member) {
                *load += 1;
            }
        }
        let mut assigned: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for (partition, owner) in (0..).zip(&mut self.owners) {
            if owner.is_none() {
                let member = least(&load);
                *owner = Some(Owner {
                    member,
                    leaving_since: None,
                });
                *load.entry(member).or_default() += 1;
                assigned.entry(member).or_default().push(partition);
            }
        }
        // Those on their way will go to who has least then.
        for _ in 0..leaving {
            *load.entry(least(&load)).or_default() += 1;
        }
        let mut revoked: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        loop {
            let (most, least) = (most(&load), least(&load));
            if load[&most] <= load[&least] + 1 {
                break;
            }
            let moving = (0..)
                .zip(&mut self.owners)
                .filter_map(|(partition, owner)| Some((partition, owner.as_mut()?)))
                .filter(|(_, owner)| owner.member == most && owner.leaving_since.is_none())
                .last();
            let Some((partition, owner)) = moving else {
                break;
            };
            owner.leaving_since = Some(now);
            *load.entry(most).or_default() -= 1;
            *load.entry(least).or_default() += 1;
            revoked.entry(most).or_default().push(partition);
        }
        for (member, partitions) in assigned {
            self.tell(member, Delivery::Assigned(partitions));
        }
        for (member, partitions) in revoked {
            self.tell(member, Delivery::Revoked(partitions));
        }
    }

    fn tell(&mut self, member: u64, event: Delivery) {
        if let Some(member) = self.members.get_mut(&member) {
            member.events.push_back(event);
        }
    }
}

fn least(load: &BTreeMap<u64, usize>) -> u64 {
    load.iter()
        .min_by_key(|(_, load)| **load)
        .map_or(0, |(member, _)| *member)
}

fn most(load: &BTreeMap<u64, usize>) -> u64 {
    load.iter()
        .max_by_key(|(_, load)| **load)
        .map_or(0, |(member, _)| *member)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Polls until nothing happens; returns what was told.
    fn settle(group: &mut Group, members: &[u64], now: Instant) -> Vec<(u64, String)> {
        let mut told = Vec::new();
        loop {
            let before = told.len();
            for member in members {
                let (events, _) = group.poll(*member, now, TIMEOUT);
                told.extend(events.iter().map(|event| (*member, format!("{event:?}"))));
            }
            if told.len() == before {
                return told;
            }
        }
    }

    fn owned(group: &Group, member: u64) -> usize {
        group
            .owners
            .iter()
            .flatten()
            .filter(|owner| owner.member == member)
            .count()
    }

    #[test]
    fn partitions_move_only_after_the_owner_polled_again() {
        let now = Instant::now();
        let mut group = Group::new(4);
        group.join(1, now);
        assert_eq!(
            settle(&mut group, &[1], now),
            [(1, "Assigned([0, 1, 2, 3])".to_owned())]
        );
        group.join(2, now);
        assert!(
            group.poll(2, now, TIMEOUT).0.is_empty(),
            "nothing is free yet"
        );
        let (events, _) = group.poll(1, now, TIMEOUT);
        assert!(matches!(&events[..], [Delivery::Revoked(partitions)] if *partitions == [3, 2]));
        assert!(
            group.poll(2, now, TIMEOUT).0.is_empty(),
            "not confirmed yet"
        );
        let (events, changed) = group.poll(1, now, TIMEOUT);
        assert!(events.is_empty() && changed);
        let (events, _) = group.poll(2, now, TIMEOUT);
        assert!(matches!(&events[..], [Delivery::Assigned(partitions)] if *partitions == [2, 3]));
    }

    #[test]
    fn who_does_not_let_go_loses() {
        let now = Instant::now();
        let mut group = Group::new(2);
        group.join(1, now);
        settle(&mut group, &[1], now);
        group.join(2, now);
        let later = now + TIMEOUT * 2;
        assert!(matches!(
            &group.poll(2, later, TIMEOUT).0[..],
            [Delivery::Assigned(_)]
        ));
        assert!(
            matches!(&group.poll(1, later, TIMEOUT).0[..], [Delivery::Lost(partitions)] if *partitions == [1])
        );
    }

    #[test]
    fn shares_are_even_whoever_comes_and_goes() {
        let now = Instant::now();
        let mut group = Group::new(16);
        for member in 1..=5 {
            group.join(member, now);
        }
        settle(&mut group, &[1, 2, 3, 4, 5], now);
        for member in 1..=5 {
            assert!((3..=4).contains(&owned(&group, member)), "member {member}");
        }
        group.leave(2, now);
        group.leave(4, now);
        settle(&mut group, &[1, 3, 5], now);
        for member in [1, 3, 5] {
            assert!((5..=6).contains(&owned(&group, member)), "member {member}");
        }
    }
}
