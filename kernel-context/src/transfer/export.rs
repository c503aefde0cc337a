//! Writing a space.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::{FORMAT, First, Last, Line, SpaceHeader, TransferError, VERSION};
use crate::{Pager, PagerError, Swap};

/// Writes a space to `out`, a line at a time. The same space gives the same bytes.
///
/// # Errors
/// [`TransferError::Io`]; [`TransferError::State`] with a fault if a page's body is not in memory.
pub fn export(
    pager: &dyn Pager,
    header: &SpaceHeader,
    swap: &dyn Swap,
    out: &mut dyn Write,
) -> Result<(), TransferError> {
    let unreadable = |error: PagerError| TransferError::State { line: 0, error };
    let pages = pager.pages();
    let SpaceHeader { model, window, policy } = header.clone();
    let first = First {
        format: FORMAT.to_owned(),
        version: VERSION,
        model,
        window,
        policy,
        pages: pages.len() as u64,
    };
    write(out, &first)?;
    for status in pages {
        let body = swap.body(&status.body);
        let text = body.ok_or_else(|| unreadable(PagerError::Fault(vec![status.body])))?;
        write(out, &Line::new(status, text))?;
    }
    let state = STANDARD.encode(pager.save().map_err(unreadable)?);
    write(out, &Last { state })?;
    Ok(out.flush()?)
}

fn write(out: &mut dyn Write, line: &impl Serialize) -> Result<(), TransferError> {
    serde_json::to_writer(&mut *out, line).map_err(std::io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}
