//! Simulated models: [`Scripted`] answers from a list or a TOML file, [`FnCpu`] from a function.
//!
//! # The file
//! ```toml
//! exhausted = "error"            # or "last", or "loop": what follows the last reply
//! chunk = 12                     # characters a delta; 0, the default, sends a text in one
//! slots = 4
//!
//! [model]                        # all of it optional
//! name = "scripted"
//! window = 8192
//!
//! [[reply]]                      # the answer while the prompt holds no assistant message
//! text = "Let me look."
//! [[reply.tool]]
//! name = "read_file"
//! args = { path = "LICENSE" }
//!
//! [[reply]]                      # the answer once it holds one
//! text = "It is the MIT license."
//! delay_ms = 20
//!
//! [[reply]]                      # the answer to any prompt whose last message says so
//! when = "which year"
//! error = "overloaded"           # fails twice, then answers
//! times = 2
//! retry_after_ms = 50
//! text = "1988."
//! ```
//! Other faults: `hang = true` never answers, `panic = "words"` panics; `times` counts for them too, and is endless if
//! left out. `when_prompt` looks for its words in the whole prompt instead of the last message.
//!
//! # Which reply
//! The first whose `when` and `when_prompt` are both met; if none is, the n-th of the replies without conditions, n being
//! the number of assistant messages in the prompt. So a reply depends on the prompt alone: a run that was killed and
//! resumed goes on where it was. (Only the count behind `times` starts anew with the process.) Where assistant messages
//! may be evicted from the window, use conditions.

mod canned;
mod cpu;
mod fn_cpu;
mod script;
mod simulator;

pub use canned::{Canned, Fault};
pub use cpu::Scripted;
pub use fn_cpu::FnCpu;
pub use script::{Exhausted, Script, ScriptError, ScriptedReply};
