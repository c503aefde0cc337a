//! The mediation suite: laws that every assembled kernel keeps, whatever parts it was assembled from.
//!
//! Every call of a program passes the gate, is recorded once as an intent with the gate's decision and once as an
//! outcome, and has an effect only if it was allowed; and every call ends, whatever a driver, a model or a program does.
//! The suite takes the builder of an embedder's kernel, adds its own programs, tools and model beside the parts under
//! test (it replaces none, but limits, policy and sandbox in the laws that say so), and looks at the things themselves:
//! pages, values, mail, children, calls that arrived at a tool or a model.
//!
//! A syscall that a kernel carries out and that the suite has no sample of fails it, so that none can be forgotten.
//!
//! ```
//! use kernel::KernelBuilder;
//! use kernel_storage::MemoryStore;
//!
//! kernel::mediation_suite!(in_memory, async |builder: KernelBuilder| builder.store(MemoryStore::new()));
//! # fn main() {}
//! ```

mod devices;
mod hostile;
mod journal;
mod probe;
mod programs;
mod quotas;
mod refusals;
mod rig;
mod sample;
mod sandbox;

use crate::KernelBuilder;

pub use devices::*;
pub use journal::{Entry, check_store, entries};
pub use programs::*;
pub use quotas::*;
pub use refusals::*;
pub use sandbox::*;

/// Adds the parts under test to a builder: called once for each kernel of a law, with an empty store each time.
///
/// Implemented by async closures from [`KernelBuilder`] to [`KernelBuilder`].
pub trait Assemble: AsyncFn(KernelBuilder) -> KernelBuilder {}

impl<F: AsyncFn(KernelBuilder) -> KernelBuilder> Assemble for F {}

/// Expands to a module `$name` with one test per law. `$make` is an [`Assemble`], evaluated anew for each of them: an
/// async closure that takes a builder and gives it back with the parts under test.
///
/// [`Assemble`]: crate::mediation::Assemble
#[macro_export]
macro_rules! mediation_suite {
    ($name:ident, $make:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "for the expression that assembles")]
            use super::*;
            $crate::__mediation_laws!($crate::__mediation_tests, ($make));
        }
    };
}

/// The names of all laws, once: handed to the macro named by the caller.
#[doc(hidden)]
#[macro_export]
macro_rules! __mediation_laws {
    ($callback:path, $($argument:tt)*) => {
        $callback! {
            [
                allowed_calls_happen_once
                denied_calls_have_no_effect
                calls_denied_by_policy_have_no_effect
                calls_that_need_approval_have_no_effect
                calls_not_built_are_unsupported
                overdrawn_calls_wait_for_a_grant
                a_spent_step_budget_stops_every_call
                a_tool_that_fails_is_answered_once
                a_tool_that_panics_is_answered_once
                a_tool_that_panics_later_is_answered_once
                a_tool_that_hangs_is_answered_once
                a_tool_that_blocks_is_answered_once
                a_tool_that_blocks_later_is_answered_once
                a_tool_that_is_cancelled_is_answered_once
                a_model_that_fails_is_answered_once
                a_model_that_panics_is_answered_once
                a_model_that_panics_later_is_answered_once
                a_model_that_hangs_is_answered_once
                a_model_that_blocks_is_answered_once
                a_model_that_blocks_later_is_answered_once
                a_model_that_is_cancelled_is_answered_once
                a_program_that_loops_is_stopped
                a_program_that_panics_is_stopped
                a_program_that_does_not_save_is_stopped
                a_step_without_calls_is_a_fault
                a_step_with_too_many_calls_is_a_fault
                a_denied_tool_does_not_reach_the_sandbox
                a_sandbox_that_refuses_runs_nothing
                an_allowed_tool_runs_its_program_once
            ]
            $($argument)*
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __mediation_tests {
    ([$($law:ident)*] $make:tt) => {
        $($crate::__mediation_test!($law $make);)*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __mediation_test {
    ($law:ident ($make:expr)) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $law() {
            $crate::mediation::$law(&$make).await;
        }
    };
}
