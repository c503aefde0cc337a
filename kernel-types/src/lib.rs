//! Plain data shared by the crates of Agent OS Kernel.
//!
//! Ids, quantities with units, the syscall table with its argument and answer types, journal events,
//! errors, the state codec, the canonical hash frame and the model catalogue. Nothing here awaits,
//! reads a clock, or touches a file: a type enters this crate when two other crates need it.
//!
//! ```
//! use kernel_types::{Call, Class, Priority, SyscallNo};
//!
//! let call = Call::Now;
//! assert_eq!(call.number(), SyscallNo::Now);
//! assert_eq!(call.number().class(), Class::Local);
//! assert!(Priority::new(20).is_some_and(|p| p < Priority::default()));
//! ```

mod answer;
mod cache;
mod capability;
mod catalogue;
mod codec;
mod error;
mod event;
mod frame;
mod ids;
mod json;
mod mail;
mod page;
mod process;
mod prompt;
mod quantity;
mod rate;
mod record;
mod syscall;
mod table;
mod tool;

pub use answer::{Answer, CallResult, Inference, Memory, Recalled, Reply};
pub use cache::{CacheModel, LongCache};
pub use capability::{Capabilities, Effect, ToolGrant};
pub use catalogue::{Catalogue, CatalogueError, ModelInfo, Pricing};
pub use codec::{CodecError, decode, encode};
pub use error::{Blame, ErrorKind, Retry, SysError};
pub use event::{Decision, Event, EventKind, PageView, PastMoment, Reservation, WaitCause, Waited};
pub use frame::{Digest, Frame, hash_bytes};
pub use ids::{BlobHash, CallKey, Epoch, GroupId, Hash, MailId, PageNo, Pid, Seq, StepNo};
pub use json::JsonText;
pub use mail::{Mail, MailBody};
pub use page::{NewPage, Origin, PageBody, PageContent, PageKind};
pub use process::{
    Budget, ExitStatus, LimitName, ProcessInfo, ProcessState, Signal, Spec, SuspendReason, Usage, WaitReason,
};
pub use prompt::{Message, Part, Prompt, Retention, Role, TokenUsage};
pub use quantity::{Importance, MicroUsd, Millis, Priority, Timestamp, Tokens};
pub use rate::{RateLimit, RateUnit};
pub use record::{AgentRow, Record};
pub use syscall::{
    Call, InferArgs, MemoryQuery, RecallArgs, RecallQuery, ReceiveArgs, RememberArgs, SendArgs, ToolCallArgs,
    ToolMode, WaitArgs,
};
pub use table::{ABI_VERSION, Class, Recovery, SyscallNo};
pub use tool::{ToolCallRequest, ToolResult, ToolSpec};
