use schemas::{Define, Kind, OrganizationId, Tier, Timestamp, default_tiers};

use super::tests::{DAY, event_at};
use super::*;

fn organization() -> OrganizationId {
    OrganizationId::from_text("org_1")
}

fn definitions(points_per_unit: i64, points_expire_days: u32) -> Definitions {
    let mut definitions = Definitions::default();
    let define = Define::Loyalty {
        organization: organization(),
        tiers: default_tiers(),
        points_per_unit,
        points_expire_days,
    };
    definitions.define(&define).unwrap();
    definitions
}

/// An account, with everything that was booked on it.
struct Account {
    definitions: Definitions,
    state: State,
    ledger: Vec<Movement>,
}

impl Account {
    fn new(definitions: Definitions) -> Self {
        let state = State::new(Timestamp::default(), Timestamp::default());
        Self {
            definitions,
            state,
            ledger: Vec::new(),
        }
    }

    fn event(&mut self, kind: Kind, day: i64, stated: &str) -> Result<(), &'static str> {
        let event = event_at(kind, day, stated);
        let mut next = self.state.clone();
        let applied = apply(&self.definitions, &mut next, &event).map_err(|no| no.reason)?;
        next.version += 1;
        self.state = next;
        self.book(applied.points);
        Ok(())
    }

    /// Whatever happens, the balance is the sum of the ledger.
    fn book(&mut self, movement: Option<Movement>) {
        self.ledger.extend(movement);
        let sum: i64 = self.ledger.iter().map(|row| row.points).sum();
        let loyalty = &self.state.loyalty;
        assert_eq!(loyalty.points, sum);
        assert!(loyalty.points >= 0 && loyalty.owed >= 0 && loyalty.lots.points() <= sum);
        let last = self.ledger.last().map_or(0, |row| row.balance);
        assert_eq!(last, sum);
        let of = |kinds: &[&str]| -> i64 {
            let rows = self.ledger.iter().filter(|row| kinds.contains(&row.kind));
            rows.map(|row| row.points).sum()
        };
        assert_eq!(loyalty.total_earned, of(&["earn", "refund"]));
        assert_eq!(loyalty.total_redeemed, -of(&["redeem"]));
        assert_eq!(loyalty.total_expired, -of(&["expire"]));
    }

    fn buy(&mut self, day: i64, amount: &str) {
        let stated = format!(
            r#"{{"customer_id":"c","order_id":"o-{day}","amount":"{amount}","refund_of":"o-0"}}"#
        );
        self.event(Kind::Purchase, day, &stated).unwrap();
    }

    fn staff(&mut self, change: &str) -> Result<(), &'static str> {
        let stated = format!(r#"{{"customer_id":"c","change":{{"action":"x",{change}}}}}"#);
        self.event(Kind::Change, 3, &stated)
    }

    fn points(&mut self, kind: &str, points: i64) -> Result<(), &'static str> {
        self.staff(&format!(
            r#""points":{{"kind":"{kind}","points":{points},"reason":"why","reference":"r"}}"#
        ))
    }

    fn tick(&mut self, day: i64) -> bool {
        let now = Timestamp::from_micros(day * DAY);
        let fired = tick(&self.definitions, &organization(), &mut self.state, now);
        let any = fired.is_some();
        self.book(fired.and_then(|fired| fired.points));
        any
    }

    fn rows(&self) -> Vec<(&'static str, i64)> {
        let rows = self.ledger.iter();
        rows.map(|row| (row.kind, row.points)).collect()
    }
}

#[test]
fn every_movement_is_in_the_ledger_and_nothing_is_overdrawn() {
    let mut account = Account::new(Definitions::default());
    account.buy(1, "100.40");
    account.buy(2, "0.30");
    account.buy(3, "0.30");
    account.points("redeem", 60).unwrap();
    assert_eq!(account.points("redeem", 42), Err(OVERDRAFT));
    account.points("redeem", 41).unwrap();
    assert_eq!(account.points("redeem", 1), Err(OVERDRAFT));
    assert_eq!(account.points("adjust", -1), Err(OVERDRAFT));
    account.points("earn", 20).unwrap();
    account.points("adjust", -5).unwrap();
    for (kind, points) in [("earn", 0), ("earn", -1), ("redeem", -1), ("adjust", 0)] {
        assert_eq!(
            account.points(kind, points),
            Err(INVALID_POINTS),
            "{kind} {points}"
        );
    }
    let rows = [
        ("earn", 100),
        ("earn", 1),
        ("redeem", -60),
        ("redeem", -41),
        ("earn", 20),
        ("adjust", -5),
    ];
    assert_eq!(account.rows(), rows);
    let first = &account.ledger[0];
    assert_eq!((&*first.reference, first.balance), ("o-1", 100));
    assert_eq!(account.ledger[2].reason, "why");
}

#[test]
fn a_refund_takes_back_what_is_there_and_the_next_purchase_pays_the_rest() {
    let mut account = Account::new(Definitions::default());
    account.buy(1, "100");
    account.points("redeem", 90).unwrap();
    account.buy(2, "-100");
    assert_eq!(account.ledger.last().unwrap().reference, "o-0");
    let loyalty = &account.state.loyalty;
    assert_eq!((loyalty.points, loyalty.owed), (0, 90));
    assert_eq!((loyalty.total_earned, loyalty.total_redeemed), (90, 90));
    account.buy(3, "70");
    assert_eq!(
        (account.state.loyalty.points, account.state.loyalty.owed),
        (0, 20)
    );
    account.points("earn", 5).unwrap();
    account.buy(4, "50");
    assert_eq!(
        (account.state.loyalty.points, account.state.loyalty.owed),
        (35, 0)
    );
    assert_eq!(
        account.rows(),
        [
            ("earn", 100),
            ("redeem", -90),
            ("refund", -10),
            ("earn", 5),
            ("earn", 30)
        ]
    );
}

