//! Keys that come twice in an object.

use std::collections::HashSet;

use super::ReadError;
use crate::error::Code;

/// The keys of one object, to find one that comes twice.
#[derive(Debug, Default)]
pub struct Keys {
    few: Vec<String>,
    many: HashSet<String>,
}

impl Keys {
    /// Adds a key; an error if it was there.
    pub fn insert(&mut self, key: &str) -> Result<(), ReadError> {
        let fresh = match self.few.len() {
            // Comparing is quicker than hashing until there are many; hashing bounds what a hostile body costs.
            0..16 => {
                let fresh = !self.few.iter().any(|known| known == key);
                self.few.push(key.to_owned());
                fresh
            }
            _ => {
                if self.many.is_empty() {
                    self.many.extend(self.few.iter().cloned());
                }
                self.many.insert(key.to_owned())
            }
        };
        match fresh {
            true => Ok(()),
            false => Err(duplicate_key(key)),
        }
    }
}

/// The error for a key that comes twice.
pub fn duplicate_key(key: &str) -> ReadError {
    ReadError::rule(Code::DuplicateKey, "send each key once in an object").within(key)
}
