//! Numbers without gaps or doubles, such as those of quotes: taken before the fact that bears one is appended to the log,
//! and confirmed when the fact counts.
//!
//! A number that was given back is the next to be taken. As with [`crate::Reserved`] values, who crashes in between leaves
//! an unconfirmed one, and who finds it old asks the warehouse before giving it back.

use std::time::Duration;

use schemas::{OrganizationId, Timestamp};

use crate::control::Control;
use crate::db::{Transaction, values};
use crate::error::ControlError;
use crate::validate;

/// What is numbered, from 1 in each organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Numbered {
    /// Quotes.
    Quote,
}

impl Numbered {
    /// As it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Numbered::Quote => "quote",
        }
    }

    fn parse(text: &str) -> Result<Self, ControlError> {
        match text {
            "quote" => Ok(Numbered::Quote),
            _ => Err(ControlError::Corrupt(format!("the number of a {text}"))),
        }
    }
}

/// A taken number, as it was when it was read. [`Control::give_back_number`] only touches one that is still so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenNumber {
    /// Whose series it is of.
    pub organization: OrganizationId,
    /// What it numbers.
    pub kind: Numbered,
    /// From 1.
    pub number: i64,
    /// Who has it: the id of a quote.
    pub holder: String,
    /// When its holder last asked for it.
    pub taken_at: Timestamp,
    /// Since when its fact counts; absent while that may be on its way.
    pub confirmed_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct NumberRow {
    organization_id: String,
    kind: String,
    number: i64,
    holder: Option<String>,
    taken_at: i64,
    confirmed_at: Option<i64>,
}

impl TryFrom<NumberRow> for TakenNumber {
    type Error = ControlError;

    fn try_from(row: NumberRow) -> Result<Self, Self::Error> {
        Ok(TakenNumber {
            kind: Numbered::parse(&row.kind)?,
            organization: OrganizationId::from_text(row.organization_id),
            number: row.number,
            holder: row.holder.unwrap_or_default(),
            taken_at: Timestamp::from_micros(row.taken_at),
            confirmed_at: row.confirmed_at.map(Timestamp::from_micros),
        })
    }
}

macro_rules! numbers {
    ($rest:literal) => {
        concat!(
            "SELECT organization_id, kind, number, holder, taken_at, confirmed_at FROM numbers ",
            $rest
        )
    };
}

/// Others who want a number of this series wait until the transaction has ended. The highest number so far.
async fn lock(
    transaction: &mut Transaction,
    organization: &OrganizationId,
    kind: Numbered,
) -> Result<i64, ControlError> {
    let sql = "INSERT INTO number_series (organization_id, kind, highest) VALUES ($1, $2, 0)
               ON CONFLICT (organization_id, kind) DO UPDATE SET highest = number_series.highest
               RETURNING highest";
    let rows: Result<Vec<(i64,)>, _> = transaction
        .all(sql, values![organization.as_str(), kind.as_str()])
        .await;
    let rows = rows.map_err(ControlError::or_no_organization)?;
    Ok(rows.first().map_or(0, |(highest,)| *highest))
}

impl Control {
    /// Takes the smallest free number, or finds the one that the holder has. What is new is unconfirmed.
    pub async fn take_number(
        &self,
        organization: &OrganizationId,
        kind: Numbered,
        holder: &str,
    ) -> Result<TakenNumber, ControlError> {
        validate::holder(holder)?;
        let now = self.now();
        let key = || values![organization.as_str(), kind.as_str()];
        let mut transaction = self.db().begin().await?;
        let highest = lock(&mut transaction, organization, kind).await?;
        let sql = numbers!("WHERE organization_id = $1 AND kind = $2 AND holder = $3");
        let row = values![organization.as_str(), kind.as_str(), holder];
        let own: Vec<NumberRow> = transaction.all(sql, row).await?;
        let own = own
            .into_iter()
            .next()
            .map(TakenNumber::try_from)
            .transpose()?;
        if let Some(confirmed) = own.clone().filter(|own| own.confirmed_at.is_some()) {
            return Ok(confirmed);
        }
        let number = match own {
            // The holder's time begins anew, because its fact may only come now.
            Some(own) => own.number,
            None => {
                let sql = numbers!(
                    "WHERE organization_id = $1 AND kind = $2 AND holder IS NULL ORDER BY number LIMIT 1"
                );
                let free: Vec<NumberRow> = transaction.all(sql, key()).await?;
                free.first().map_or(highest + 1, |free| free.number)
            }
        };
        if number > highest {
            let sql = "UPDATE number_series SET highest = highest + 1 WHERE organization_id = $1 AND kind = $2";
            transaction.execute(sql, key()).await?;
        }
        let sql = "INSERT INTO numbers (organization_id, kind, number, holder, taken_at) VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (organization_id, kind, number)
                   DO UPDATE SET holder = excluded.holder, taken_at = excluded.taken_at";
        let row = values![organization.as_str(), kind.as_str(), number, holder, now];
        transaction.execute(sql, row).await?;
        transaction.commit().await?;
        Ok(TakenNumber {
            organization: organization.clone(),
            kind,
            number,
            holder: holder.to_owned(),
            taken_at: now,
            confirmed_at: None,
        })
    }

