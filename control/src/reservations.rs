//! Values that only one may have, such as a customer's name: reserved before the fact that takes the value is appended to
//! the log, and confirmed when the fact counts.
//!
//! Whoever crashes in between leaves an unconfirmed reservation. Nobody can tell from here whether its fact is in the log:
//! who finds it old asks the warehouse whether the holder has the value, then confirms it, or undoes it, or takes it over.
//! A fact must therefore be appended well within the age at which others look.

use std::time::Duration;

use schemas::{Code, OrganizationId, Timestamp};

use crate::control::Control;
use crate::db::{Transaction, Value, values};
use crate::error::ControlError;
use crate::validate;

/// As long as the longest name of a customer in an event.
const MAX_CHARACTERS: usize = 500;

/// What is unique among the customers of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unique {
    /// The name of a customer.
    CustomerName,
}

impl Unique {
    /// As it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Unique::CustomerName => "customer_name",
        }
    }

    /// The field of a request that holds such a value.
    pub const fn field(self) -> &'static str {
        match self {
            Unique::CustomerName => "name",
        }
    }

    fn parse(text: &str) -> Result<Self, ControlError> {
        match text {
            "customer_name" => Ok(Unique::CustomerName),
            _ => Err(ControlError::Corrupt(format!(
                "the reservation of a {text}"
            ))),
        }
    }
}

/// A reserved value, as it was when it was read. [`Control::undo`] and [`Control::take_over`] only touch one that is still so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// Where the value is unique.
    pub organization: OrganizationId,
    /// What it is a value of.
    pub kind: Unique,
    /// The value as it is compared: in lower case, trimmed, one space where there is white space.
    pub value: String,
    /// Who has it: the id of a customer.
    pub holder: String,
    /// When its holder last asked for it.
    pub reserved_at: Timestamp,
    /// Since when its fact counts; absent while that may be on its way.
    pub confirmed_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct ReservedRow {
    organization_id: String,
    kind: String,
    value: String,
    holder: String,
    reserved_at: i64,
    confirmed_at: Option<i64>,
}

impl TryFrom<ReservedRow> for Reserved {
    type Error = ControlError;

    fn try_from(row: ReservedRow) -> Result<Self, Self::Error> {
        Ok(Reserved {
            kind: Unique::parse(&row.kind)?,
            organization: OrganizationId::from_text(row.organization_id),
            value: row.value,
            holder: row.holder,
            reserved_at: Timestamp::from_micros(row.reserved_at),
            confirmed_at: row.confirmed_at.map(Timestamp::from_micros),
        })
    }
}

macro_rules! reservations {
    ($rest:literal) => {
        concat!(
            "SELECT organization_id, kind, value, holder, reserved_at, confirmed_at FROM reservations ",
            $rest
        )
    };
}

/// The row that is there afterwards, whoever has it. Its holder's time begins anew, because its fact may only come now.
const RESERVE: &str =
    "INSERT INTO reservations (organization_id, kind, value, holder, reserved_at) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (organization_id, kind, value) DO UPDATE SET reserved_at = CASE
         WHEN reservations.holder = excluded.holder AND reservations.confirmed_at IS NULL THEN excluded.reserved_at
         ELSE reservations.reserved_at END
     RETURNING organization_id, kind, value, holder, reserved_at, confirmed_at";

const CONFIRM: &str =
    "INSERT INTO reservations (organization_id, kind, value, holder, reserved_at, confirmed_at) VALUES ($1, $2, $3, $4, $5, $5)
     ON CONFLICT (organization_id, kind, value) DO UPDATE SET confirmed_at = CASE
         WHEN reservations.holder = excluded.holder THEN COALESCE(reservations.confirmed_at, excluded.confirmed_at)
         ELSE reservations.confirmed_at END
     RETURNING organization_id, kind, value, holder, reserved_at, confirmed_at";

/// One value and who wants it, checked.
struct Wanted<'a> {
    organization: &'a OrganizationId,
    kind: Unique,
    value: String,
    holder: &'a str,
}

impl<'a> Wanted<'a> {
    fn new(
        organization: &'a OrganizationId,
        kind: Unique,
        value: &str,
        holder: &'a str,
    ) -> Result<Self, ControlError> {
        validate::holder(holder)?;
        Ok(Self {
            organization,
            kind,
            value: fold(kind, value)?,
            holder,
        })
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        values![
            self.organization.as_str(),
            self.kind.as_str(),
            self.value.as_str(),
            self.holder,
            now
        ]
    }

