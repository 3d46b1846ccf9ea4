//! What criteria may ask about: the fields, the operators each takes, and the measures of windows.
//!
//! The parser, the SQL and the JSON Schema read these tables.

use crate::event::user::CUSTOMER_TYPES;

/// A text of the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextField {
    /// `name`
    Name,
    /// `email`
    Email,
    /// `phone`
    Phone,
    /// `company_name`
    CompanyName,
    /// `customer_type`: `corporate` is held as `business`.
    CustomerType,
    /// `status`: prospect, lead, active or inactive.
    Status,
    /// `city` of the first address.
    City,
    /// `country` of the first address.
    Country,
    /// `tier`, in criteria also `loyalty_status`.
    Tier,
    /// `assigned_to`: the id of a member of staff.
    AssignedTo,
    /// `nationality`
    Nationality,
    /// `region`
    Region,
    /// `language`
    Language,
    /// `industry`
    Industry,
    /// `source`
    Source,
}

/// How a text is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// In lower case.
    Folded,
    /// As it is.
    Exactly,
}

impl TextField {
    /// Its name in criteria, in `customer_state` (where it has a column) and in the profile.
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::CompanyName => "company_name",
            Self::CustomerType => "customer_type",
            Self::Status => "status",
            Self::City => "city",
            Self::Country => "country",
            Self::Tier => "tier",
            Self::AssignedTo => "assigned_to",
            Self::Nationality => "nationality",
            Self::Region => "region",
            Self::Language => "language",
            Self::Industry => "industry",
            Self::Source => "source",
        }
    }

    /// Whether it is in the profile alone, not also a column.
    pub(super) fn profile_only(self) -> bool {
        matches!(
            self,
            Self::Nationality | Self::Region | Self::Language | Self::Industry | Self::Source
        )
    }

    /// Ids and words of a closed list are held in one form; what people write is not.
    pub(super) fn compared(self) -> Compared {
        match self {
            Self::Phone | Self::AssignedTo | Self::CustomerType | Self::Status => Compared::Exactly,
            _ => Compared::Folded,
        }
    }

    /// The only words it holds, where there are so few.
    pub(super) fn words(self) -> Option<&'static [&'static str]> {
        match self {
            Self::CustomerType => Some(&CUSTOMER_TYPES),
            Self::Status => Some(&["prospect", "lead", "active", "inactive"]),
            _ => None,
        }
    }
}

/// A number of the customer that every customer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NumberField {
    /// `points`: whole points held.
    Points,
    /// `total_orders`: completed purchases of all currencies.
    TotalOrders,
    /// `total_revenue`: net revenue in the organization's currency.
    TotalRevenue,
    /// `total_refunds`: money given back in the organization's currency, positive.
    TotalRefunds,
    /// `activities`: activity events.
    Activities,
    /// `interactions`: interaction events.
    Interactions,
}

impl NumberField {
    /// Its name in criteria.
    pub fn name(self) -> &'static str {
        match self {
            Self::Points => "points",
            Self::TotalOrders => "total_orders",
            Self::TotalRevenue => "total_revenue",
            Self::TotalRefunds => "total_refunds",
            Self::Activities => "activities",
            Self::Interactions => "interactions",
        }
    }

    /// Whether it is money, with decimals.
    pub fn is_money(self) -> bool {
        matches!(self, Self::TotalRevenue | Self::TotalRefunds)
    }
}

/// A time of the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeField {
    /// `first_seen`: of its earliest event.
    FirstSeen,
    /// `last_seen`: of its latest event.
    LastSeen,
    /// `last_contact`: of its latest interaction; not every customer has one.
    LastContact,
    /// `last_order`: of its latest completed purchase; not every customer has one.
    LastOrder,
    /// `created_at`: receipt of its first event.
    CreatedAt,
}

impl TimeField {
    /// What recency may be measured from.
    pub(super) const RECENT: [TimeField; 3] = [Self::LastOrder, Self::LastSeen, Self::LastContact];

    /// Its name in criteria and its column in `customer_state`.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstSeen => "first_seen",
            Self::LastSeen => "last_seen",
            Self::LastContact => "last_contact",
            Self::LastOrder => "last_order",
            Self::CreatedAt => "created_at",
        }
    }
}

/// What a window adds up over a customer's days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Completed purchases of all currencies.
    Orders,
    /// Net revenue in one currency.
    Revenue,
    /// Money given back in one currency, positive.
    Refunds,
    /// Activity events.
    Activities,
    /// Interaction events.
    Interactions,
}

impl Measure {
    /// What `count` takes.
    pub(super) const COUNTED: [Measure; 3] = [Self::Orders, Self::Activities, Self::Interactions];
    /// What `sum` takes.
    pub(super) const SUMMED: [Measure; 2] = [Self::Revenue, Self::Refunds];

    /// Its name in criteria and its column in `customer_days`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Revenue => "revenue",
            Self::Refunds => "refunds",
            Self::Activities => "activities",
            Self::Interactions => "interactions",
        }
    }

    /// Whether it is money: of one currency, with decimals.
    pub fn is_money(self) -> bool {
        matches!(self, Self::Revenue | Self::Refunds)
    }
}

/// An operator of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Eq,
    Ne,
    In,
    NotIn,
    Contains,
    StartsWith,
    Lt,
    Lte,
    Gt,
    Gte,
    Exists,
    Absent,
}

