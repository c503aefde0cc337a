//! Lets the audit of kernel-security read any store.

use std::sync::Arc;

use async_trait::async_trait;
use kernel_security::{AuditError, AuditSource};
use kernel_storage::{Store, StoreError, StoreErrorKind};
use kernel_types::{AgentRow, BlobHash, Pid, Record};

/// A store as an audit reads it.
///
/// ```
/// use kernel::StoreAudit;
/// use kernel_storage::MemoryStore;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = MemoryStore::new();
/// let report = kernel_security::verify(&StoreAudit(&store), &|_| {}).await?;
/// assert!(report.is_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StoreAudit<'a>(pub &'a dyn Store);

fn unread(error: StoreError) -> AuditError {
    AuditError::new(error.to_string()).because(error)
}

#[async_trait]
impl AuditSource for StoreAudit<'_> {
    async fn agents(&self, after: Option<Pid>, limit: usize) -> Result<Vec<AgentRow>, AuditError> {
        self.0.agents(after, false, limit).await.map_err(unread)
    }

    async fn records(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, AuditError> {
        self.0.records(pid, from, limit).await.map_err(unread)
    }

    async fn addresses(&self, after: Option<BlobHash>, limit: usize) -> Result<Vec<BlobHash>, AuditError> {
        self.0.list_blobs(after, limit).await.map_err(unread)
    }

    async fn bodies(&self, addresses: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, AuditError> {
        match self.0.blobs(addresses).await {
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {}
            read => return read.map_err(unread),
        }
        // One that cannot be unpacked says what is wrong with it, and so has not the hash that is its address.
        let mut bodies = Vec::with_capacity(addresses.len());
        for address in addresses {
            bodies.push(match self.0.blobs(std::slice::from_ref(address)).await {
                Ok(body) => body.into_iter().next().flatten(),
                Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                    Some(error.to_string().into_bytes().into())
                }
                Err(error) => return Err(unread(error)),
            });
        }
        Ok(bodies)
    }

    async fn version(&self, pid: Pid, number: u64) -> Result<Option<Result<AgentRow, String>>, AuditError> {
        match self.0.as_of(pid, number).await {
            Ok(found) => Ok(found.map(|version| Ok(version.row))),
            Err(error) if error.kind() == StoreErrorKind::Corrupt => Ok(Some(Err(error.to_string()))),
            Err(error) => Err(unread(error)),
        }
    }
}
