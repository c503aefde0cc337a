//! The syscall table: every number, once. Numbers are never reused.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The version of the table: the major part changes when a number changes its meaning, which never happened.
pub const ABI_VERSION: u32 = 1;

/// How a call is carried out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Run inline, with no commit of its own.
    Local,
    /// Takes effect with a commit.
    Store,
    /// A device call: started after its intent is durable.
    Device,
}

/// What becomes of a call that was in flight when the kernel stopped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// Issued again: it has no effect outside.
    Reread,
    /// Issued again with the same idempotency key: the other side does the work once.
    Keyed,
    /// Never issued again: answered `Interrupted`.
    Unsafe,
}

macro_rules! table {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $class:ident, $recovery:ident;)*) => {
        /// The number of a syscall.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum SyscallNo {
            $($(#[$doc])* $variant = $number,)*
        }

        impl SyscallNo {
            /// All calls, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The number.
            #[must_use]
            pub const fn number(self) -> u16 {
                self as u16
            }

            /// The name, as in journals and capabilities.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// How it is carried out.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class),* }
            }

            /// What becomes of it after a crash. For `tool_call` the tool's own recovery counts instead.
            #[must_use]
            pub const fn recovery(self) -> Recovery {
                match self { $(Self::$variant => Recovery::$recovery),* }
            }
        }
    };
}

table! {
    /// ABI version and the calls present.
    Probe = 0, "probe", Local, Reread;
    /// Start a child process.
    Spawn = 1, "spawn", Store, Keyed;
    /// Start a child process that shares this one's pages.
    Fork = 2, "fork", Store, Keyed;
    /// End this process.
    Exit = 3, "exit", Store, Keyed;
    /// Wait for a child to end and reap it.
    Wait = 4, "wait", Store, Reread;
    /// Post a signal to a process.
    Signal = 5, "signal", Store, Keyed;
    /// Do nothing for a while.
    Sleep = 6, "sleep", Store, Reread;
    /// Change a priority.
    SetPriority = 7, "set_priority", Store, Keyed;
    /// State, usage and limits of a process.
    ProcessInfo = 8, "process_info", Local, Reread;
    /// The processes of this kernel.
    List = 9, "list", Local, Reread;
    /// Allocate pages, one batch being one group.
    PageAlloc = 20, "page_alloc", Local, Reread;
    /// Read a page, resident or not.
    PageRead = 21, "page_read", Local, Reread;
    /// Keep a page in the window.
    PagePin = 22, "page_pin", Local, Reread;
    /// Let a page leave the window again.
    PageUnpin = 23, "page_unpin", Local, Reread;
    /// Forget a page.
    PageFree = 24, "page_free", Local, Reread;
    /// Bring pages back into the window, by number or by query.
    Recall = 25, "recall", Local, Reread;
    /// State a fact that replaces the earlier one of the same name.
    Note = 26, "note", Local, Reread;
    /// Ask the model to continue the window.
    Infer = 40, "infer", Device, Keyed;
    /// The tools this process may call.
    ToolList = 50, "tool_list", Local, Reread;
    /// Call a tool.
    ToolCall = 51, "tool_call", Device, Unsafe;
    /// Send a message to a process.
    Send = 60, "send", Store, Keyed;
    /// Take the next message.
    Receive = 61, "receive", Store, Reread;
    /// Send to a topic.
    Publish = 62, "publish", Store, Keyed;
    /// Receive what is sent to a topic.
    Subscribe = 63, "subscribe", Store, Keyed;
    /// Take a named lock.
    Lock = 64, "lock", Store, Keyed;
    /// Give a named lock back.
    Unlock = 65, "unlock", Store, Keyed;
    /// Keep the present state under a name.
    Checkpoint = 80, "checkpoint", Store, Keyed;
    /// Go back to a kept state.
    Restore = 81, "restore", Store, Keyed;
    /// Keep a text in long-term memory.
    Remember = 82, "remember", Store, Keyed;
    /// Search long-term memory.
    Search = 83, "search", Store, Reread;
    /// Keep a named value.
    Put = 84, "put", Local, Reread;
    /// Read a named value.
    Get = 85, "get", Local, Reread;
    /// The time.
    Now = 100, "now", Local, Reread;
    /// A random number.
    Random = 101, "random", Local, Reread;
    /// Ask a human.
    Ask = 102, "ask", Device, Keyed;
}

impl fmt::Display for SyscallNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
