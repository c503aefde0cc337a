//! `delegate_store!`: the half of a [`crate::Store`] that a wrapper passes on unchanged.
//!
//! A store that stands in front of another usually changes what happens in its [`crate::Journal`] only.

/// Implements [`Blobs`](crate::Blobs) and [`Mailboxes`](crate::Mailboxes) for a type by passing every call on to the
/// store in its field.
///
/// ```
/// use kernel_storage::{MemoryStore, delegate_store};
///
/// struct Counting {
///     store: MemoryStore,
/// }
///
/// delegate_store!(Counting, store);
/// // What is left to write is `impl Journal for Counting`.
/// ```
#[macro_export]
macro_rules! delegate_store {
    ($wrapper:ty, $store:ident) => {
        #[$crate::__async_trait]
        impl $crate::Blobs for $wrapper {
            async fn blobs(
                &self,
                hashes: &[$crate::__types::BlobHash],
            ) -> Result<Vec<Option<std::sync::Arc<[u8]>>>, $crate::StoreError> {
                self.$store.blobs(hashes).await
            }
            async fn list_blobs(
                &self,
                after: Option<$crate::__types::BlobHash>,
                limit: usize,
            ) -> Result<Vec<$crate::__types::BlobHash>, $crate::StoreError> {
                self.$store.list_blobs(after, limit).await
            }
            async fn sweep(&self) -> Result<u64, $crate::StoreError> {
                self.$store.sweep().await
            }
        }

        #[$crate::__async_trait]
        impl $crate::Mailboxes for $wrapper {
            async fn post(&self, mail: Vec<$crate::__types::Mail>) -> Result<(), $crate::StoreError> {
                self.$store.post(mail).await
            }
            async fn inbox(
                &self,
                pid: $crate::__types::Pid,
            ) -> Result<Vec<$crate::__types::Mail>, $crate::StoreError> {
                self.$store.inbox(pid).await
            }
            async fn arrivals(
                &self,
                after: $crate::Arrival,
                limit: usize,
            ) -> Result<Vec<($crate::Arrival, $crate::__types::Mail)>, $crate::StoreError> {
                self.$store.arrivals(after, limit).await
            }
        }
    };
}
