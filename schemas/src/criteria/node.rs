//! The compiled tree: values are read, checked and prepared, so that matching only compares.

use super::fields::{Measure, NumberField, Op, TextField, TimeField};
use crate::money::{Currency, Decimal};
use crate::time::Timestamp;

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// Every one of these, at least one.
    All(Vec<Node>),
    /// At least one of these.
    Any(Vec<Node>),
    /// Not this.
    Not(Box<Node>),
    Leaf(Leaf),
}

/// A condition without others inside: a test, or its opposite.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Leaf {
    pub(super) negated: bool,
    pub(super) test: Test,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    Text(TextField, Texts),
    /// An attribute by its key, as text.
    Attribute(Box<str>, Texts),
    /// An attribute by its key, as a number.
    AttributeNumber(Box<str>, Numbers),
    /// Of at least one tag.
    Tags(Texts),
    Number(NumberField, Numbers),
    Time(TimeField, Times),
    Recency(Recency),
    Window(Window),
    /// Membership in a segment.
    Segment(Box<str>),
}

/// A test of a text. The values of fields that are compared in lower case are in lower case.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Texts {
    Exists,
    Is(Box<str>),
    /// Sorted, each once.
    OneOf(Vec<Box<str>>),
    Contains(Box<str>),
    StartsWith(Box<str>),
}

/// A test of a number.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Numbers {
    Is(Decimal),
    /// Sorted, each once.
    OneOf(Vec<Decimal>),
    Order(Order, Decimal),
}

/// A test of a time.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Times {
    Exists,
    Order(Order, Timestamp),
}

/// How far back a time is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recency {
    pub(super) field: TimeField,
    pub(super) order: Order,
    pub(super) days: u32,
    /// What holds of a customer without that time.
    pub(super) missing: bool,
}

impl Recency {
    /// The whole days from which on it holds (true) or no longer holds (false).
    pub(super) fn threshold(&self) -> (u32, bool) {
        match self.order {
            Order::Gt => (self.days + 1, true),
            Order::Gte => (self.days, true),
            Order::Lt => (self.days, false),
            Order::Lte => (self.days + 1, false),
        }
    }
}

/// What a customer did in the last days.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Window {
    pub(super) measure: Measure,
    /// Of money; `None` is the organization's.
    pub(super) currency: Option<Currency>,
    pub(super) days: u32,
    pub(super) numbers: Numbers,
}

/// An order of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Lt,
    Lte,
    Gt,
    Gte,
}

impl Order {
    pub(super) fn from_op(op: Op) -> Option<Order> {
        match op {
            Op::Lt => Some(Order::Lt),
            Op::Lte => Some(Order::Lte),
            Op::Gt => Some(Order::Gt),
            Op::Gte => Some(Order::Gte),
            _ => None,
        }
    }

    pub(super) fn op(self) -> Op {
        match self {
            Order::Lt => Op::Lt,
            Order::Lte => Op::Lte,
            Order::Gt => Op::Gt,
            Order::Gte => Op::Gte,
        }
    }

    /// As SQL writes it.
    pub(super) fn sign(self) -> &'static str {
        match self {
            Order::Lt => "<",
            Order::Lte => "<=",
            Order::Gt => ">",
            Order::Gte => ">=",
        }
    }

    pub(super) fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Order::Lt => left < right,
            Order::Lte => left <= right,
            Order::Gt => left > right,
            Order::Gte => left >= right,
        }
    }
}

impl Numbers {
    pub(super) fn hold(&self, number: Decimal) -> bool {
        match self {
            Numbers::Is(value) => number == *value,
            Numbers::OneOf(values) => values.binary_search(&number).is_ok(),
            Numbers::Order(order, value) => order.holds(number, *value),
        }
    }

    /// The operator it was written with.
    pub(super) fn op(&self, negated: bool) -> Op {
        match (self, negated) {
            (Numbers::Is(_), false) => Op::Eq,
            (Numbers::Is(_), true) => Op::Ne,
            (Numbers::OneOf(_), false) => Op::In,
            (Numbers::OneOf(_), true) => Op::NotIn,
            (Numbers::Order(order, _), _) => order.op(),
        }
    }
}

impl Texts {
    /// The operator it was written with.
    pub(super) fn op(&self, negated: bool) -> Op {
        match (self, negated) {
            (Texts::Exists, false) => Op::Exists,
            (Texts::Exists, true) => Op::Absent,
            (Texts::Is(_), false) => Op::Eq,
            (Texts::Is(_), true) => Op::Ne,
            (Texts::OneOf(_), false) => Op::In,
            (Texts::OneOf(_), true) => Op::NotIn,
            (Texts::Contains(_), _) => Op::Contains,
            (Texts::StartsWith(_), _) => Op::StartsWith,
        }
    }
}

impl Node {
    /// Calls `visit` for every leaf, from left to right.
    pub(super) fn each_leaf<'a>(&'a self, visit: &mut impl FnMut(&'a Leaf)) {
        match self {
            Node::All(nodes) | Node::Any(nodes) => {
                for node in nodes {
                    node.each_leaf(visit);
                }
            }
            Node::Not(node) => node.each_leaf(visit),
            Node::Leaf(leaf) => visit(leaf),
        }
    }
}
