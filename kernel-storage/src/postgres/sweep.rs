//! Removes bodies that nobody refers to, beside kernels that are writing.
//!
//! A body is written before the commit that refers to it, so for a moment nobody does. Sweeping it then is no harm:
//! `blob_ref` has a foreign key. The reference of that commit looks for the body as it is now, not as it was when its
//! statement began; if it is gone the whole statement is undone, and the kernel writes the body again and then the
//! commit (`23503` is [`Meaning::Again`](super::fault::Meaning)). The other way round, a reference locks its body
//! until it is committed: the sweep passes over what is locked, and looks a second time at what it locked itself,
//! with a new snapshot, before it removes anything. So no reference is ever without its body, whatever the clocks say
//! and however long a kernel takes between its two statements. The same holds for a body that is the base of another
//! (`blob.base` is a foreign key too).

use sqlx::Row;

use super::fault::fault;
use super::read::Reader;
use crate::StoreError;

/// How many bodies are locked at a time. Kernels that want one of them wait that long.
const CHUNK: i64 = 500;

impl Reader {
    /// Says how many it removed.
    pub(super) async fn sweep(&self) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let before = removed;
            let mut after = Some(Vec::new());
            while let Some(from) = after.take() {
                let (count, next) = self.chunk(from).await.map_err(|error| fault("sweep", error))?;
                removed += count;
                after = next;
            }
            // What was the base of another could not go before it.
            if removed == before {
                return Ok(removed);
            }
        }
    }

    /// Looks at the next addresses: how many bodies went, and where to go on.
    async fn chunk(&self, after: Vec<u8>) -> Result<(u64, Option<Vec<u8>>), sqlx::Error> {
        let mut transaction = self.pool().begin().await?;
        let sql = "SELECT hash FROM blob WHERE hash > $1 \
                   AND NOT EXISTS (SELECT FROM blob_ref WHERE blob_ref.hash = blob.hash) \
                   AND NOT EXISTS (SELECT FROM blob AS other WHERE other.base = blob.hash) \
                   ORDER BY hash LIMIT $2 FOR UPDATE SKIP LOCKED";
        let rows = sqlx::query(sql).bind(after).bind(CHUNK).fetch_all(&mut *transaction).await?;
        let hashes: Vec<Vec<u8>> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let Some(last) = hashes.last().cloned() else { return Ok((0, None)) };
        let sql = "DELETE FROM blob WHERE hash = ANY($1) \
                   AND NOT EXISTS (SELECT FROM blob_ref WHERE blob_ref.hash = blob.hash) \
                   AND NOT EXISTS (SELECT FROM blob AS other WHERE other.base = blob.hash)";
        let done = sqlx::query(sql).bind(hashes).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok((done.rows_affected(), Some(last)))
    }
}
