//! What a quote adds up to, exactly: each item's quantity times its price, their sum, less a discount, plus tax.
//!
//! Items, discount and tax are each rounded once, half up (away from zero) to the decimals of the currency,
//! so that the figures on the page add up to the total on the page. Whatever is stated beside what it is
//! computed from must be equal to the last digit.

use schemas::{Code, Currency, Decimal, FieldError};

/// Items of one quote, at most.
pub const MOST_ITEMS: usize = 1_000;
/// What quote numbers begin with where nothing else is set.
pub const NUMBER_PREFIX: &str = "Q-";
/// Amounts stay below it, as amounts of events do: 15 digits before the point.
const LIMIT: u128 = 1_000_000_000_000_000_000_000;
const UNIT: i128 = 1_000_000;
const HUNDRED: Decimal = Decimal::from_whole(100);

/// One line of a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuoteItem {
    /// How many; above 0.
    pub quantity: Decimal,
    /// What one costs; below 0 for what is taken off.
    pub unit_price: Decimal,
    /// The line's total, where it is stated.
    pub total: Option<Decimal>,
}

/// A quote as it is stated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quote {
    /// The lines.
    pub items: Vec<QuoteItem>,
    /// The sum of the lines, where it is stated.
    pub subtotal: Option<Decimal>,
    /// Percent of the subtotal that are taken off.
    pub discount_rate: Option<Decimal>,
    /// What is taken off the subtotal; beside a rate it must be what the rate makes.
    pub discount: Option<Decimal>,
    /// Percent that are added to the subtotal less discount.
    pub tax_rate: Option<Decimal>,
    /// What is added; beside a rate it must be what the rate makes.
    pub tax: Option<Decimal>,
    /// What is to be paid, where it is stated.
    pub total: Option<Decimal>,
}

/// What a quote adds up to, in the decimals of its currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteTotals {
    /// The lines' totals.
    pub items: Vec<Decimal>,
    /// Their sum.
    pub subtotal: Decimal,
    /// What is taken off, 0 without a discount.
    pub discount: Decimal,
    /// What is added, 0 without tax.
    pub tax: Decimal,
    /// Subtotal less discount plus tax.
    pub total: Decimal,
}

/// The number of a quote as people write it: the prefix and at least six digits, `Q-000042`.
pub fn quote_number(prefix: &str, number: u64) -> String {
    format!("{prefix}{number:06}")
}

/// What `quote` adds up to in `currency`, and whether what it states is that.
///
/// # Errors
/// The first field that is wrong, by its path: out of range, or not what the others make of it.
pub fn totals(quote: &Quote, currency: Currency) -> Result<QuoteTotals, FieldError> {
    if quote.items.len() > MOST_ITEMS {
        let detail = format!("at most {MOST_ITEMS} items; split the quote");
        return Err(FieldError::new("items", Code::OutOfRange, detail));
    }
    let mut items = Vec::with_capacity(quote.items.len());
    for (index, item) in quote.items.iter().enumerate() {
        let total =
            item_total(item, currency).map_err(|error| error.within(&format!("items[{index}]")))?;
        items.push(total);
    }
    let subtotal = not_negative(
        "subtotal",
        within_limit("subtotal", items.iter().copied().sum())?,
    )?;
    agree(
        "subtotal",
        quote.subtotal,
        subtotal,
        "the items make",
        currency,
    )?;
    let discount = Adjustment {
        field: "discount",
        rate_field: "discount_rate",
        most_rate: HUNDRED,
        base: subtotal,
    };
    let discount = discount.amount(quote.discount, quote.discount_rate, currency)?;
    if discount > subtotal {
        let detail = "take off at most the subtotal";
        return Err(FieldError::new("discount", Code::OutOfRange, detail));
    }
    let tax = Adjustment {
        field: "tax",
        rate_field: "tax_rate",
        most_rate: Decimal::from_whole(1_000),
        base: subtotal - discount,
    };
    let tax = tax.amount(quote.tax, quote.tax_rate, currency)?;
    let total = within_limit("total", subtotal - discount + tax)?;
    agree(
        "total",
        quote.total,
        total,
        "subtotal, discount and tax make",
        currency,
    )?;
    Ok(QuoteTotals {
        items,
        subtotal,
        discount,
        tax,
        total,
    })
}

