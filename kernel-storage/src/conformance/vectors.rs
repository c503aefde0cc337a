//! The conformance suite of long-term memory: one function per law of the [`Vectors`](crate::Vectors) contract.
//!
//! [`crate::vectors_conformance!`] expands it to one named test per law.
//!
//! ```
//! use kernel_storage::MemoryStore;
//! use kernel_storage::conformance::vectors::InPlace;
//!
//! kernel_storage::vectors_conformance!(memory, InPlace::new(MemoryStore::new()));
//! # fn main() {}
//! ```

mod filters;
mod fixture;
mod fusion;
mod items;
mod model;
mod nearest;
mod refusal;
mod sample;
mod together;
mod words;

pub use filters::*;
pub use fixture::{Fixture, InPlace};
pub use fusion::*;
pub use items::*;
pub use model::*;
pub use nearest::*;
pub use refusal::*;
pub use together::*;
pub use words::*;

use std::pin::Pin;

/// A law: panics if a memory of the fixture breaks it.
pub type Law = for<'a> fn(&'a dyn Fixture) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The names of all laws, once: handed to the macro named by the caller.
#[doc(hidden)]
#[macro_export]
macro_rules! __vectors_laws {
    ($callback:path, $($argument:tt)*) => {
        $callback! {
            [
                nothing_is_found_in_a_new_memory
                items_come_back_exactly_as_remembered
                items_are_listed_in_pages_by_id
                namespaces_are_listed_in_pages
                remembering_again_replaces_the_whole_item
                of_items_with_one_id_the_last_stays
                what_is_forgotten_is_gone
                namespaces_do_not_mix
                what_was_remembered_is_there_after_reopening
                an_item_is_found_by_each_of_its_words
                words_are_those_of_any_script
                a_text_without_words_finds_nothing_by_words
                filters_agree_with_the_oracle
                a_narrow_filter_finds_all_there_is
                the_nearest_are_those_of_brute_force
                most_of_the_nearest_are_found_by_an_index
                an_index_follows_what_is_written
                models_do_not_mix
                only_directions_count
                two_lists_are_fused_by_rank
                equal_scores_are_ordered_by_id
                as_many_are_found_as_were_asked_for
                bad_items_are_refused_and_change_nothing
                bad_searches_are_refused
                a_model_keeps_its_dimension
                those_who_remember_and_search_at_once_find_what_is_theirs
                a_dropped_remember_may_be_repeated
                random_memories_agree_with_the_model
            ]
            $($argument)*
        }
    };
}

/// Expands to a module `$name` with one test per law of the contract of long-term memory. `$fixture` makes a fresh
/// [`Fixture`] for each of them, within an async context.
///
/// [`Fixture`]: crate::conformance::vectors::Fixture
#[macro_export]
macro_rules! vectors_conformance {
    ($name:ident, $fixture:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "for the expression of the fixture")]
            use super::*;
            $crate::__vectors_laws!($crate::__vectors_law_tests, ($fixture));
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __vectors_law_tests {
    ([$($law:ident)*] $fixture:tt) => {
        $($crate::__vectors_law_test!($law $fixture);)*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __vectors_law_test {
    ($law:ident ($fixture:expr)) => {
        #[test]
        fn $law() {
            $crate::conformance::run(async {
                let fixture = $fixture;
                $crate::conformance::vectors::$law(&fixture).await;
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

crate::__vectors_laws!(table, LAWS);
