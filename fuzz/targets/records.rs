//! Payloads of log records: never a panic, also not in the fold that what can be read goes through, and what the fold
//! leaves is read back as it was.

use processors::fold::{self, Definitions, State};
use schemas::record::encode_event;
use schemas::{
    Control, Currency, Draft, Event, Kind, OrganizationId, ParseContext, Record, Timestamp,
};

pub(crate) fn check(data: &[u8]) {
    match Record::decode(data) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(Record::Control(control)) => {
            let again = Record::decode(&control.encode());
            assert_eq!(again, Ok(Record::Control(control.clone())));
            define(&control);
        }
        Ok(Record::Event(event)) => {
            let state = folded(&Definitions::default(), &event);
            let json = serde_json::to_string(&state).expect("a state is plain data");
            let again: State = serde_json::from_str(&json).expect("a state is read back");
            let again = serde_json::to_string(&again).expect("a state is plain data");
            assert_eq!(again, json);
        }
    }
}

/// Folds an event twice, and lets time pass.
fn folded(definitions: &Definitions, event: &Event) -> State {
    let mut state = State::new(event.occurred_at, event.received_at);
    for _ in 0..2 {
        // A refusal is an answer.
        let _ = fold::apply(definitions, &mut state, event);
    }
    let end = Timestamp::from_micros(253_402_300_799_000_000);
    fold::tick(definitions, &event.organization, &mut state, end);
    state
}

/// A definition comes into force, for whoever it may be.
fn define(control: &Control) {
    let Control::Define { define } = control else {
        return;
    };
    let mut definitions = Definitions::default();
    if definitions.define(define).is_err() {
        return;
    }
    let organization = match define {
        schemas::Define::Fold { .. } => OrganizationId::from_text("org_1"),
        schemas::Define::Loyalty { organization, .. }
        | schemas::Define::Segment { organization, .. }
        | schemas::Define::Organization { organization, .. } => organization.clone(),
    };
    let context = ParseContext {
        received_at: Timestamp::from_micros(1_772_323_200_000_000),
        currency: Currency::USD,
    };
    for amount in [
        "0.000001",
        "999999999999999.999999",
        "-999999999999999.999999",
    ] {
        let stated = format!(r#"{{"customer_id":"c","event_id":"e","amount":"{amount}"}}"#);
        let draft = Draft::parse(Kind::Purchase, &stated, &context).expect("a good purchase");
        let event = draft.into_event(
            organization.clone(),
            || "made".into(),
            context.received_at,
            "key".into(),
            0,
        );
        folded(&definitions, &event);
        let mut payload = Vec::new();
        encode_event(&mut payload, &event, context.currency, &stated);
        assert_eq!(Record::decode(&payload), Ok(Record::Event(event)));
    }
}
