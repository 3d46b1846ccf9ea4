//! Activity: something a customer did in an application.

use compact_str::CompactString;

use super::{Fields, OWN, Slots, table, take_text};
use crate::field::{Field, Type, optional, required};

/// Fields of an activity.
pub static TABLE: [Field; 6] = table([
    required(
        "name",
        Type::Id { max: 128 },
        "What was done: registered, deleted, login, logout or a name of your own.",
    ),
    optional("properties", Type::Object, "Details of this activity."),
]);

/// Something a customer did.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    /// Its name.
    pub name: CompactString,
    /// `name` and `properties` as stated.
    pub fields: Fields,
}

impl Activity {
    pub(super) fn take(slots: &mut Slots<'_>) -> Self {
        let fields = Fields::take(&TABLE, slots);
        Self {
            name: take_text(&mut slots[OWN]).unwrap_or_default(),
            fields,
        }
    }
}
