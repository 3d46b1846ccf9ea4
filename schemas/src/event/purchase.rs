//! Purchase: what was bought, given back or cancelled.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::{OWN, ParseContext, Slots, table, take_text};
use crate::error::Code;
use crate::field::{Extra, Field, Slot, Type, Value, optional, read_object, required};
use crate::json::{ReadError, Reader};
use crate::money::{Currency, Decimal};

/// Fields of a purchase.
pub static TABLE: [Field; 11] = table([
    required(
        "amount",
        Type::Decimal,
        "The whole amount; negative for a refund.",
    ),
    optional(
        "currency",
        Type::Currency,
        "ISO 4217 code; by default the organization's.",
    ),
    optional("order_id", Type::Id { max: 256 }, "Your id of the order."),
    optional(
        "product",
        Type::Id { max: 256 },
        "The one product bought, instead of items.",
    ),
    optional("items", Type::Items, "What was bought, line by line."),
    optional(
        "status",
        Type::Choice(&STATUSES),
        "completed (default), refunded or cancelled.",
    ),
    optional(
        "refund_of",
        Type::Id { max: 256 },
        "Order or event id of what is given back.",
    ),
]);
const AMOUNT: usize = OWN;
const CURRENCY: usize = OWN + 1;
const ORDER_ID: usize = OWN + 2;
const PRODUCT: usize = OWN + 3;
const ITEMS: usize = OWN + 4;
const STATUS: usize = OWN + 5;
const REFUND_OF: usize = OWN + 6;

/// Fields of an item.
pub static ITEM_TABLE: [Field; 6] = [
    required(
        "product_id",
        Type::Id { max: 256 },
        "Your id of the product.",
    ),
    optional("name", Type::Text { max: 500 }, "Its name."),
    optional("category", Type::Text { max: 200 }, "Its category."),
    optional(
        "quantity",
        Type::Decimal,
        "How many; 1 by default, fractions allowed.",
    ),
    optional("unit_price", Type::Decimal, "Price of one."),
    optional(
        "amount",
        Type::Decimal,
        "Amount of the line; by default quantity times unit price, or 0.",
    ),
];

const STATUSES: [&str; 3] = ["completed", "refunded", "cancelled"];

/// How a purchase counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Money came in, or went out where the amount is negative.
    Completed,
    /// Money went back.
    Refunded,
    /// Counts nowhere.
    Cancelled,
}

impl Status {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Completed => "completed",
            Status::Refunded => "refunded",
            Status::Cancelled => "cancelled",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Status> {
        [Status::Completed, Status::Refunded, Status::Cancelled]
            .into_iter()
            .find(|status| status.as_str() == name)
    }
}

/// One line of a purchase, as counted: negative in refunds.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The client's id of the product.
    pub product_id: CompactString,
    /// Its name; empty if not stated.
    pub name: CompactString,
    /// Its category; empty if not stated.
    pub category: CompactString,
    /// How many.
    pub quantity: Decimal,
    /// Price of one, if stated.
    pub unit_price: Option<Decimal>,
    /// Amount of the line.
    pub amount: Decimal,
}

/// What was bought, as counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Purchase {
    /// The whole amount: negative for refunds, whichever way they were stated.
    pub amount: Decimal,
    /// The stated currency, or the organization's.
    pub currency: Currency,
    /// The client's id of the order.
    pub order_id: Option<CompactString>,
    /// Completed, refunded or cancelled.
    pub status: Status,
    /// What is given back, where the client says so.
    pub refund_of: Option<CompactString>,
    /// The lines.
    pub items: Vec<Item>,
}

impl Purchase {
    /// Money given back: a negative amount, or the status refunded.
    pub fn is_refund(&self) -> bool {
        self.status == Status::Refunded
            || (self.status == Status::Completed && self.amount.is_negative())
    }

    /// A completed purchase, also one of 0.00: refunds and cancellations are no orders.
    pub fn is_order(&self) -> bool {
        self.status == Status::Completed && !self.amount.is_negative()
    }

    /// Whether it counts in sums at all.
    pub fn counts(&self) -> bool {
        self.status != Status::Cancelled
    }

    pub(super) fn take(slots: &mut Slots<'_>, context: &ParseContext) -> Result<Self, ReadError> {
        let stated = take_decimal(&mut slots[AMOUNT]).unwrap_or_default();
        let status = take_text(&mut slots[STATUS])
            .and_then(|name| Status::from_name(&name))
            .unwrap_or(Status::Completed);
        let product = take_text(&mut slots[PRODUCT]);
        let items = match slots[ITEMS].take().map(|slot| slot.value) {
            Some(Value::Items(items)) => Some(items),
            _ => None,
        };
        let items = match (product, items) {
            (Some(_), Some(_)) => {
                return Err(
                    ReadError::rule(Code::Conflict, "send product or items, not both")
                        .within("product"),
                );
            }
            (Some(product), None) => vec![Item {
                name: product.clone(),
                product_id: product,
                category: CompactString::default(),
                quantity: Decimal::ONE,
                unit_price: None,
                amount: stated,
            }],
            (None, items) => items.unwrap_or_default(),
        };
        let currency = take_text(&mut slots[CURRENCY]).and_then(|code| Currency::parse(&code).ok());
        let mut purchase = Purchase {
            amount: stated,
            currency: currency.unwrap_or(context.currency),
            order_id: take_text(&mut slots[ORDER_ID]),
            status,
            refund_of: take_text(&mut slots[REFUND_OF]),
            items,
        };
        if status == Status::Refunded && stated > Decimal::ZERO {
            purchase.amount = -purchase.amount;
            for item in &mut purchase.items {
                item.quantity = -item.quantity.abs();
                item.amount = -item.amount.abs();
            }
        }
        Ok(purchase)
    }
}

/// Reads one item; its unknown fields go to the event's attributes as `items.N.key`.
pub(crate) fn read_item<'a>(
    reader: &mut Reader<'a>,
    index: usize,
    extra: &mut Vec<Extra<'a>>,
) -> Result<Item, ReadError> {
    let mut slots = [const { None }; ITEM_TABLE.len()];
    let mut unknown = Vec::new();
    read_object(reader, &ITEM_TABLE, &mut slots, &mut unknown)?;
    extra.extend(unknown.into_iter().map(|field| Extra {
        key: format!("items.{index}.{}", field.key).into(),
        ..field
    }));
    let [product_id, name, category, quantity, unit_price, amount] = &mut slots;
    let quantity = take_decimal(quantity).unwrap_or(Decimal::ONE);
    let unit_price = take_decimal(unit_price);
    let amount = match (take_decimal(amount), unit_price) {
        (Some(stated), _) => stated,
        (None, None) => Decimal::ZERO,
        (None, Some(price)) => quantity.checked_mul(price).ok_or_else(|| {
            ReadError::rule(
                Code::OutOfRange,
                "quantity times unit price has over 15 digits before the point",
            )
            .within("amount")
        })?,
    };
    Ok(Item {
        product_id: take_text(product_id).unwrap_or_default(),
        name: take_text(name).unwrap_or_default(),
        category: take_text(category).unwrap_or_default(),
        quantity,
        unit_price,
        amount,
    })
}

fn take_decimal(slot: &mut Option<Slot<'_>>) -> Option<Decimal> {
    match slot.take()?.value {
        Value::Decimal(decimal) => Some(decimal),
        _ => None,
    }
}
