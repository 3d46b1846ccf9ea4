//! Random criteria.

use serde_json::{Map, Value, json};

use super::{CURRENCIES, KEYS, SEGMENTS, STATUSES, Sampler, TIERS, TYPES, WORDS};
use crate::criteria::fields::{
    ATTRIBUTE, ATTRIBUTE_OPS, FIELDS, Measure, ORDER_OPS, Of, Op, TextField, TimeField, WINDOW_OPS,
};
use crate::criteria::parse::MAX_DEPTH;
use crate::time::Timestamp;

impl Sampler {
    /// Criteria as a tree, as JSON that parses.
    pub fn criteria(&mut self) -> String {
        // A few as deep as they may be.
        let node = match self.percent(3) {
            true => (1..MAX_DEPTH).fold(self.leaf(), |node, _| json!({"not": node})),
            false => self.node(4),
        };
        node.to_string()
    }

    /// One condition without others inside, as JSON that parses.
    pub fn condition(&mut self) -> String {
        self.leaf().to_string()
    }

    /// Criteria in the flat form, and a tree that says the same.
    pub fn flat(&mut self) -> (String, String) {
        let mut flat = Map::new();
        let mut all = Vec::new();
        for _ in 0..=self.below(4) {
            let (name, of) = self.named();
            if matches!(of, Some(Of::Time(_))) || flat.contains_key(&name) {
                continue;
            }
            let values: Vec<Value> = (0..=self.below(3)).map(|_| self.value(of)).collect();
            // The first value says which they are: texts or numbers.
            let numeric = values[0].is_number();
            let values: Vec<Value> = values
                .into_iter()
                .filter(|value| value.is_number() == numeric)
                .collect();
            all.push(json!({"field": name, "op": "in", "value": values}));
            let stated = match &values[..] {
                [one] if self.percent(50) => one.clone(),
                _ => Value::from(values),
            };
            flat.insert(name, stated);
        }
        if all.is_empty() {
            flat.insert("tags".to_owned(), json!(["VIP"]));
            all.push(json!({"field": "tags", "op": "in", "value": ["vip"]}));
        }
        (
            Value::from(flat).to_string(),
            json!({"all": all}).to_string(),
        )
    }

    fn node(&mut self, depth: u32) -> Value {
        if depth == 0 || self.percent(35) {
            return self.leaf();
        }
        let several = |sampler: &mut Self| -> Vec<Value> {
            (0..=sampler.below(3))
                .map(|_| sampler.node(depth - 1))
                .collect()
        };
        match self.below(5) {
            0 | 1 => json!({"all": several(self)}),
            2 | 3 => json!({"any": several(self)}),
            _ => json!({"not": self.node(depth - 1)}),
        }
    }

    fn leaf(&mut self) -> Value {
        match self.below(10) {
            0..=4 => self.field_leaf(),
            5 => self.recency_leaf(),
            6 => json!({"segment": self.pick(&SEGMENTS)}),
            _ => self.window_leaf(),
        }
    }

    /// The name of a field or attribute, and what it is; none for attributes.
    fn named(&mut self) -> (String, Option<Of>) {
        match self.percent(15) {
            true => (format!("{ATTRIBUTE}{}", self.pick(&KEYS)), None),
            false => {
                let of = self.pick(&FIELDS);
                let name = match of {
                    Of::Text(TextField::Tier) if self.percent(50) => "loyalty_status",
                    of => of.name(),
                };
                (name.to_owned(), Some(of))
            }
        }
    }

    fn field_leaf(&mut self) -> Value {
        let (name, of) = self.named();
        let op = self.pick(of.map_or(ATTRIBUTE_OPS, Of::ops));
        let mut leaf = json!({"field": name, "op": op.name()});
        match op {
            Op::Exists | Op::Absent => {}
            Op::In | Op::NotIn => {
                let first = self.value(of);
                let more = (0..self.below(4)).map(|_| self.value(of));
                let mut values: Vec<Value> = more
                    .filter(|value| value.is_number() == first.is_number())
                    .collect();
                values.insert(0, first);
                leaf["value"] = Value::from(values);
            }
            Op::Contains | Op::StartsWith if of != Some(Of::Tags) => {
                leaf["value"] = Value::from(self.part());
            }
            Op::Lt | Op::Lte | Op::Gt | Op::Gte if of.is_none() => {
                leaf["value"] = Value::from(self.amount().to_string());
            }
            _ => leaf["value"] = self.value(of),
        }
        leaf
    }

    fn value(&mut self, of: Option<Of>) -> Value {
        match of {
            Some(Of::Text(TextField::Status)) => self.word(&STATUSES),
            Some(Of::Text(TextField::CustomerType)) if self.percent(20) => json!("Corporate"),
            Some(Of::Text(TextField::CustomerType)) => self.word(&TYPES),
            Some(Of::Text(TextField::Tier)) => self.word(&TIERS),
            Some(Of::Text(_) | Of::Tags) => self.word(&WORDS),
            Some(Of::Number(field)) if field.is_money() => Value::from(self.amount().to_string()),
            Some(Of::Number(_)) => json!(self.between(-1, 5)),
            Some(Of::Time(_)) => {
                let around = Timestamp::of_day(20_530);
                Value::from(self.time(around).to_string())
            }
            None => match self.below(4) {
                0 => json!(self.percent(50)),
                1 => json!(self.amount().to_f64()),
                _ => self.word(&WORDS),
            },
        }
    }

    /// One of these, at times in another case.
    fn word(&mut self, words: &[&str]) -> Value {
        let word = self.pick(words);
        Value::from(match self.below(4) {
            0 => word.to_uppercase(),
            1 => word.to_lowercase(),
            _ => word.to_owned(),
        })
    }

    /// A part of a word.
    fn part(&mut self) -> String {
        let word: Vec<char> = self.pick(&WORDS).chars().collect();
        let start = match self.percent(50) {
            true => 0,
            false => self.below(word.len() as u64) as usize,
        };
        let length = 1 + self.below(3) as usize;
        let part: String = word[start..].iter().take(length).collect();
        match self.percent(30) {
            true => part.to_uppercase(),
            false => part,
        }
    }

    fn recency_leaf(&mut self) -> Value {
        let op = self.pick(ORDER_OPS);
        let mut leaf = json!({
            "recency": self.pick(&TimeField::RECENT).name(),
            "op": op.name(),
            "days": self.pick(&[0, 1, 2, 3, 7, 30, 90, 36_500]),
        });
        if matches!(op, Op::Gt | Op::Gte) && self.percent(50) {
            leaf["missing"] = json!(self.percent(70));
        }
        leaf
    }

    fn window_leaf(&mut self) -> Value {
        let money = self.percent(50);
        let (form, measure) = match money {
            true => ("sum", self.pick(&Measure::SUMMED)),
            false => ("count", self.pick(&Measure::COUNTED)),
        };
        let value = match money {
            true => Value::from(self.amount().to_string()),
            false => json!(self.between(0, 4)),
        };
        let mut leaf = json!({
            form: measure.name(),
            "days": self.pick(&[1, 2, 3, 7, 30, 365, 3_650]),
            "op": self.pick(WINDOW_OPS).name(),
            "value": value,
        });
        if money && self.percent(40) {
            leaf["currency"] = Value::from(self.pick(&CURRENCIES));
        }
        leaf
    }
}