    /// Runs one of the statements that give the row that is there afterwards.
    async fn write(
        &self,
        transaction: &mut Transaction,
        sql: &'static str,
        now: Timestamp,
    ) -> Result<Reserved, ControlError> {
        let rows: Result<Vec<ReservedRow>, _> = transaction.all(sql, self.row(now)).await;
        let row = rows.map_err(ControlError::or_no_organization)?.pop();
        let found =
            row.ok_or_else(|| ControlError::Corrupt("a reservation without a row".into()))?;
        match found.holder == self.holder {
            true => found.try_into(),
            false => Err(ControlError::Conflict {
                field: self.kind.field(),
            }),
        }
    }
}

/// Two spellings of one value are one value.
fn fold(kind: Unique, value: &str) -> Result<String, ControlError> {
    let folded = validate::folded(value);
    let refuse = |code, detail| Err(ControlError::invalid(kind.field(), code, detail));
    match folded.chars().count() {
        0 => refuse(Code::Required, "must not be empty"),
        1..=MAX_CHARACTERS if folded.chars().any(char::is_control) => {
            refuse(Code::InvalidCharacter, "leave out control characters")
        }
        1..=MAX_CHARACTERS => Ok(folded),
        _ => refuse(Code::InvalidLength, "use at most 500 characters"),
    }
}

impl Control {
    /// Reserves a value for a holder, or finds that the holder has it. What is new is unconfirmed.
    ///
    /// # Errors
    /// `Conflict` where another holder has it, `Invalid` for what cannot be a value.
    pub async fn reserve(
        &self,
        organization: &OrganizationId,
        kind: Unique,
        value: &str,
        holder: &str,
    ) -> Result<Reserved, ControlError> {
        let wanted = Wanted::new(organization, kind, value, holder)?;
        let mut transaction = self.db().begin().await?;
        let reserved = wanted.write(&mut transaction, RESERVE, self.now()).await?;
        transaction.commit().await?;
        Ok(reserved)
    }

    /// Reserves another value for a holder that may have one, which it keeps until [`Control::confirm`].
    ///
    /// # Errors
    /// `Rule` while another change of this holder's value is unconfirmed: which of two came last, only the log knows.
    /// Otherwise as [`Control::reserve`].
    pub async fn replace(
        &self,
        organization: &OrganizationId,
        kind: Unique,
        holder: &str,
        value: &str,
    ) -> Result<Reserved, ControlError> {
        let wanted = Wanted::new(organization, kind, value, holder)?;
        let mut transaction = self.db().begin().await?;
        transaction.lock(organization).await?;
        let sql = reservations!(
            "WHERE organization_id = $1 AND kind = $2 AND holder = $3 AND value <> $4 AND confirmed_at IS NULL"
        );
        let row = values![
            organization.as_str(),
            kind.as_str(),
            holder,
            wanted.value.as_str()
        ];
        let others: Vec<ReservedRow> = transaction.all(sql, row).await?;
        if !others.is_empty() {
            return Err(ControlError::Rule(
                "another change of it is under way, look how that ended and try again",
            ));
        }
        let reserved = wanted.write(&mut transaction, RESERVE, self.now()).await?;
        transaction.commit().await?;
        Ok(reserved)
    }