#[test]
fn points_expire_oldest_first() {
    let mut account = Account::new(definitions(1, 30));
    account.buy(100, "10");
    account.buy(110, "5");
    account.buy(110, "1");
    let due = |day: i64| Some(Timestamp::from_micros(day * DAY));
    assert_eq!(next_due(&account.state), due(131));
    account.points("redeem", 4).unwrap();
    assert!(!account.tick(130), "thirty whole days");
    assert!(account.tick(131) && !account.tick(131));
    assert_eq!(next_due(&account.state), due(141));
    account.points("redeem", 6).unwrap();
    assert_eq!(next_due(&account.state), None);
    let rows = [
        ("earn", 10),
        ("earn", 5),
        ("earn", 1),
        ("redeem", -4),
        ("expire", -6),
        ("redeem", -6),
    ];
    assert_eq!(account.rows(), rows);

    // A follow-up is another timer of the same customer.
    let mut account = Account::new(definitions(1, 30));
    account.buy(100, "10");
    let follow_up = format!(
        r#"{{"customer_id":"c","next_follow_up":{}}}"#,
        120 * DAY / 1000
    );
    account.event(Kind::User, 101, &follow_up).unwrap();
    assert_eq!(next_due(&account.state), due(120));
    assert!(account.tick(125) && account.state.follow_up_due);
    assert_eq!(
        (next_due(&account.state), account.state.loyalty.points),
        (due(131), 10)
    );
    assert!(account.tick(500));
    assert_eq!(account.state.loyalty.tier, "bronze");
}

#[test]
fn points_of_before_expire_from_the_first_event_on() {
    let mut account = Account::new(Definitions::default());
    account.buy(1, "10");
    assert!(account.state.loyalty.lots.is_empty());
    account.definitions = definitions(1, 10);
    account
        .event(Kind::Activity, 5, r#"{"customer_id":"c","name":"login"}"#)
        .unwrap();
    // Events of these tests are received on day 30,000.
    assert_eq!(account.state.loyalty.lots.points(), 10);
    assert_eq!(next_due(&account.state).unwrap().day(), 30_011);
    account.definitions = definitions(1, 0);
    account.buy(30_000, "7");
    assert_eq!(account.state.loyalty.lots.points(), 10);
    assert!(account.tick(30_011));
    assert_eq!(account.state.loyalty.points, 7);
}

#[test]
fn a_tier_is_the_balances_or_given_by_hand() {
    let mut account = Account::new(Definitions::default());
    account.buy(1, "5000");
    assert_eq!(account.state.loyalty.tier, "gold");
    account.points("redeem", 4_500).unwrap();
    assert_eq!(account.state.loyalty.tier, "bronze");
    account.staff(r#""tier":{"to":"vip"}"#).unwrap();
    account.buy(2, "500");
    assert_eq!(account.state.loyalty.tier, "vip");
    account.staff(r#""tier":{"to":null}"#).unwrap();
    assert_eq!(account.state.loyalty.tier, "silver");

    // Another table holds from the next event on, whatever that is.
    let tiers = [("low", 0), ("high", 900)].map(|(name, from)| Tier {
        name: name.into(),
        from,
    });
    let define = Define::Loyalty {
        organization: organization(),
        tiers: tiers.to_vec(),
        points_per_unit: 1,
        points_expire_days: 0,
    };
    account.definitions.define(&define).unwrap();
    account
        .event(Kind::Activity, 5, r#"{"customer_id":"c","name":"login"}"#)
        .unwrap();
    assert_eq!(account.state.loyalty.tier, "high");
}

#[test]
fn a_deleted_customers_account_is_emptied() {
    let mut account = Account::new(Definitions::default());
    account.buy(1, "10");
    let event = event_at(
        Kind::Change,
        3,
        r#"{"customer_id":"c","change":{"action":"customer.delete","deletes":true,"points":{"kind":"earn","points":5}}}"#,
    );
    let applied = apply(&account.definitions, &mut account.state, &event).unwrap();
    let movement = applied.points.unwrap();
    assert_eq!(
        (movement.kind, movement.points, movement.balance),
        ("expire", -10, 0)
    );
    assert_eq!(
        (account.state.loyalty.points, &*account.state.loyalty.tier),
        (0, "new")
    );
}

#[test]
fn no_number_is_too_large() {
    let mut account = Account::new(definitions(i64::MAX, 36_500));
    let most = "999999999999999.999999";
    for (day, amount) in [
        (1, most.to_owned()),
        (2, most.to_owned()),
        (3, format!("-{most}")),
    ] {
        let stated = format!(r#"{{"customer_id":"c","amount":"{amount}"}}"#);
        let event = event_at(Kind::Purchase, day, &stated);
        apply(&account.definitions, &mut account.state, &event).unwrap();
        let loyalty = &account.state.loyalty;
        assert!(loyalty.points >= 0 && loyalty.owed >= 0);
    }
}
