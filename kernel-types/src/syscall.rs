//! The calls a program makes: plain data.

use serde::{Deserialize, Serialize};

use crate::{
    ExitStatus, Importance, JsonText, Millis, NewPage, PageNo, Pid, Priority, Signal, Spec, SyscallNo,
    Timestamp, Tokens,
};

/// One syscall with its arguments.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Call {
    /// ABI version and the calls present.
    Probe,
    /// Start a child process; answers its pid.
    Spawn(Box<Spec>),
    /// Start a child that shares this process's pages.
    Fork,
    /// End this process.
    Exit(ExitStatus),
    /// Wait for a child to end; answers and reaps it.
    Wait(WaitArgs),
    /// Post a signal.
    Signal {
        /// To whom.
        pid: Pid,
        /// Which.
        signal: Signal,
    },
    /// Do nothing for a while.
    Sleep {
        /// How long.
        ms: Millis,
    },
    /// Change a priority.
    SetPriority {
        /// Whose.
        pid: Pid,
        /// To what.
        priority: Priority,
    },
    /// State, usage and limits of a process; of the caller without a pid.
    ProcessInfo {
        /// Whose.
        #[serde(default)]
        pid: Option<Pid>,
    },
    /// The processes the caller may see: itself, its ancestors and descendants.
    List,
    /// Allocate pages; one batch is one group.
    PageAlloc {
        /// At least one.
        pages: Vec<NewPage>,
    },
    /// Read a page, resident or not.
    PageRead {
        /// Which.
        page: PageNo,
    },
    /// Keep a page in the window.
    PagePin {
        /// Which.
        page: PageNo,
    },
    /// Let a page leave the window again.
    PageUnpin {
        /// Which.
        page: PageNo,
    },
    /// Forget a page.
    PageFree {
        /// Which.
        page: PageNo,
    },
    /// Bring pages back into the window.
    Recall(RecallArgs),
    /// State a fact that replaces the earlier one of the same name.
    Note {
        /// What about.
        name: String,
        /// The fact.
        text: String,
    },
    /// Ask the model to continue the window.
    Infer(InferArgs),
    /// The tools this process may call.
    ToolList,
    /// Call a tool.
    ToolCall(ToolCallArgs),
    /// Send a message.
    Send(SendArgs),
    /// Take the next message.
    Receive(ReceiveArgs),
    /// Send to a topic.
    Publish {
        /// The topic.
        topic: String,
        /// The message.
        body: String,
    },
    /// Receive what is sent to a topic.
    Subscribe {
        /// The topic.
        topic: String,
    },
    /// Take a named lock.
    Lock {
        /// The lock.
        name: String,
        /// Give up after.
        timeout: Millis,
    },
    /// Give a named lock back.
    Unlock {
        /// The lock.
        name: String,
    },
    /// Keep the present state under a name.
    Checkpoint {
        /// The name.
        name: String,
    },
    /// Go back to a kept state.
    Restore {
        /// The name.
        name: String,
    },
    /// Keep a text in long-term memory.
    Remember(RememberArgs),
    /// Search long-term memory.
    Search(MemoryQuery),
    /// Keep a named value of this process.
    Put {
        /// At most 256 bytes.
        name: String,
        /// At most 1 MB; `None` deletes.
        value: Option<String>,
    },
    /// Read a named value of this process.
    Get {
        /// The name.
        name: String,
    },
    /// The time.
    Now,
    /// A random number.
    Random,
    /// Ask a human.
    Ask {
        /// The question.
        question: String,
        /// Denied after.
        timeout: Millis,
    },
}

/// Arguments of `wait`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct WaitArgs {
    /// Which child; any without.
    #[serde(default)]
    pub pid: Option<Pid>,
    /// Give up after; never without.
    #[serde(default)]
    pub timeout: Option<Millis>,
}

/// Arguments of `recall`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecallArgs {
    /// What to bring back.
    pub what: RecallQuery,
    /// At most this many tokens of pages.
    pub budget: Tokens,
}

/// What to recall.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecallQuery {
    /// The pages that fit a query best.
    Query(String),
    /// These pages.
    Pages(Vec<PageNo>),
}

/// How a model is told of tools.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolMode {
    /// Not at all.
    None,
    /// Through the provider's own tool interface.
    #[default]
    Native,
}

