//! Rows of the memory back into data, every column checked.
//!
//! A value that does not fit its field is damage, and the error names the item and the column.

use kernel_types::Pid;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::metadata;
use super::session::Trouble;
use crate::{MemoryItem, StoreError, StoreErrorKind, Vector};

/// What [`item`] reads, of `memory AS m` and the models beside it.
pub(super) const ITEM: &str = "m.id, m.owner, m.text, m.metadata::text AS metadata, m.numbers, \
    (SELECT name FROM memory_model WHERE memory_model.model = m.model) AS model";

/// A model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbered {
    pub(super) number: i32,
    pub(super) dimension: usize,
}

impl Numbered {
    /// Of `model` and `dimension`.
    pub(super) fn of(row: &PgRow) -> Result<Self, Trouble> {
        let (number, dimension): (i32, i32) = (row.try_get("model")?, row.try_get("dimension")?);
        let dimension = usize::try_from(dimension).map_err(|_| {
            let message = format!("table memory_model, model {number}: the dimension is {dimension}");
            StoreError::new(StoreErrorKind::Corrupt, "read", message)
        })?;
        Ok(Self { number, dimension })
    }
}

pub(super) fn item(namespace: &str, row: &PgRow) -> Result<MemoryItem, Trouble> {
    let columns = Columns { namespace, row };
    let owner: Uuid = columns.get("owner")?;
    let model: Option<&[u8]> = columns.get("model")?;
    let numbers: Option<&[u8]> = columns.get("numbers")?;
    let vector = match (model, numbers) {
        (Some(model), Some(numbers)) => {
            Some(Vector { model: columns.text("model", model)?, values: columns.values(numbers)? })
        }
        (None, None) => None,
        _ => return Err(columns.damaged("numbers", "a vector has a model and numbers").into()),
    };
    let metadata: &str = columns.get("metadata")?;
    Ok(MemoryItem {
        namespace: namespace.to_owned(),
        id: id(namespace, row)?,
        owner: Pid::from_bytes(owner.into_bytes()),
        text: columns.text("text", columns.get("text")?)?,
        metadata: metadata::read(metadata).map_err(|what| columns.damaged("metadata", &what))?,
        vector,
    })
}

pub(super) fn id(namespace: &str, row: &PgRow) -> Result<String, Trouble> {
    let columns = Columns { namespace, row };
    Ok(columns.text("id", columns.get("id")?)?)
}

/// The bytes of numbers, little end first.
pub(super) fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

struct Columns<'r> {
    namespace: &'r str,
    row: &'r PgRow,
}

impl<'r> Columns<'r> {
    fn get<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        self.row.try_get(column).map_err(|error| self.damaged(column, &error.to_string()))
    }

    fn text(&self, column: &'static str, bytes: &[u8]) -> Result<String, StoreError> {
        let text = std::str::from_utf8(bytes).map_err(|error| self.damaged(column, &error.to_string()))?;
        Ok(text.to_owned())
    }

    fn values(&self, bytes: &[u8]) -> Result<Vec<f32>, StoreError> {
        let (values, rest) = bytes.as_chunks();
        if values.is_empty() || !rest.is_empty() {
            let what = format!("{} bytes are not the numbers of a vector", bytes.len());
            return Err(self.damaged("numbers", &what));
        }
        Ok(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn damaged(&self, column: &str, what: &str) -> StoreError {
        let id: &[u8] = self.row.try_get("id").unwrap_or_default();
        let id = String::from_utf8_lossy(id);
        let message = format!("table memory, row {:?}/{id:?}, column {column}: {what}", self.namespace);
        StoreError::new(StoreErrorKind::Corrupt, "read", message)
    }
}