    /// Says that the fact counts that bears a number. Again is no error.
    ///
    /// # Errors
    /// `Conflict` where somebody else has the number meanwhile, `NotFound` where nobody ever took it.
    pub async fn confirm_number(
        &self,
        organization: &OrganizationId,
        kind: Numbered,
        number: i64,
        holder: &str,
    ) -> Result<(), ControlError> {
        validate::holder(holder)?;
        let mut transaction = self.db().begin().await?;
        lock(&mut transaction, organization, kind).await?;
        let sql = numbers!("WHERE organization_id = $1 AND kind = $2 AND number = $3");
        let row = values![organization.as_str(), kind.as_str(), number];
        let found: Vec<NumberRow> = transaction.all(sql, row).await?;
        let found = found.into_iter().next();
        let found = found.ok_or(ControlError::NotFound { what: "number" })?;
        // One that was given back too early is taken by its fact.
        if found.holder.is_some_and(|found| found != holder) {
            return Err(ControlError::Conflict { field: "number" });
        }
        let sql = "UPDATE numbers SET holder = $4, confirmed_at = COALESCE(confirmed_at, $5)
                   WHERE organization_id = $1 AND kind = $2 AND number = $3";
        let row = values![
            organization.as_str(),
            kind.as_str(),
            number,
            holder,
            self.now()
        ];
        let confirmed = transaction.execute(sql, row).await;
        confirmed.map_err(|error| ControlError::or_conflict(error, "number"))?;
        transaction.commit().await?;
        Ok(())
    }

    /// Frees a number whose fact does not count. One that is confirmed, or that its holder asked for again, stays.
    pub async fn give_back_number(&self, taken: &TakenNumber) -> Result<(), ControlError> {
        let sql = "UPDATE numbers SET holder = NULL WHERE organization_id = $1 AND kind = $2 AND number = $3
                       AND holder = $4 AND taken_at = $5 AND confirmed_at IS NULL";
        let row = values![
            taken.organization.as_str(),
            taken.kind.as_str(),
            taken.number,
            taken.holder.as_str(),
            taken.taken_at
        ];
        self.db().execute(sql, row).await?;
        Ok(())
    }

    /// At most `limit` numbers of all organizations that are unconfirmed and at least so old, the oldest first, after one
    /// of them.
    pub async fn unconfirmed_numbers(
        &self,
        kind: Numbered,
        age: Duration,
        after: Option<&TakenNumber>,
        limit: usize,
    ) -> Result<Vec<TakenNumber>, ControlError> {
        let sql = numbers!(
            "WHERE kind = $1 AND confirmed_at IS NULL AND holder IS NOT NULL AND taken_at <= $2
                 AND (taken_at, organization_id, number) > ($3, $4, $5)
             ORDER BY taken_at, organization_id, number LIMIT $6"
        );
        let row = values![
            kind.as_str(),
            self.before(age),
            after.map_or(i64::MIN, |after| after.taken_at.micros()),
            after.map_or("", |after| after.organization.as_str()),
            after.map_or(0, |after| after.number),
            i64::try_from(limit).unwrap_or(i64::MAX)
        ];
        let rows: Vec<NumberRow> = self.db().all(sql, row).await?;
        rows.into_iter().map(TakenNumber::try_from).collect()
    }
}
