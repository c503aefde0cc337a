//! The programs that ship: `react` (import, recall, think, call tools, repeat, answer) and `script` (calls listed in data).

mod react;
mod script;

pub(crate) use react::RECALL_TOOL;
pub use react::ReactFactory;
pub use script::{OnError, Script, ScriptFactory, ScriptStep};
