//! The saved form of a page table.

use kernel_types::{decode, encode};

use crate::PagerError;
use crate::table::Table;

const KIND: u8 = b'P';
const VERSION: u16 = 1;

pub(crate) fn save(table: &Table) -> Result<Vec<u8>, PagerError> {
    encode(KIND, VERSION, table).map_err(|e| PagerError::Corrupt(e.to_string()))
}

/// A table that [`save`] wrote and whose numbers lead where they say.
pub(crate) fn load(bytes: &[u8]) -> Result<Table, PagerError> {
    let table: Table = decode(KIND, VERSION, bytes).map_err(|e| PagerError::Corrupt(e.to_string()))?;
    if table.is_sound() {
        Ok(table)
    } else {
        Err(PagerError::Corrupt("its pages, groups and window contradict each other".to_owned()))
    }
}
