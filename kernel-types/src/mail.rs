//! Mail: how processes and people outside the kernel reach a process. It lies in the store until it is consumed.

use serde::{Deserialize, Serialize};

use crate::{Budget, ExitStatus, MailId, PastMoment, Pid, Priority, Signal, Timestamp};

/// One piece of mail.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mail {
    /// Its identity; posting the same id twice delivers once.
    pub id: MailId,
    /// To whom.
    pub to: Pid,
    /// What.
    pub body: MailBody,
    /// When it was posted.
    pub sent_at: Timestamp,
}

/// What a piece of mail says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MailBody {
    /// A message, taken by `receive`.
    Message(String),
    /// A signal, acted on by the kernel.
    Signal(Signal),
    /// A child ended; kept until `wait` reaps it.
    ChildExit {
        /// The child.
        pid: Pid,
        /// How it ended.
        status: ExitStatus,
        /// What the child left of the limits taken out of its parent's.
        refund: Budget,
    },
    /// Larger limits from outside: each `Some` is added to the limit of that name.
    Grant(Budget),
    /// Another urgency, set from outside or by the process or one above it.
    Priority(Priority),
    /// A name for a moment of the process, given from outside.
    Checkpoint {
        /// The name.
        name: String,
        /// The moment.
        at: PastMoment,
    },
    /// A message to all that subscribe to a topic, taken by `receive`.
    Published {
        /// The topic.
        topic: String,
        /// The message.
        body: String,
    },
}

impl MailBody {
    /// It is for the program, which takes it by `receive`; the kernel acts on all other mail itself.
    #[must_use]
    pub const fn is_message(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Published { .. })
    }
}
