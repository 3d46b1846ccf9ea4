//! Why a product is suggested, as data and as a sentence.

/// The reason for one suggestion.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// The customer bought it before.
    BoughtBefore {
        /// Orders that held it.
        times: u32,
        /// Median days between two days of purchase; none after only one.
        every_days: Option<f32>,
        /// Days since the last one.
        days_ago: i64,
    },
    /// Customers who have these products have it too.
    GoesWith {
        /// The one or two products of the customer that speak most for it.
        owned: Vec<u32>,
    },
    /// Many customers bought it.
    Popular {
        /// How many.
        customers: u32,
    },
}

impl Reason {
    /// True when as many days have passed since the last purchase as usually lie between two.
    pub fn is_due(&self) -> bool {
        matches!(self, Reason::BoughtBefore { every_days: Some(every), days_ago, .. }
            if *days_ago as f32 >= *every)
    }

    /// The reason in English; `name` gives the name of a product.
    pub fn text(&self, name: impl Fn(u32) -> String) -> String {
        match self {
            Reason::BoughtBefore {
                times,
                every_days,
                days_ago,
            } => {
                let mut text = format!("bought {}", times_of(*times));
                if let Some(every) = every_days {
                    text += &match every.round() as i64 {
                        1 => ", about every day".to_owned(),
                        days => format!(", about every {days} days"),
                    };
                }
                text += &match days_ago {
                    0 => ", last today".to_owned(),
                    1 => ", last yesterday".to_owned(),
                    days => format!(", last {days} days ago"),
                };
                if self.is_due() {
                    text += ": due again";
                }
                text
            }
            Reason::GoesWith { owned } => {
                let names: Vec<String> = owned.iter().map(|p| name(*p)).collect();
                format!("often bought by customers who buy {}", names.join(" and "))
            }
            Reason::Popular { customers } => match customers {
                1 => "bought by one customer".to_owned(),
                n => format!("popular: bought by {n} customers"),
            },
        }
    }
}

fn times_of(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        n => format!("{n} times"),
    }
}
