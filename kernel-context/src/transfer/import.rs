//! Reading a space back.

use std::io::BufRead;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel_types::{CacheModel, hash_bytes};
use serde::de::DeserializeOwned;

use super::{FORMAT, First, Last, Line, SpaceHeader, TransferError, VERSION};
use crate::{MemorySwap, PageStatus, Pager, PagerConfig, PagerError, PagerFactory};

/// A space that is being read: first what it was made with, then the rest.
pub struct Import<R> {
    lines: Lines<R>,
    header: SpaceHeader,
    pages: u64,
}

/// A space that was read.
pub struct Imported {
    /// The space.
    pub pager: Box<dyn Pager>,
    /// What it was made with.
    pub header: SpaceHeader,
    /// Its saved state in base64, for [`Change::Restore`](crate::Change::Restore).
    pub state: String,
}

impl<R: BufRead> Import<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// [`TransferError`]: it is not that of a space, or of a version that this build does not read.
    pub fn open(reader: R) -> Result<Self, TransferError> {
        let mut lines = Lines { reader, line: Vec::new(), number: 0 };
        lines.advance()?;
        let value: serde_json::Value = lines.parse()?;
        if value.get("format").and_then(serde_json::Value::as_str) != Some(FORMAT) {
            return Err(TransferError::Format);
        }
        let version = value.get("version").and_then(serde_json::Value::as_u64).unwrap_or_default();
        if version != u64::from(VERSION) {
            return Err(TransferError::Version { found: u32::try_from(version).unwrap_or(u32::MAX) });
        }
        let First { model, window, policy, pages, .. } = lines.parse()?;
        Ok(Self { lines, header: SpaceHeader { model, window, policy }, pages })
    }

    /// What the space was made with.
    #[must_use]
    pub const fn header(&self) -> &SpaceHeader {
        &self.header
    }

    /// Reads the rest: texts go to `swap`, the space is loaded for a provider's cache like `cache`. It is the same as the one
    /// exported: saved and rendered to the same bytes.
    ///
    /// # Errors
    /// [`TransferError`] names the line.
    pub fn read(
        self,
        factory: &dyn PagerFactory,
        cache: CacheModel,
        swap: &mut MemorySwap,
    ) -> Result<Imported, TransferError> {
        let Self { mut lines, header, pages: expected } = self;
        if header.policy != factory.name() {
            let expected = factory.name().to_owned();
            return Err(TransferError::Policy { found: header.policy, expected });
        }
        let mut pages: Vec<PageStatus> = Vec::new();
        let state = loop {
            lines.advance()?;
            if lines.is_last() {
                break lines.parse::<Last>()?.state;
            }
            let (status, text) = lines.parse::<Line>()?.parts();
            let (line, page) = (lines.number, status.page);
            if hash_bytes(text.as_bytes()) != status.body {
                return Err(TransferError::Text { line, page });
            }
            if pages.last().is_some_and(|before| before.page >= page) {
                return Err(TransferError::Contradiction { line, page });
            }
            swap.insert(text);
            pages.push(status);
        };
        let line = lines.number;
        lines.end()?;
        let found = pages.len() as u64;
        if found != expected {
            return Err(TransferError::Missing { line, found, expected });
        }
        let broken = |error| TransferError::State { line, error };
        let corrupt = |reason: &str| broken(PagerError::Corrupt(reason.to_owned()));
        let bytes = STANDARD.decode(&state).map_err(|error| corrupt(&error.to_string()))?;
        let config =
            PagerConfig { model: header.model.clone(), window: header.window, cache, keep_warm: false };
        let pager = factory.load(&config, &bytes, swap).map_err(broken)?;
        let loaded = pager.pages();
        for (at, status) in pages.iter().enumerate() {
            if loaded.get(at) != Some(status) {
                return Err(TransferError::Contradiction { line: at as u64 + 2, page: status.page });
            }
        }
        if loaded.len() != pages.len() {
            return Err(TransferError::Missing { line, found, expected: loaded.len() as u64 });
        }
        if pager.save().map_err(broken)? != bytes {
            return Err(corrupt("it is not what this build saves"));
        }
        Ok(Imported { pager, header, state })
    }
}

/// The lines of a file, one at a time.
struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    /// From 1.
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// The next line; there must be one.
    fn advance(&mut self) -> Result<(), TransferError> {
        self.line.clear();
        self.number += 1;
        match self.reader.read_until(b'\n', &mut self.line)? {
            0 => Err(TransferError::CutOff { line: self.number }),
            _ => Ok(()),
        }
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<T, TransferError> {
        let line = self.number;
        serde_json::from_slice(&self.line).map_err(|error| {
            if error.is_eof() && !self.line.ends_with(b"\n") {
                return TransferError::CutOff { line };
            }
            TransferError::Malformed { line, reason: error.to_string() }
        })
    }

    /// Whether this is the line of the state.
    fn is_last(&self) -> bool {
        let inner = self.line.trim_ascii_start().strip_prefix(b"{").unwrap_or_default();
        inner.trim_ascii_start().starts_with(b"\"state\"")
    }

    /// Nothing may follow but empty lines.
    fn end(&mut self) -> Result<(), TransferError> {
        loop {
            match self.advance() {
                Err(TransferError::CutOff { .. }) => return Ok(()),
                Ok(()) if self.line.trim_ascii().is_empty() => {}
                Ok(()) => return Err(TransferError::Trailing { line: self.number }),
                Err(error) => return Err(error),
            }
        }
    }
}
