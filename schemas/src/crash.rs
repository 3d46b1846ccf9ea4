//! Points of the write path at which a test lets the process die, and steps that a test leaves out to see that others
//! would notice.
//!
//! Both do something only with the feature `crash-points`, which nothing but a build for tests has: without it the
//! functions are empty and neither they nor the names are in the program.

macro_rules! named {
    ($(#[$about:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type {
            $($(#[$doc])* $variant,)*
        }

        impl $type {
            /// Every one there is, in the order of the write path.
            pub const ALL: &[$type] = &[$($type::$variant,)*];

            /// How it is named where it is asked for.
            pub const fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $name,)*
                }
            }
        }
    };
}

named! {
    /// A place between two steps of the recipe.
    Point {
        /// Events are read, nothing is written.
        IngestBeforeAppend = "ingest-before-append",
        /// Blocks are written to the embedded log, and perhaps not on the disk.
        LogBeforeSync = "log-before-sync",
        /// Blocks are on the disk, and nobody knows.
        LogAfterSync = "log-after-sync",
        /// The log has said that the events are durable.
        IngestAfterAppend = "ingest-after-append",
        /// The answer is made and not sent.
        IngestBeforeAnswer = "ingest-before-answer",
        /// A segment of the log is called full, and there is none after it.
        SegmentFull = "segment-full",
        /// A new segment is there, without a record of it.
        SegmentBegun = "segment-begun",
        /// A partition is read from the warehouse, and nothing of it is applied.
        PartitionAssigned = "partition-assigned",
        /// A cycle is folded, and nothing of it is written.
        BeforeOutputs = "before-outputs",
        /// One table of the outputs is written, others perhaps not.
        BetweenOutputs = "between-outputs",
        /// All outputs of a cycle are written.
        OutputsWritten = "outputs-written",
        /// The day totals are written, and the state is not.
        DaysWritten = "days-written",
        /// The state is written, and the progress is not.
        StateWritten = "state-written",
        /// The progress is written: the cycle is committed, and nobody has been told.
        ProgressWritten = "progress-written",
        /// The rows for the archive are chosen, and nothing is written.
        ArchiveBeforeFiles = "archive-before-files",
        /// A file for the archive is on the disk and has no name yet.
        ArchiveBeforeName = "archive-before-name",
        /// It has its name, which is perhaps not on the disk.
        ArchiveBeforeSync = "archive-before-sync",
        /// One file of a commit is written, others perhaps not.
        ArchiveBetweenFiles = "archive-between-files",
        /// All files of a commit are on the disk, and nothing refers to them.
        ArchiveBeforeCommit = "archive-before-commit",
        /// The commit is on the disk, and nobody has been told.
        ArchiveAfterCommit = "archive-after-commit",
        /// Small files are merged into one on the disk that nothing refers to.
        CompactionBeforeCommit = "compaction-before-commit",
        /// The merged file has taken the place of the small ones, which are still there.
        CompactionAfterCommit = "compaction-after-commit",
        /// The log may let go of what is archived.
        RetentionBefore = "retention-before",
        /// The record of a segment is gone, and the segment is not.
        RetentionRecordRemoved = "retention-record-removed",
        /// The segment is gone too.
        RetentionAfter = "retention-after",
    }
}

named! {
    /// A step of the recipe that can be left out.
    Step {
        /// An append waits for the disk.
        LogSync = "log-sync",
        /// Outputs are written before the state and the progress that name them.
        OutputsFirst = "outputs-first",
        /// A claim held by the record's own position is a replay and no duplicate.
        OwnClaims = "own-claims",
    }
}

#[cfg(feature = "crash-points")]
pub use asked::{ask, point, skipped};

#[cfg(feature = "crash-points")]
mod asked {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Point, Step};

    /// What a test asks of this process.
    struct Asked {
        crash: Option<(Point, AtomicU64)>,
        die: fn(Point),
        skip: Option<Step>,
    }

    static ASKED: OnceLock<Asked> = OnceLock::new();

    /// Calls `die` at the Nth passage of a point, asked for as `NAME` or `NAME:N`, and leaves a step out.
    ///
    /// # Errors
    /// A name that is not known, a passage that is no number above 0, or a second call.
    pub fn ask(
        crash_at: Option<&str>,
        leave_out: Option<&str>,
        die: fn(Point),
    ) -> Result<(), String> {
        let crash = crash_at.map(parse).transpose()?;
        let skip = leave_out
            .map(|name| {
                let found = Step::ALL.iter().find(|step| step.name() == name);
                found
                    .copied()
                    .ok_or_else(|| format!("there is no step {name}"))
            })
            .transpose()?;
        ASKED
            .set(Asked { crash, die, skip })
            .map_err(|_| "crash points are asked for once".to_owned())
    }

    fn parse(text: &str) -> Result<(Point, AtomicU64), String> {
        let (name, passage) = text.split_once(':').unwrap_or((text, "1"));
        let point = Point::ALL.iter().find(|point| point.name() == name);
        let point = point.ok_or_else(|| format!("there is no crash point {name}"))?;
        match passage.parse() {
            Ok(passage @ 1..) => Ok((*point, AtomicU64::new(passage))),
            _ => Err(format!(
                "{text}: the passage must be a whole number from 1 on"
            )),
        }
    }

    /// Lets the process die here, if this is the point and the passage that was asked for.
    pub fn point(passed: Point) {
        if let Some(asked) = ASKED.get()
            && let Some((point, left)) = &asked.crash
            && *point == passed
            && left.fetch_sub(1, Ordering::AcqRel) == 1
        {
            (asked.die)(passed);
        }
    }

    /// Whether a step is to be left out.
    pub fn skipped(step: Step) -> bool {
        ASKED.get().is_some_and(|asked| asked.skip == Some(step))
    }
}

/// Nothing.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub const fn point(_: Point) {}

/// Never.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub const fn skipped(_: Step) -> bool {
    false
}
