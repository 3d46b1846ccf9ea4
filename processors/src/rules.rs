//! The rules of the recipe that the model test switches off one at a time, to see that it would notice.

/// All on, unless a test of the recipe itself says otherwise. No configuration reaches this.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Claims made earlier in the same cycle count.
    pub claims_of_this_cycle: bool,
    /// Claims made in a cycle that is still being written count.
    pub claims_in_flight: bool,
    /// A record its customer's state has seen emits nothing.
    pub skipped_emit_nothing: bool,
    /// A record its customer's state has seen keeps its claim.
    pub skipped_keep_claim: bool,
    /// Rejected events claim their id too.
    pub rejected_claim: bool,
    /// A claim held by the record's own position is a replay, not a duplicate.
    pub own_claim_is_replay: bool,
    /// What was in memory for a partition is dropped at its assignment.
    pub drop_memory: bool,
    /// Progress is read before state, and state before ids.
    pub read_in_reverse: bool,
    /// Definitions come from the log.
    pub definitions_from_log: bool,
    /// Outputs are acknowledged before state, and state before progress.
    pub groups_in_order: bool,
    /// Daily buckets are acknowledged before state.
    pub days_before_state: bool,
    /// A bucket ahead of its state is not counted into again.
    pub buckets_know_their_version: bool,
    /// A record that was refused before a crash still counts as a rejection when it is skipped.
    pub landed_rejections: bool,
    /// A failed insert is repeated before anything that follows it.
    pub repeat_failed_insert: bool,
}

impl Rules {
    /// The recipe.
    pub const ALL: Rules = Rules {
        claims_of_this_cycle: true,
        claims_in_flight: true,
        skipped_emit_nothing: true,
        skipped_keep_claim: true,
        rejected_claim: true,
        own_claim_is_replay: true,
        drop_memory: true,
        read_in_reverse: true,
        definitions_from_log: true,
        groups_in_order: true,
        days_before_state: true,
        buckets_know_their_version: true,
        landed_rejections: true,
        repeat_failed_insert: true,
    };
}

impl Default for Rules {
    fn default() -> Self {
        Self::ALL
    }
}