impl Op {
    const ALL: [Op; 12] = [
        Op::Eq,
        Op::Ne,
        Op::In,
        Op::NotIn,
        Op::Contains,
        Op::StartsWith,
        Op::Lt,
        Op::Lte,
        Op::Gt,
        Op::Gte,
        Op::Exists,
        Op::Absent,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Op::Eq => "eq",
            Op::Ne => "ne",
            Op::In => "in",
            Op::NotIn => "not_in",
            Op::Contains => "contains",
            Op::StartsWith => "starts_with",
            Op::Lt => "lt",
            Op::Lte => "lte",
            Op::Gt => "gt",
            Op::Gte => "gte",
            Op::Exists => "exists",
            Op::Absent => "absent",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Op> {
        Op::ALL.into_iter().find(|op| op.name() == name)
    }
}

/// The operators of texts that people write.
pub(super) const TEXT_OPS: &[Op] = &[
    Op::Eq,
    Op::Ne,
    Op::In,
    Op::NotIn,
    Op::Contains,
    Op::StartsWith,
    Op::Exists,
    Op::Absent,
];
/// The operators of ids and words.
pub(super) const WORD_OPS: &[Op] = &[Op::Eq, Op::Ne, Op::In, Op::NotIn, Op::Exists, Op::Absent];
/// The operators of tags: has the tag, has one of them, has none of them, has any, has none at all.
pub(super) const TAG_OPS: &[Op] = &[Op::Contains, Op::In, Op::NotIn, Op::Exists, Op::Absent];
/// The operators of numbers.
pub(super) const NUMBER_OPS: &[Op] = &[
    Op::Eq,
    Op::Ne,
    Op::In,
    Op::NotIn,
    Op::Lt,
    Op::Lte,
    Op::Gt,
    Op::Gte,
];
/// The operators of times.
pub(super) const TIME_OPS: &[Op] = &[Op::Lt, Op::Lte, Op::Gt, Op::Gte, Op::Exists, Op::Absent];
/// The operators of attributes: those of texts, and of numbers where the value is one.
pub(super) const ATTRIBUTE_OPS: &[Op] = &[
    Op::Eq,
    Op::Ne,
    Op::In,
    Op::NotIn,
    Op::Contains,
    Op::StartsWith,
    Op::Lt,
    Op::Lte,
    Op::Gt,
    Op::Gte,
    Op::Exists,
    Op::Absent,
];
/// The operators of recency.
pub(super) const ORDER_OPS: &[Op] = &[Op::Lt, Op::Lte, Op::Gt, Op::Gte];
/// The operators of windows.
pub(super) const WINDOW_OPS: &[Op] = &[Op::Eq, Op::Ne, Op::Lt, Op::Lte, Op::Gt, Op::Gte];

/// What a field of criteria is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Of {
    Text(TextField),
    Tags,
    Number(NumberField),
    Time(TimeField),
}

impl Of {
    pub(super) fn name(self) -> &'static str {
        match self {
            Of::Text(field) => field.name(),
            Of::Tags => "tags",
            Of::Number(field) => field.name(),
            Of::Time(field) => field.name(),
        }
    }

    pub(super) fn ops(self) -> &'static [Op] {
        match self {
            Of::Text(TextField::Tier | TextField::AssignedTo) => WORD_OPS,
            Of::Text(field) if field.words().is_some() => WORD_OPS,
            Of::Text(_) => TEXT_OPS,
            Of::Tags => TAG_OPS,
            Of::Number(_) => NUMBER_OPS,
            Of::Time(_) => TIME_OPS,
        }
    }

    /// The field of that name.
    pub(super) fn from_name(name: &str) -> Option<Of> {
        match name {
            "loyalty_status" => Some(Of::Text(TextField::Tier)),
            _ => FIELDS.into_iter().find(|field| field.name() == name),
        }
    }
}

/// Every field but the attributes, which are `attributes.` and a key.
pub(super) const FIELDS: [Of; 27] = [
    Of::Text(TextField::Name),
    Of::Text(TextField::Email),
    Of::Text(TextField::Phone),
    Of::Text(TextField::CompanyName),
    Of::Text(TextField::CustomerType),
    Of::Text(TextField::Status),
    Of::Text(TextField::City),
    Of::Text(TextField::Country),
    Of::Text(TextField::Tier),
    Of::Text(TextField::AssignedTo),
    Of::Text(TextField::Nationality),
    Of::Text(TextField::Region),
    Of::Text(TextField::Language),
    Of::Text(TextField::Industry),
    Of::Text(TextField::Source),
    Of::Tags,
    Of::Number(NumberField::Points),
    Of::Number(NumberField::TotalOrders),
    Of::Number(NumberField::TotalRevenue),
    Of::Number(NumberField::TotalRefunds),
    Of::Number(NumberField::Activities),
    Of::Number(NumberField::Interactions),
    Of::Time(TimeField::FirstSeen),
    Of::Time(TimeField::LastSeen),
    Of::Time(TimeField::LastContact),
    Of::Time(TimeField::LastOrder),
    Of::Time(TimeField::CreatedAt),
];

/// How the name of an attribute begins.
pub(super) const ATTRIBUTE: &str = "attributes.";
