//! Where a record is in the log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A place in the log: which log (generation), which partition, which record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Counts logs: a new or restored one, or another number of partitions, is a new generation.
    pub generation: u32,
    /// Partition of the log, from 0.
    pub partition: u32,
    /// Record within the partition, from 0, without gaps.
    pub offset: u64,
}

impl Position {
    /// Grows with every record of a partition, across generations: the version of rows that replace each other.
    ///
    /// 16 bits of generation above 48 bits of offset.
    pub fn version(self) -> u64 {
        version(self.generation, self.offset)
    }
}

/// See [`Position::version`].
pub fn version(generation: u32, offset: u64) -> u64 {
    (u64::from(generation) << 48) | (offset & 0x0000_FFFF_FFFF_FFFF)
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.generation, self.partition, self.offset)
    }
}

/// A position is three numbers with colons between.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a position is generation:partition:offset, three whole numbers")]
pub struct ParsePositionError;

impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or(ParsePositionError);
        let position = Position {
            generation: next()?.parse().map_err(|_| ParsePositionError)?,
            partition: next()?.parse().map_err(|_| ParsePositionError)?,
            offset: next()?.parse().map_err(|_| ParsePositionError)?,
        };
        match parts.next() {
            None => Ok(position),
            Some(_) => Err(ParsePositionError),
        }
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        let position = Position {
            generation: 1,
            partition: 3,
            offset: 99,
        };
        assert_eq!("1:3:99".parse(), Ok(position));
        assert_eq!(position.to_string(), "1:3:99");
        for bad in ["", "1:2", "1:2:3:4", "a:b:c", "-1:0:0"] {
            assert_eq!(bad.parse::<Position>(), Err(ParsePositionError), "{bad}");
        }
    }

    #[test]
    fn a_later_generation_outranks_any_offset() {
        assert!(version(2, 0) > version(1, u64::from(u32::MAX)));
    }
}
