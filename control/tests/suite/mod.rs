//! What every control database must do.

mod accounts;
mod audit;
mod authenticator;
mod copies;
mod keys;
mod numbers;
pub(crate) mod outage;
mod outside;
mod raw;
mod reservations;
mod schema;
mod segments;
mod settings;
mod staff;
mod surveys;

use control::{Control, Options, Register, Registered};

use crate::support::clock::TestClock;

/// Where the suite gets empty databases.
#[derive(Clone, Copy)]
pub(crate) struct Backend<'a> {
    pub(crate) name: &'static str,
    pub(crate) fresh: &'a dyn Fn() -> String,
}

impl Backend<'_> {
    pub(crate) async fn open(&self) -> Control {
        Control::open(&(self.fresh)()).await.unwrap()
    }

    pub(crate) async fn open_with_clock(&self) -> (Control, TestClock) {
        let clock = TestClock::new();
        let options = Options {
            clock: clock.clock(),
            ..Options::default()
        };
        (
            Control::open_with(&(self.fresh)(), options).await.unwrap(),
            clock,
        )
    }
}

pub(crate) fn registration(email: &str) -> Register {
    Register {
        name: "Ada".into(),
        email: email.into(),
        password: "correct horse".into(),
        organization: Some("Analytical Engines".into()),
        currency: None,
        timezone: None,
    }
}

pub(crate) async fn register(control: &Control, email: &str) -> Registered {
    control.register(registration(email)).await.unwrap()
}

macro_rules! run_all {
    ($backend:expr, $($module:ident :: $case:ident),* $(,)?) => {$(
        // Shown when a case fails, to say which.
        println!("{}: {}::{}", $backend.name, stringify!($module), stringify!($case));
        $module::$case($backend).await;
    )*};
}

pub(crate) async fn run(backend: Backend<'_>) {
    run_all!(
        backend,
        accounts::registering_gives_an_owner_who_is_let_in,
        accounts::an_address_has_one_account_whatever_its_case,
        accounts::exactly_one_of_many_at_once_is_the_operator,
        accounts::of_many_with_one_address_one_gets_it_and_nothing_is_left_of_the_others,
        accounts::a_failed_first_registration_does_not_take_the_operators_place,
        accounts::wrong_and_unknown_are_one_error_and_cost_one_hash,
        accounts::sessions_expire_and_can_be_ended,
        accounts::bad_values_name_their_field,
        accounts::any_script_survives,
        keys::a_key_is_shown_once_and_kept_as_a_hash,
        keys::scopes_are_what_was_given,
        keys::another_organization_cannot_touch_a_key,
        keys::keys_expire,
        keys::a_rotated_key_has_a_new_secret_and_the_old_one_is_dead,
        keys::bad_keys_name_their_field,
        keys::a_quota_is_kept_and_changed,
        keys::a_days_quota_is_given_out_once,
        authenticator::revocation_reaches_another_process_within_five_seconds,
        authenticator::revocation_is_immediate_in_its_own_process,
        authenticator::an_answer_does_not_outlive_the_key,
        authenticator::many_at_once_ask_once,
        authenticator::a_key_made_after_it_was_refused_is_let_in,
        authenticator::garbage_is_refused,
        authenticator::keys_of_the_configuration,
        authenticator::last_uses_are_written_once_a_minute,
        authenticator::a_hit_costs_a_few_microseconds_at_most,
        staff::staff_logs_in_and_has_its_role,
        staff::a_deactivated_user_is_out_at_once,
        staff::an_organization_keeps_an_owner,
        staff::teams_have_names_of_their_own,
        staff::a_changed_password_ends_the_other_sessions,
        staff::sessions_are_listed_with_their_last_use,
        outside::a_shared_secret_lets_in_who_the_claims_name,
        outside::somebody_sent_away_does_not_come_back_by_it,
        outside::published_keys_are_followed_when_they_change,
        reservations::a_name_has_one_holder_whatever_its_spelling,
        reservations::of_many_who_want_a_name_one_gets_it,
        reservations::a_rename_keeps_the_old_name_until_it_counts,
        reservations::what_was_abandoned_is_found_and_taken_over,
        reservations::what_cannot_be_a_name_is_refused,
        numbers::numbers_begin_at_one_and_are_one_holders,
        numbers::many_at_once_leave_no_gap_and_no_double,
        numbers::numbers_that_were_left_are_found,
        settings::settings_have_defaults_and_keep_what_is_set,
        settings::settings_belong_to_one_organization,
        settings::customers_feedback_and_quotes_have_settings,
        settings::bad_settings_are_refused,
        segments::segments_are_made_changed_and_removed,
        segments::versions_say_what_changed_meanwhile,
        segments::two_hundred_are_active_at_most,
        segments::bad_segments_name_their_field,
        surveys::surveys_are_made_changed_and_removed,
        surveys::bad_questions_name_their_field,
        audit::every_change_is_told,
        audit::what_did_not_happen_is_not_told,
        audit::entries_of_changes_at_once_follow_each_other,
        audit::the_audit_is_read_in_pages,
        audit::reads_are_told_even_when_the_database_is_closed_at_once,
        audit::nobody_acts_in_an_organization_that_is_not_there,
        copies::a_copy_is_put_back_on_either_database,
        copies::a_broken_copy_changes_nothing,
        schema::opening_again_finds_everything,
        schema::many_processes_may_start_at_once,
        schema::an_unknown_schema_is_refused,
    );
}
