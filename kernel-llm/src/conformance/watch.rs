//! A sink that remembers, and a call with patience.

use std::collections::BTreeMap;

use kernel_types::{CallKey, Inference};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Subject;
use crate::{Cpu, CpuError, DeltaSink, InferRequest};

/// Remembers the text of each call and tells when the first arrives.
#[derive(Debug, Default)]
pub struct Watch {
    texts: Mutex<BTreeMap<CallKey, Vec<String>>>,
    first: Notify,
}

impl Watch {
    /// The deltas of a call.
    #[must_use]
    pub fn deltas(&self, key: CallKey) -> Vec<String> {
        self.texts.lock().get(&key).cloned().unwrap_or_default()
    }

    /// The text of a call.
    #[must_use]
    pub fn text(&self, key: CallKey) -> String {
        self.deltas(key).concat()
    }

    /// The calls that had text.
    #[must_use]
    pub fn keys(&self) -> Vec<CallKey> {
        self.texts.lock().keys().copied().collect()
    }

    /// Returns once some text has arrived.
    pub async fn some_text(&self) {
        self.first.notified().await;
    }
}

impl DeltaSink for Watch {
    fn delta(&self, key: CallKey, text: &str) {
        self.texts.lock().entry(key).or_default().push(text.to_owned());
        self.first.notify_one();
    }
}

impl<C: Cpu> Subject<C> {
    /// One call, within the patience.
    pub(super) async fn ask(&self, request: InferRequest, sink: &Watch) -> Result<Inference, CpuError> {
        let call = timeout(self.patience, self.cpu.infer(request, sink)).await;
        call.unwrap_or_else(|_| panic!("a call took more than {:?}", self.patience))
    }

    /// One call that must succeed.
    pub(super) async fn answer(&self, request: InferRequest) -> (Inference, Watch) {
        let watch = Watch::default();
        match self.ask(request, &watch).await {
            Ok(inference) => (inference, watch),
            Err(error) => panic!("a plain call must succeed, and: {error}"),
        }
    }
}
