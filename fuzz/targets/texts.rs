//! The small texts that paths, parameters and fields hold: what is read is written as something that is read the same.

use schemas::{Currency, Decimal, Position, Timestamp};

pub(crate) fn check(data: &[u8]) {
    if let Ok(decimal) = Decimal::parse(data) {
        let text = decimal.to_string();
        assert_eq!(Decimal::parse(text.as_bytes()), Ok(decimal));
        let json = serde_json::to_string(&decimal).expect("a decimal is plain data");
        assert_eq!(serde_json::from_str::<Decimal>(&json).ok(), Some(decimal));
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(time) = Timestamp::parse(text) {
        assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
    }
    if let Ok(position) = text.parse::<Position>() {
        assert_eq!(position.to_string().parse(), Ok(position));
    }
    if let Ok(currency) = Currency::parse(text) {
        assert_eq!(currency.as_str(), text);
    }
}
