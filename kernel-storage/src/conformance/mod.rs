//! The conformance suite: one function per law of the [`crate::Store`] contract.
//!
//! [`crate::store_conformance!`] expands it to one named test per law. Every store runs it, and so does whatever is
//! put in front of one (a queue, a cache, an `Arc<dyn Store>`).
//!
//! ```
//! use kernel_storage::MemoryStore;
//! use kernel_storage::conformance::InPlace;
//!
//! kernel_storage::store_conformance!(memory, InPlace::new(MemoryStore::new()));
//! # fn main() {}
//! ```

mod adversity;
pub mod archive;
mod blobs;
mod concurrency;
mod durability;
mod fencing;
mod fixture;
mod journal;
mod mail;
mod model;
mod refusal;
mod sample;
pub mod vectors;
mod versions;

pub use adversity::*;
pub use blobs::*;
pub use concurrency::*;
pub use durability::*;
pub use fencing::*;
pub use fixture::{Fixture, InPlace, run};
pub use journal::*;
pub use mail::*;
pub use model::*;
pub use refusal::*;
pub use versions::*;

use std::pin::Pin;

/// A law: panics if a store of the fixture breaks it.
pub type Law = for<'a> fn(&'a dyn Fixture) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The names of all laws, once: handed to the macro named by the caller.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_laws {
    ($callback:path, $($argument:tt)*) => {
        $callback! {
            [
                a_new_store_is_empty
                a_row_comes_back_as_written
                records_come_back_as_written_in_order
                records_are_read_from_any_number
                values_are_set_replaced_and_deleted
                a_process_is_seen_as_each_commit_left_it
                values_are_seen_as_each_commit_left_them
                what_did_not_apply_is_no_version
                agents_are_listed_in_pages_by_pid
                exited_processes_are_listed_unless_live_ones_are_asked_for
                processes_do_not_mix
                answers_have_the_order_of_the_batch
                commits_of_one_process_in_one_batch_apply_in_order
                an_empty_batch_is_answered
                concurrent_commits_all_land
                of_racing_commits_one_lands
                a_dropped_commit_may_be_repeated
                epochs_rise_with_every_claim
                a_higher_epoch_takes_over
                a_lower_epoch_is_fenced
                a_higher_epoch_fences_even_the_same_revision_and_head
                the_same_commit_again_is_already_there
                another_head_at_the_same_revision_conflicts
                a_revision_of_a_lower_epoch_is_not_already_there
                another_revision_conflicts
                malformed_commits_are_refused
                a_refused_commit_harms_no_other
                a_commit_that_does_not_apply_changes_nothing
                bodies_come_back_byte_for_byte_in_the_order_asked
                a_body_is_shared_by_all_who_commit_it
                addresses_are_listed_in_pages
                sweep_keeps_what_a_process_committed
                mail_comes_back_as_posted
                an_inbox_is_in_order_of_arrival
                consumed_mail_is_gone
                the_same_mail_is_delivered_once
                consumed_mail_posted_again_stays_gone
                mail_sent_with_a_commit_arrives_with_it
                mail_may_wait_for_a_process_to_come
                consuming_mail_that_is_not_there_is_no_error
                mail_consumed_before_it_came_is_not_delivered
                mail_of_a_process_that_exited_waits
                arrivals_rise_and_are_read_in_pages
                concurrent_posts_all_arrive_in_the_order_of_their_senders
                what_was_committed_is_there_after_reopening
                versions_are_there_after_reopening
                consumed_mail_stays_gone_after_reopening
                arrivals_are_not_reused_after_reopening
                every_text_comes_back_from_every_field
                batches_that_share_bodies_in_opposite_order_all_land
                mail_repeated_and_out_of_order_is_delivered_once
                times_order_nothing
                random_histories_agree_with_the_model
            ]
            $($argument)*
        }
    };
}

/// Expands to a module `$name` with one test per law of the contract. `$fixture` makes a fresh [`conformance::Fixture`]
/// for each of them, within an async context.
///
/// [`conformance::Fixture`]: crate::conformance::Fixture
#[macro_export]
macro_rules! store_conformance {
    ($name:ident, $fixture:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "for the expression of the fixture")]
            use super::*;
            $crate::__store_laws!($crate::__store_law_tests, ($fixture));
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_law_tests {
    ([$($law:ident)*] $fixture:tt) => {
        $($crate::__store_law_test!($law $fixture);)*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_law_test {
    ($law:ident ($fixture:expr)) => {
        #[test]
        fn $law() {
            $crate::conformance::run(async {
                let fixture = $fixture;
                $crate::conformance::$law(&fixture).await;
            });
        }
    };
}

macro_rules! table {
    ([$($law:ident)*] $name:ident) => {
        /// All laws with their names, for suites that run them by other means than the macro.
        pub const $name: &[(&str, Law)] = &[$((stringify!($law), |fixture| Box::pin($law(fixture)))),*];
    };
}

crate::__store_laws!(table, LAWS);
