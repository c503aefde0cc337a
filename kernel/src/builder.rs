//! Assembling a kernel from any implementation of the six traits.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel_context::{PagerFactory, Replacement};
use kernel_llm::{Cpu, DeltaSink, Embedder, NoDeltas};
use kernel_sched::{Fair, Scheduler};
use kernel_security::{DenyAll, Policy, Sandbox};
use kernel_storage::{MemoryStore, Store};
use kernel_tools::{Driver, Registry};
use kernel_types::Capabilities;
use rand::TryRng;
use rand::rngs::SysRng;

use crate::core::Core;
use crate::engine::{self, Shared};
use crate::error::KernelError;
use crate::kernel::Kernel;
use crate::parts::{Limits, Parts, Served};
use crate::program::ProgramFactory;
use crate::programs::{ReactFactory, ScriptFactory};

type MakeScheduler = Box<dyn Fn() -> Box<dyn Scheduler> + Send + Sync>;

/// Assembles a [`Kernel`]. Every part has a default: a store in memory, no model, no tools, a sandbox that refuses,
/// the fair scheduler, the generational pager, the programs `react` and `script`.
pub struct KernelBuilder {
    store: Option<Arc<dyn Store>>,
    cpus: Vec<Arc<dyn Cpu>>,
    model: Option<String>,
    drivers: Vec<Arc<dyn Driver>>,
    sandbox: Arc<dyn Sandbox>,
    pagers: Arc<dyn PagerFactory>,
    embedder: Option<Arc<dyn Embedder>>,
    scheduler: MakeScheduler,
    programs: BTreeMap<String, Arc<dyn ProgramFactory>>,
    policy: Policy,
    capabilities: Capabilities,
    sink: Arc<dyn DeltaSink>,
    limits: Limits,
    keep_warm: bool,
    seed: Option<u64>,
}

impl Default for KernelBuilder {
    fn default() -> Self {
        let mut programs: BTreeMap<String, Arc<dyn ProgramFactory>> = BTreeMap::new();
        programs.insert("react".to_owned(), Arc::new(ReactFactory));
        programs.insert("script".to_owned(), Arc::new(ScriptFactory));
        Self {
            store: None,
            cpus: Vec::new(),
            model: None,
            drivers: Vec::new(),
            sandbox: Arc::new(DenyAll),
            pagers: Arc::new(Replacement::default()),
            embedder: None,
            scheduler: Box::new(|| Box::new(Fair::new())),
            programs,
            policy: Policy::default(),
            capabilities: Capabilities::all(),
            sink: Arc::new(NoDeltas),
            limits: Limits::default(),
            keep_warm: true,
            seed: None,
        }
    }
}

impl KernelBuilder {
    /// Where state lives.
    #[must_use]
    pub fn store(mut self, store: impl Store + 'static) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// A Cpu; the first one's first model is the default. May be called several times.
    #[must_use]
    pub fn cpu(mut self, cpu: impl Cpu + 'static) -> Self {
        self.cpus.push(Arc::new(cpu));
        self
    }

    /// The model for processes that name none.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = Some(name.into());
        self
    }

    /// A driver and its tools. May be called several times.
    #[must_use]
    pub fn driver(mut self, driver: impl Driver + 'static) -> Self {
        self.drivers.push(Arc::new(driver));
        self
    }

    /// Where tools may run programs.
    #[must_use]
    pub fn sandbox(mut self, sandbox: impl Sandbox + 'static) -> Self {
        self.sandbox = Arc::new(sandbox);
        self
    }

    /// Who pages.
    #[must_use]
    pub fn pager(mut self, pagers: impl PagerFactory + 'static) -> Self {
        self.pagers = Arc::new(pagers);
        self
    }

    /// Who says in vectors what pages and queries are about: pages are then found also if they share no word with a query.
    /// Without one they are found by words.
    #[must_use]
    pub fn embedder(mut self, embedder: impl Embedder + 'static) -> Self {
        self.embedder = Some(Arc::new(embedder));
        self
    }

    /// Who gets LLM slots; called once for each Cpu.
    #[must_use]
    pub fn scheduler<S: Scheduler + 'static>(mut self, make: impl Fn() -> S + Send + Sync + 'static) -> Self {
        self.scheduler = Box::new(move || Box::new(make()));
        self
    }

    /// A program by name.
    #[must_use]
    pub fn program(mut self, name: impl Into<String>, factory: impl ProgramFactory + 'static) -> Self {
        self.programs.insert(name.into(), Arc::new(factory));
        self
    }

    /// The operator's rules, on top of capabilities.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// What processes may do that are spawned from outside without capabilities of their own. All, by default: whoever
    /// holds the kernel is trusted.
    #[must_use]
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// Receives streamed text.
    #[must_use]
    pub fn deltas(mut self, sink: impl DeltaSink + 'static) -> Self {
        self.sink = Arc::new(sink);
        self
    }

    /// Bounds of queues, waits and sizes.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether a waiting process's prompt may be sent again, for one token of output, before the provider forgets its prefix:
    /// where the process's own gaps between calls say that this is cheaper. On by default.
    #[must_use]
    pub fn keep_warm(mut self, on: bool) -> Self {
        self.keep_warm = on;
        self
    }

    /// Makes pids, salts and `random` repeatable. For tests.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Assembles the kernel: checks the parts against each other, begins a new epoch on the store, starts the engine.
    ///
    /// # Errors
    /// [`KernelError::Build`] for parts that do not fit (two tools of one name, an unknown default model),
    /// [`KernelError::Store`]. Must be called within a tokio runtime.
    pub async fn build(self) -> Result<Kernel, KernelError> {
        let build = |message: String| KernelError::Build(message);
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| build(error.to_string()))?;
        let mut registry = Registry::new();
        for driver in self.drivers {
            registry.register(driver).map_err(|error| build(error.to_string()))?;
        }
        let mut models = BTreeMap::new();
        let mut default_model = self.model;
        for (cpu, served) in self.cpus.iter().enumerate() {
            let infos = served.models();
            if infos.is_empty() {
                return Err(build(format!("Cpu {cpu} runs no model")));
            }
            for info in infos {
                default_model.get_or_insert_with(|| info.name.clone());
                models.entry(info.name.clone()).or_insert(Served { cpu, info });
            }
        }
        if let Some(model) = default_model.as_ref().filter(|model| !models.contains_key(*model)) {
            let known: Vec<&str> = models.keys().map(String::as_str).collect();
            return Err(build(format!("unknown model {model:?}; known: {}", known.join(", "))));
        }
        let seed = match self.seed {
            Some(seed) => seed,
            None => SysRng.try_next_u64().map_err(|error| build(format!("no randomness: {error}")))?,
        };
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let epoch = store.claim().await?;
        let schedulers = self.cpus.iter().map(|_| (self.scheduler)()).collect();
        let parts = Parts {
            store,
            registry,
            cpus: self.cpus,
            models,
            default_model,
            sandbox: self.sandbox,
            pagers: self.pagers,
            embedder: self.embedder,
            programs: self.programs,
            policy: self.policy,
            capabilities: self.capabilities,
            sink: self.sink,
            limits: self.limits,
            keep_warm: self.keep_warm,
        };
        let shared = Shared::new(Core::new(Arc::new(parts), schedulers, epoch, seed), runtime);
        engine::start(&shared).map_err(|error| build(format!("no thread for the engine: {error}")))?;
        Ok(Kernel { shared })
    }
}