/// Arguments of `infer`. The prompt is not among them: the kernel renders it from the caller's window.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InferArgs {
    /// Which model; the kernel's default without.
    #[serde(default)]
    pub model: Option<String>,
    /// At most this many output tokens.
    pub max_output: Tokens,
    /// Sampling temperature in thousandths; the provider's default without.
    #[serde(default)]
    pub temperature: Option<u32>,
    /// How the model is told of tools.
    #[serde(default)]
    pub tools: ToolMode,
    /// Tools that the process may call but the model is not told of.
    #[serde(default)]
    pub without: Vec<String>,
}

impl Default for InferArgs {
    fn default() -> Self {
        Self {
            model: None,
            max_output: Tokens(512),
            temperature: None,
            tools: ToolMode::Native,
            without: Vec::new(),
        }
    }
}

/// Arguments of `tool_call`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ToolCallArgs {
    /// The tool.
    pub tool: String,
    /// Its arguments, an object.
    #[serde(default)]
    pub args: JsonText,
    /// Less than the tool's own timeout.
    #[serde(default)]
    pub timeout: Option<Millis>,
}

/// Arguments of `send`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SendArgs {
    /// To whom.
    pub to: Pid,
    /// At most 256 kB.
    pub body: String,
}

/// Arguments of `receive`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ReceiveArgs {
    /// Only from this sender.
    #[serde(default)]
    pub from: Option<Pid>,
    /// Give up after; never without, at once with zero.
    #[serde(default)]
    pub timeout: Option<Millis>,
}

/// Arguments of `remember`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RememberArgs {
    /// Where: a name that the processes of a tenant share, or `self`, or `self/` and a name, for the caller alone. At most 256 bytes.
    pub namespace: String,
    /// What, at most 256 kB.
    pub text: String,
    /// How much it matters.
    #[serde(default)]
    pub importance: Importance,
    /// What searches can ask about: an object of texts, numbers, true and false, with at most 32 fields.
    #[serde(default)]
    pub metadata: JsonText,
}

/// Arguments of `search`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MemoryQuery {
    /// Where, as for `remember`.
    pub namespace: String,
    /// What.
    pub text: String,
    /// At most this many, 1 to 100. Fewer are found where their texts exceed 1 MB.
    pub limit: u32,
    /// Only what was kept after.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Only what matters at least this much.
    #[serde(default)]
    pub importance: Option<Importance>,
    /// Only what has such metadata: for each field named here a value, a list of values of which it has one, or a range,
    /// `{"min": .., "max": ..}`, both ends included and each optional.
    #[serde(default)]
    pub filter: JsonText,
}

impl Call {
    /// The call's number.
    #[must_use]
    pub const fn number(&self) -> SyscallNo {
        match self {
            Self::Probe => SyscallNo::Probe,
            Self::Spawn(_) => SyscallNo::Spawn,
            Self::Fork => SyscallNo::Fork,
            Self::Exit(_) => SyscallNo::Exit,
            Self::Wait(_) => SyscallNo::Wait,
            Self::Signal { .. } => SyscallNo::Signal,
            Self::Sleep { .. } => SyscallNo::Sleep,
            Self::SetPriority { .. } => SyscallNo::SetPriority,
            Self::ProcessInfo { .. } => SyscallNo::ProcessInfo,
            Self::List => SyscallNo::List,
            Self::PageAlloc { .. } => SyscallNo::PageAlloc,
            Self::PageRead { .. } => SyscallNo::PageRead,
            Self::PagePin { .. } => SyscallNo::PagePin,
            Self::PageUnpin { .. } => SyscallNo::PageUnpin,
            Self::PageFree { .. } => SyscallNo::PageFree,
            Self::Recall(_) => SyscallNo::Recall,
            Self::Note { .. } => SyscallNo::Note,
            Self::Infer(_) => SyscallNo::Infer,
            Self::ToolList => SyscallNo::ToolList,
            Self::ToolCall(_) => SyscallNo::ToolCall,
            Self::Send(_) => SyscallNo::Send,
            Self::Receive(_) => SyscallNo::Receive,
            Self::Publish { .. } => SyscallNo::Publish,
            Self::Subscribe { .. } => SyscallNo::Subscribe,
            Self::Lock { .. } => SyscallNo::Lock,
            Self::Unlock { .. } => SyscallNo::Unlock,
            Self::Checkpoint { .. } => SyscallNo::Checkpoint,
            Self::Restore { .. } => SyscallNo::Restore,
            Self::Remember(_) => SyscallNo::Remember,
            Self::Search(_) => SyscallNo::Search,
            Self::Put { .. } => SyscallNo::Put,
            Self::Get { .. } => SyscallNo::Get,
            Self::Now => SyscallNo::Now,
            Self::Random => SyscallNo::Random,
            Self::Ask { .. } => SyscallNo::Ask,
        }
    }
}