    /// Says that the fact counts by which a holder has a value; the value that it had before is free. Again is no error,
    /// nor is a value that was not reserved.
    ///
    /// # Errors
    /// `Conflict` where somebody else has the value meanwhile.
    pub async fn confirm(
        &self,
        organization: &OrganizationId,
        kind: Unique,
        value: &str,
        holder: &str,
    ) -> Result<(), ControlError> {
        let wanted = Wanted::new(organization, kind, value, holder)?;
        let mut transaction = self.db().begin().await?;
        transaction.lock(organization).await?;
        wanted.write(&mut transaction, CONFIRM, self.now()).await?;
        let sql = "DELETE FROM reservations WHERE organization_id = $1 AND kind = $2 AND holder = $3 AND value <> $4
                       AND confirmed_at IS NOT NULL";
        let row = values![organization.as_str(), kind.as_str(), holder, wanted.value];
        transaction.execute(sql, row).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Takes back a reservation whose fact does not count. One that is confirmed, or that its holder asked for again, stays.
    pub async fn undo(&self, reserved: &Reserved) -> Result<(), ControlError> {
        let sql = "DELETE FROM reservations WHERE organization_id = $1 AND kind = $2 AND value = $3 AND holder = $4
                       AND reserved_at = $5 AND confirmed_at IS NULL";
        self.db().execute(sql, as_seen(reserved)).await?;
        Ok(())
    }

    /// Frees a value that its holder gives up, confirmed or not. Nothing happens where somebody else has it.
    pub async fn release(
        &self,
        organization: &OrganizationId,
        kind: Unique,
        value: &str,
        holder: &str,
    ) -> Result<(), ControlError> {
        let wanted = Wanted::new(organization, kind, value, holder)?;
        let sql = "DELETE FROM reservations WHERE organization_id = $1 AND kind = $2 AND value = $3 AND holder = $4";
        let row = values![organization.as_str(), kind.as_str(), wanted.value, holder];
        self.db().execute(sql, row).await?;
        Ok(())
    }

    /// Reserves for another holder what its holder has abandoned: the caller has seen that it is old, and that the
    /// warehouse knows of no fact for it.
    ///
    /// # Errors
    /// `Conflict` where it is not as it was seen and not free either: confirmed, asked for again, or somebody else's.
    pub async fn take_over(
        &self,
        abandoned: &Reserved,
        holder: &str,
    ) -> Result<Reserved, ControlError> {
        let wanted = Wanted::new(
            &abandoned.organization,
            abandoned.kind,
            &abandoned.value,
            holder,
        )?;
        let now = self.now();
        let mut transaction = self.db().begin().await?;
        let sql = "DELETE FROM reservations WHERE organization_id = $1 AND kind = $2 AND value = $3 AND holder = $4
                       AND reserved_at = $5 AND confirmed_at IS NULL";
        transaction.execute(sql, as_seen(abandoned)).await?;
        let reserved = wanted.write(&mut transaction, RESERVE, now).await?;
        transaction.commit().await?;
        Ok(reserved)
    }

    /// Who has a value.
    pub async fn reserved(
        &self,
        organization: &OrganizationId,
        kind: Unique,
        value: &str,
    ) -> Result<Option<Reserved>, ControlError> {
        let value = fold(kind, value)?;
        let sql = reservations!("WHERE organization_id = $1 AND kind = $2 AND value = $3");
        let row = values![organization.as_str(), kind.as_str(), value];
        let row: Option<ReservedRow> = self.db().one(sql, row).await?;
        row.map(Reserved::try_from).transpose()
    }

    /// What a holder has: the confirmed value, and what it asked for since.
    pub async fn reserved_by(
        &self,
        organization: &OrganizationId,
        kind: Unique,
        holder: &str,
    ) -> Result<Vec<Reserved>, ControlError> {
        validate::holder(holder)?;
        let sql = reservations!(
            "WHERE organization_id = $1 AND kind = $2 AND holder = $3 ORDER BY reserved_at, value"
        );
        let row = values![organization.as_str(), kind.as_str(), holder];
        let rows: Vec<ReservedRow> = self.db().all(sql, row).await?;
        rows.into_iter().map(Reserved::try_from).collect()
    }

    /// At most `limit` reservations of all organizations that are unconfirmed and at least so old, the oldest first,
    /// after one of them.
    pub async fn unconfirmed(
        &self,
        kind: Unique,
        age: Duration,
        after: Option<&Reserved>,
        limit: usize,
    ) -> Result<Vec<Reserved>, ControlError> {
        let sql = reservations!(
            "WHERE kind = $1 AND confirmed_at IS NULL AND reserved_at <= $2
                 AND (reserved_at, organization_id, value) > ($3, $4, $5)
             ORDER BY reserved_at, organization_id, value LIMIT $6"
        );
        let row = values![
            kind.as_str(),
            self.before(age),
            after.map_or(i64::MIN, |after| after.reserved_at.micros()),
            after.map_or("", |after| after.organization.as_str()),
            after.map_or("", |after| after.value.as_str()),
            i64::try_from(limit).unwrap_or(i64::MAX)
        ];
        let rows: Vec<ReservedRow> = self.db().all(sql, row).await?;
        rows.into_iter().map(Reserved::try_from).collect()
    }
}

fn as_seen(reserved: &Reserved) -> Vec<Value> {
    values![
        reserved.organization.as_str(),
        reserved.kind.as_str(),
        reserved.value.as_str(),
        reserved.holder.as_str(),
        reserved.reserved_at
    ]
}
