//! The laws of the [`Cpu`] contract as tests that any implementation can run.
//!
//! ```ignore
//! async fn mine() -> Subject<MyCpu> {
//!     Subject::new(MyCpu::new())
//! }
//!
//! kernel_llm::cpu_conformance!(my_cpu, mine());
//! ```
//! expands to one test per law. Each law gets a fresh subject. Prompts are short and ask for few tokens, so that a small
//! model on a busy machine passes in seconds. What is not checked here, because it cannot be seen from this side of the
//! trait, is the form on the wire.

mod answers;
mod embedders;
mod prompts;
mod refusals;
mod streams;
mod watch;

use std::any::Any;
use std::fmt;
use std::time::Duration;

pub use answers::{
    a_repeated_prompt_is_read_from_the_cache, every_message_counts, max_output_is_respected,
    prompts_with_all_roles_and_parts_are_taken, tool_calls_have_unique_ids_and_object_arguments,
    usage_is_reported,
};
pub use embedders::embedders_keep_their_contract;
pub use prompts::{TOOL_NAME, TOOL_WORDS};
pub use refusals::{
    a_refused_call_harms_no_other, errors_and_answers_hold_no_key, health_says_it_works,
    models_and_slots_are_sane, unknown_models_are_refused,
};
pub use streams::{
    a_dropped_call_leaves_the_cpu_working, deltas_join_to_the_text, parallel_calls_do_not_mix,
};
pub use watch::Watch;

use crate::Cpu;

/// A Cpu under test and what may be asked of it.
pub struct Subject<C> {
    /// The Cpu.
    pub cpu: C,
    /// The model calls [`TOOL_NAME`] when told so by [`TOOL_WORDS`]. Without, laws about tool calls ask nothing.
    pub calls_tools: bool,
    /// A secret that must not show.
    pub secret: Option<String>,
    /// How long one call may take.
    pub patience: Duration,
    /// Kept until the law has ended: the server behind the Cpu, for example.
    pub guard: Option<Box<dyn Any + Send + Sync>>,
}

impl<C: Cpu> Subject<C> {
    /// A Cpu whose model calls no tools, with no secret, given a minute a call.
    pub fn new(cpu: C) -> Self {
        Self { cpu, calls_tools: false, secret: None, patience: Duration::from_secs(60), guard: None }
    }
}

impl<C> fmt::Debug for Subject<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("calls_tools", &self.calls_tools).finish_non_exhaustive()
    }
}

/// Expands to a module of one test per law; the second argument is a future that makes a [`Subject`].
#[macro_export]
macro_rules! cpu_conformance {
    ($name:ident, $make:expr) => {
        $crate::cpu_conformance!(@laws $name, $make,
            models_and_slots_are_sane,
            health_says_it_works,
            deltas_join_to_the_text,
            usage_is_reported,
            max_output_is_respected,
            every_message_counts,
            prompts_with_all_roles_and_parts_are_taken,
            tool_calls_have_unique_ids_and_object_arguments,
            a_repeated_prompt_is_read_from_the_cache,
            unknown_models_are_refused,
            a_refused_call_harms_no_other,
            errors_and_answers_hold_no_key,
            a_dropped_call_leaves_the_cpu_working,
            parallel_calls_do_not_mix,
        );
    };
    (@laws $name:ident, $make:expr, $($law:ident,)*) => {
        mod $name {
            #[allow(unused_imports, reason = "the expression may name nothing of the module around it")]
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $law() {
                    let subject = $make.await;
                    $crate::conformance::$law(&subject).await;
                }
            )*
        }
    };
}