fn item_total(item: &QuoteItem, currency: Currency) -> Result<Decimal, FieldError> {
    within_limit("quantity", item.quantity)?;
    within_limit("unit_price", item.unit_price)?;
    if item.quantity <= Decimal::ZERO {
        let detail = "state a quantity above 0";
        return Err(FieldError::new("quantity", Code::OutOfRange, detail));
    }
    let total =
        product(item.quantity, item.unit_price, 1, currency).ok_or_else(|| too_large("total"))?;
    let total = within_limit("total", total)?;
    agree(
        "total",
        item.total,
        total,
        "quantity times unit_price is",
        currency,
    )?;
    Ok(total)
}

/// A discount or a tax: an amount, or a rate of a base.
struct Adjustment {
    field: &'static str,
    rate_field: &'static str,
    /// Percent.
    most_rate: Decimal,
    base: Decimal,
}

impl Adjustment {
    fn amount(
        &self,
        stated: Option<Decimal>,
        rate: Option<Decimal>,
        currency: Currency,
    ) -> Result<Decimal, FieldError> {
        if let Some(stated) = stated {
            not_negative(self.field, within_limit(self.field, stated)?)?;
        }
        let Some(rate) = rate else {
            let stated = stated.unwrap_or(Decimal::ZERO);
            return in_places(self.field, stated, currency);
        };
        if rate.is_negative() || rate > self.most_rate {
            let detail = format!("state percent from 0 to {}", self.most_rate);
            return Err(FieldError::new(self.rate_field, Code::OutOfRange, detail));
        }
        let made = product(self.base, rate, 100, currency).ok_or_else(|| too_large(self.field))?;
        let made = within_limit(self.field, made)?;
        agree(self.field, stated, made, "the rate makes", currency)?;
        Ok(made)
    }
}

/// `a` times `b` over `divisor`, rounded once to the currency's decimals; `None` on overflow.
fn product(a: Decimal, b: Decimal, divisor: i128, currency: Currency) -> Option<Decimal> {
    let step = step(currency);
    let divisor = divisor * UNIT * step;
    let exact = a.micros().checked_mul(b.micros())?;
    let whole = exact.abs().checked_add(divisor / 2)? / divisor;
    Some(Decimal::from_micros(exact.signum() * whole * step))
}

/// Millionths in the currency's smallest unit.
fn step(currency: Currency) -> i128 {
    10_i128.pow(schemas::money::SCALE.saturating_sub(currency.decimals()))
}

fn within_limit(field: &'static str, amount: Decimal) -> Result<Decimal, FieldError> {
    match amount.micros().unsigned_abs() < LIMIT {
        true => Ok(amount),
        false => Err(too_large(field)),
    }
}

fn too_large(field: &'static str) -> FieldError {
    FieldError::new(
        field,
        Code::OutOfRange,
        "at most 15 digits before the point",
    )
}

fn not_negative(field: &'static str, amount: Decimal) -> Result<Decimal, FieldError> {
    match amount.is_negative() {
        false => Ok(amount),
        true => Err(FieldError::new(
            field,
            Code::OutOfRange,
            "must not be below 0",
        )),
    }
}

fn in_places(
    field: &'static str,
    amount: Decimal,
    currency: Currency,
) -> Result<Decimal, FieldError> {
    if amount.micros() % step(currency) == 0 {
        return Ok(amount);
    }
    let detail = format!(
        "{currency} has {} decimals: round it to them",
        currency.decimals()
    );
    Err(FieldError::new(field, Code::InvalidValue, detail))
}

fn agree(
    field: &'static str,
    stated: Option<Decimal>,
    made: Decimal,
    from: &str,
    currency: Currency,
) -> Result<(), FieldError> {
    match stated {
        Some(stated) if stated != made => {
            let made = made.to_text(currency.decimals());
            let detail = format!("{from} {made}, not {stated}: correct it or leave it out");
            Err(FieldError::new(field, Code::Conflict, detail))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "quote_math_tests.rs"]
mod tests;
