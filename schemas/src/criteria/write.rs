//! Writes criteria as their canonical tree.

use super::fields::{ATTRIBUTE, NumberField, Op};
use super::node::{Leaf, Node, Numbers, Test, Texts, Times};
use crate::json::write_string;
use crate::money::Decimal;

/// How numbers are written: money as a text, as in every answer.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Number,
    Text,
}

/// The JSON of a tree.
pub(super) fn json(node: &Node) -> String {
    let mut out = Vec::new();
    write_node(&mut out, node);
    // Nothing but whole texts was written.
    String::from_utf8(out).unwrap_or_default()
}

fn write_node(out: &mut Vec<u8>, node: &Node) {
    match node {
        Node::All(nodes) => {
            out.extend_from_slice(b"{\"all\":");
            list(out, nodes, write_node);
        }
        Node::Any(nodes) => {
            out.extend_from_slice(b"{\"any\":");
            list(out, nodes, write_node);
        }
        Node::Not(node) => {
            out.extend_from_slice(b"{\"not\":");
            write_node(out, node);
        }
        Node::Leaf(leaf) => {
            out.push(b'{');
            write_leaf(out, leaf);
        }
    }
    out.push(b'}');
}

fn list<T>(out: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// A key, with what separates it from the one before.
fn key(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write_string(out, name);
    out.push(b':');
}

fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    write_string(out, value);
}

fn whole(out: &mut Vec<u8>, name: &str, value: u32) {
    key(out, name);
    out.extend_from_slice(value.to_string().as_bytes());
}

fn write_leaf(out: &mut Vec<u8>, leaf: &Leaf) {
    match &leaf.test {
        Test::Text(field, texts) => {
            text(out, "field", field.name());
            write_texts(out, texts, texts.op(leaf.negated));
        }
        Test::Attribute(name, texts) => {
            text(out, "field", &format!("{ATTRIBUTE}{name}"));
            write_texts(out, texts, texts.op(leaf.negated));
        }
        Test::AttributeNumber(name, numbers) => {
            text(out, "field", &format!("{ATTRIBUTE}{name}"));
            write_numbers(out, numbers, leaf.negated, Form::Number);
        }
        Test::Tags(texts) => {
            text(out, "field", "tags");
            let op = match texts {
                Texts::Is(_) => Op::Contains,
                _ => texts.op(leaf.negated),
            };
            write_texts(out, texts, op);
        }
        Test::Number(field, numbers) => {
            text(out, "field", field.name());
            write_numbers(
                out,
                numbers,
                leaf.negated,
                form(NumberField::is_money(*field)),
            );
        }
        Test::Time(field, times) => {
            text(out, "field", field.name());
            match times {
                Times::Exists if leaf.negated => text(out, "op", Op::Absent.name()),
                Times::Exists => text(out, "op", Op::Exists.name()),
                Times::Order(order, time) => {
                    text(out, "op", order.op().name());
                    text(out, "value", &time.to_string());
                }
            }
        }
        Test::Recency(recency) => {
            text(out, "recency", recency.field.name());
            text(out, "op", recency.order.op().name());
            whole(out, "days", recency.days);
            if recency.missing {
                key(out, "missing");
                out.extend_from_slice(b"true");
            }
        }
        Test::Window(window) => {
            let money = window.measure.is_money();
            let begin = if money { "sum" } else { "count" };
            text(out, begin, window.measure.name());
            whole(out, "days", window.days);
            write_numbers(out, &window.numbers, leaf.negated, form(money));
            if let Some(currency) = window.currency {
                text(out, "currency", currency.as_str());
            }
        }
        Test::Segment(segment) => text(out, "segment", segment),
    }
}

fn form(money: bool) -> Form {
    match money {
        true => Form::Text,
        false => Form::Number,
    }
}

fn write_texts(out: &mut Vec<u8>, texts: &Texts, op: Op) {
    text(out, "op", op.name());
    match texts {
        Texts::Exists => {}
        Texts::Is(value) | Texts::Contains(value) | Texts::StartsWith(value) => {
            text(out, "value", value);
        }
        Texts::OneOf(values) => {
            key(out, "value");
            list(out, values, |out, value| write_string(out, value));
        }
    }
}

fn write_numbers(out: &mut Vec<u8>, numbers: &Numbers, negated: bool, form: Form) {
    text(out, "op", numbers.op(negated).name());
    key(out, "value");
    match numbers {
        Numbers::Is(value) | Numbers::Order(_, value) => write_number(out, *value, form),
        Numbers::OneOf(values) => list(out, values, |out, value| write_number(out, *value, form)),
    }
}

fn write_number(out: &mut Vec<u8>, value: Decimal, form: Form) {
    let digits = value.to_text(0);
    match form {
        Form::Number => out.extend_from_slice(digits.as_bytes()),
        Form::Text => write_string(out, &digits),
    }
}
