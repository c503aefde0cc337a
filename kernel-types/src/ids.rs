//! Identifiers. Each is a newtype, ordered and cheap to copy; none is ever reused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A process identifier: a UUIDv7, never reused. The nil value is `init`, the root of the process tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(u128);

impl Pid {
    /// The root of the process tree: adopts orphans, never runs.
    pub const INIT: Self = Self(0);

    /// Makes a pid from a Unix time in milliseconds and 74 random bits (the upper bits of `random` are ignored).
    #[must_use]
    pub fn from_parts(unix_ms: u64, random: u128) -> Self {
        let bytes = random.to_be_bytes();
        let mut tail = [0u8; 10];
        tail.copy_from_slice(&bytes[6..]);
        Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, &tail).into_uuid().as_u128())
    }

    /// Makes a fresh pid from the system's clock and randomness.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::now_v7().as_u128())
    }

    /// The 16 bytes of the identifier, most significant first.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The reverse of [`Pid::to_bytes`].
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pid({self})")
    }
}

impl FromStr for Pid {
    type Err = uuid::Error;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(s).map(|u| Self(u.as_u128()))
    }
}

impl Serialize for Pid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer
                .serialize_str(Uuid::from_u128(self.0).hyphenated().encode_lower(&mut Uuid::encode_buffer()))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Pid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            u128::deserialize(deserializer).map(Self)
        }
    }
}

/// A 32-byte BLAKE3 hash, written as lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash before the first record of a chain.
    pub const ZERO: Self = Self([0; 32]);

    /// Reads a hash from a slice of exactly 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex(&self.0, &mut [0; 64]))
    }
}

/// Writes bytes as hexadecimal digits. Hashes are in every journal record: the formatting machinery took a quarter of a step.
fn hex<'a>(bytes: &[u8; 32], digits: &'a mut [u8; 64]) -> &'a str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    std::str::from_utf8(digits).expect("digits are ASCII")
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Hash {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let invalid = || format!("not a 32-byte hexadecimal hash: {s:?}");
        if s.len() != 64 || !s.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        let mut out = [0u8; 32];
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&s[2 * i..2 * i + 2], 16).map_err(|_| invalid())?;
        }
        Ok(Self(out))
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(hex(&self.0, &mut [0; 64]))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

/// The address of a content-addressed body: the BLAKE3 hash of its bytes.
pub type BlobHash = Hash;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl $name {
            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }
    };
}

number!(
    /// A page's number within the address space of its process, from 1, never reused.
    PageNo(u64)
);
number!(
    /// An atomic group of pages (a tool call with its results), numbered within one address space.
    GroupId(u64)
);
number!(
    /// How many times a program was stepped; the first step is 1.
    StepNo(u64)
);
number!(
    /// The place of a call within its step, from 0.
    Seq(u32)
);
impl Seq {
    /// Set in the places of pings, which a step did not ask for: they keep its prompt's prefix warm while it waits.
    const PING: u32 = 1 << 31;

    /// The place of a ping, from 0.
    #[must_use]
    pub const fn ping(number: u32) -> Self {
        Self(Self::PING | number)
    }

    /// Whether it is the place of a ping.
    #[must_use]
    pub const fn is_ping(self) -> bool {
        self.0 & Self::PING != 0
    }
}

number!(
    /// A kernel's incarnation on a store. A write with an epoch below the one in the row is refused.
    Epoch(u64)
);

/// The idempotency key of one call: the same call issued again after a crash carries the same key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct CallKey {
    /// The calling process.
    pub pid: Pid,
    /// The step that made the call.
    pub step: StepNo,
    /// The place in that step.
    pub seq: Seq,
}

impl fmt::Display for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.pid, self.step, self.seq)
    }
}

impl FromStr for CallKey {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let invalid = || format!("not a call key (pid/step/seq): {s:?}");
        let mut parts = s.split('/');
        let mut part = || parts.next().ok_or_else(invalid);
        let pid = part()?.parse().map_err(|_| invalid())?;
        let step = part()?.parse().map(StepNo).map_err(|_| invalid())?;
        let seq = part()?.parse().map(Seq).map_err(|_| invalid())?;
        if parts.next().is_some() {
            return Err(invalid());
        }
        Ok(Self { pid, step, seq })
    }
}

/// The identity of one piece of mail: posting it twice delivers it once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct MailId {
    /// Who posted: a process, or a fresh pid for a sender outside the kernel.
    pub sender: Pid,
    /// Rises with each piece of mail of this sender.
    pub number: u64,
}

impl fmt::Display for MailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.sender, self.number)
    }
}
