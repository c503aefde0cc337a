//! What a call answers: plain data.

use serde::{Deserialize, Serialize};

use crate::{
    CallKey, ExitStatus, Importance, JsonText, Mail, PageContent, PageNo, Part, Pid, ProcessInfo, StepNo,
    SysError, SyscallNo, Timestamp, TokenUsage, Tokens, ToolResult, ToolSpec,
};

/// The end of a call: an answer or an error, exactly one.
pub type CallResult = Result<Answer, SysError>;

/// The answer to one call of a step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The call answered.
    pub key: CallKey,
    /// How it ended.
    pub result: CallResult,
}

/// The success half of a reply.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answer {
    /// Done, nothing to say.
    Done,
    /// Of `probe`.
    Probe {
        /// Version of the syscall table.
        abi: u32,
        /// The calls this kernel carries out.
        calls: Vec<SyscallNo>,
    },
    /// Of `spawn`.
    Pid(Pid),
    /// Of `wait`.
    Exited {
        /// The child.
        pid: Pid,
        /// How it ended.
        status: ExitStatus,
    },
    /// Of `page_alloc` and `note`: the numbers given, in the order of the pages.
    Pages(Vec<PageNo>),
    /// Of `page_read`.
    Page(PageContent),
    /// Of `recall`: best first.
    Recalled(Vec<Recalled>),
    /// Of `infer`.
    Inference(Inference),
    /// Of `tool_list`.
    Tools(Vec<ToolSpec>),
    /// Of `tool_call`.
    Tool(ToolResult),
    /// Of `receive`.
    Message(Mail),
    /// Of `get`.
    Value(Option<String>),
    /// Of `now`.
    Time(Timestamp),
    /// Of `random`.
    Random(u64),
    /// Of `process_info`.
    Process(ProcessInfo),
    /// Of `list`.
    Processes(Vec<ProcessInfo>),
    /// Of `fork`, to the one that is new; the one that forked gets [`Answer::Pid`].
    Forked {
        /// The process it is a fork of.
        from: Pid,
    },
    /// Of `checkpoint`, once more: the process went back to it.
    Restored {
        /// The step that was the last before.
        from: StepNo,
    },
    /// Of `remember`.
    Remembered {
        /// What names it in its namespace.
        id: String,
    },
    /// Of `search`: best first.
    Memories(Vec<Memory>),
}

/// What `search` found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Memory {
    /// What names it in its namespace.
    pub id: String,
    /// Who remembered it.
    pub by: Pid,
    /// When.
    pub at: Timestamp,
    /// How much it matters.
    pub importance: Importance,
    /// The text.
    pub text: String,
    /// Its metadata.
    pub metadata: JsonText,
    /// What the found are ordered by, in millionths, the highest first: BM25 by words alone, the cosine by vectors alone,
    /// reciprocal rank fusion by both.
    pub score: i64,
}

/// A page that `recall` brought back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recalled {
    /// The page.
    pub page: PageNo,
    /// Its size.
    pub tokens: Tokens,
    /// How well it fits the query, in millionths of the best hit's score; 0 for recalls by number.
    pub score: u32,
    /// It was in the window already.
    pub was_resident: bool,
}

/// What a model answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Inference {
    /// The model that answered.
    pub model: String,
    /// Text, then tool calls.
    pub parts: Vec<Part>,
    /// Why it stopped: `stop`, `length`, `tool_calls`, or the provider's own word.
    pub finish: String,
    /// Tokens used.
    pub usage: TokenUsage,
}

impl Inference {
    /// All text, joined.
    #[must_use]
    pub fn text(&self) -> String {
        self.parts
            .iter()
            .filter_map(|part| if let Part::Text(text) = part { Some(&**text) } else { None })
            .collect()
    }

    /// The tool calls: id, name, arguments.
    pub fn tool_calls(&self) -> impl Iterator<Item = (&str, &str, &JsonText)> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolCall { id, name, args } => Some((id.as_str(), name.as_str(), args)),
            _ => None,
        })
    }
}
