//! The laws of the [`crate::Pager`] contract, one function each, for every implementation to run.
//!
//! [`crate::pager_conformance!`] expands them into one named test each. Each law makes its own pagers and panics if the law is
//! broken.

mod bounds;
mod budget;
mod drafts;
mod family;
mod groups;
mod memory;
mod naive;
mod order;
mod refusals;
mod saved;
mod space;
mod stability;
mod vectors;
mod walk;

pub use bounds::{
    a_full_window_is_planned_down, a_larger_ratio_keeps_the_window, a_page_larger_than_the_window_is_refused,
    a_window_of_zero_is_invalid, chinese_is_counted, counts_are_not_too_low,
    nothing_unpinned_is_left_but_fits,
};
pub use budget::{
    find_changes_nothing, find_knows_what_was_swapped, find_names_the_best_first, find_stays_in_its_budget,
    find_without_a_match_is_empty,
};
pub use family::{Walked, every_promise_is_kept_at_random, random_walk};
pub use groups::{
    a_tool_call_leaves_and_returns_with_its_result, freeing_part_of_a_tool_call_frees_it,
    orphans_are_refused, parallel_tool_calls_are_one_group, what_follows_joins_until_it_is_shown,
};
pub use memory::{
    a_failed_change_changes_nothing, a_freed_page_is_not_found, a_missing_body_is_a_fault,
    a_page_is_readable_as_allocated, an_evicted_page_is_readable_again, another_space_s_page_is_not_found,
    numbers_are_not_used_again, pages_are_listed_in_order, text_is_not_empty,
};
pub use order::{
    a_newer_note_supersedes, a_pinned_page_stays, a_resident_page_is_recalled_in_place, a_swapped_page_waits,
    an_unchanged_window_is_stable, breakpoints_are_counted, documents_larger_than_the_window_leave_first,
    instructions_come_first, keeping_warm_changes_nothing_shown, new_pages_are_shown, notes_come_last,
    pinning_brings_back, recalled_pages_come_at_the_tail, rendering_only_appends, roles_alternate,
};
pub use refusals::{
    a_window_of_pinned_pages_takes_no_more, a_window_of_zero_does_not_load, bad_input_changes_nothing,
};
pub use saved::{
    a_fork_goes_its_own_way, a_restored_space_is_the_same, a_saved_space_is_the_same,
    hostile_bytes_are_refused, loading_needs_bodies, the_same_changes_give_the_same_state,
};
pub use space::Space;
pub use vectors::{
    a_page_is_found_by_what_it_is_about, a_vector_finds_what_words_do_not, a_vector_may_come_later,
    another_model_s_vector_changes_nothing, vectors_survive_saving_and_forking,
};

use crate::PagerFactory;

/// A law: panics if the factory's pagers break it.
pub type Law = fn(&dyn PagerFactory);

/// All laws by name.
pub const LAWS: &[(&str, Law)] = crate::pager_conformance!(@list @table);

/// Expands to a module with one test for each law of the [`crate::Pager`] contract.
///
/// ```
/// kernel_context::pager_conformance!(generational, kernel_context::Replacement::default());
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! pager_conformance {
    (@list $($then:tt)*) => {
        $crate::pager_conformance! { @with [
            a_failed_change_changes_nothing
            a_fork_goes_its_own_way
            a_freed_page_is_not_found
            a_full_window_is_planned_down
            a_larger_ratio_keeps_the_window
            a_missing_body_is_a_fault
            a_newer_note_supersedes
            a_page_is_found_by_what_it_is_about
            a_page_is_readable_as_allocated
            a_page_larger_than_the_window_is_refused
            a_pinned_page_stays
            a_resident_page_is_recalled_in_place
            a_restored_space_is_the_same
            a_saved_space_is_the_same
            a_swapped_page_waits
            a_tool_call_leaves_and_returns_with_its_result
            a_vector_finds_what_words_do_not
            a_vector_may_come_later
            a_window_of_pinned_pages_takes_no_more
            a_window_of_zero_does_not_load
            a_window_of_zero_is_invalid
            an_evicted_page_is_readable_again
            an_unchanged_window_is_stable
            another_model_s_vector_changes_nothing
            another_space_s_page_is_not_found
            bad_input_changes_nothing
            breakpoints_are_counted
            chinese_is_counted
            counts_are_not_too_low
            documents_larger_than_the_window_leave_first
            every_promise_is_kept_at_random
            find_changes_nothing
            find_knows_what_was_swapped
            find_names_the_best_first
            find_stays_in_its_budget
            find_without_a_match_is_empty
            freeing_part_of_a_tool_call_frees_it
            hostile_bytes_are_refused
            instructions_come_first
            keeping_warm_changes_nothing_shown
            loading_needs_bodies
            new_pages_are_shown
            notes_come_last
            nothing_unpinned_is_left_but_fits
            numbers_are_not_used_again
            orphans_are_refused
            pages_are_listed_in_order
            parallel_tool_calls_are_one_group
            pinning_brings_back
            recalled_pages_come_at_the_tail
            rendering_only_appends
            roles_alternate
            text_is_not_empty
            the_same_changes_give_the_same_state
            vectors_survive_saving_and_forking
            what_follows_joins_until_it_is_shown
        ] $($then)* }
    };
    (@with [$($law:ident)*] @table) => { &[$((stringify!($law), $law as Law)),*] };
    (@with [$($law:ident)*] @tests $factory:expr) => {
        $(#[test] fn $law() { $crate::conformance::$law(&$factory); })*
    };
    ($module:ident, $factory:expr) => {
        mod $module {
            #[allow(unused_imports, reason = "the factory's expression may name things of the parent or not")]
            use super::*;

            $crate::pager_conformance!(@list @tests $factory);
        }
    };
}
