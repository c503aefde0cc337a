//! Assembling a kernel from any implementation of the six traits.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use kernel_context::{PagerFactory, Replacement};
use kernel_llm::{Cpu, DeltaSink, Embedder, NoDeltas};
use kernel_sched::{CpuLimits, Fair, Scheduler};
use kernel_security::{DenyAll, Policy, Sandbox};
use kernel_storage::{MemoryStore, Store, Vectors};
use kernel_tools::{Driver, Registry};
use kernel_types::Capabilities;
use rand::TryRng;
use rand::rngs::SysRng;

use crate::clock::{Clock, SystemClock};
use crate::core::Core;
use crate::engine::{self, Shared};
use crate::error::KernelError;
use crate::kernel::Kernel;
use crate::ledger::{Ledger, Quota};
use crate::parts::{Limits, Parts, Served};
use crate::program::ProgramFactory;
use crate::programs::{ReactFactory, ScriptFactory};

type MakeScheduler = Box<dyn Fn() -> Box<dyn Scheduler> + Send + Sync>;

/// Assembles a [`Kernel`]. Every part has a default: a store in memory, no model, no tools, a sandbox that refuses,
/// the fair scheduler, the generational pager, the programs `react` and `script`.
pub struct KernelBuilder {
    store: Option<Arc<dyn Store>>,
    memory: Option<Arc<dyn Vectors>>,
    cpus: Vec<(Arc<dyn Cpu>, CpuLimits)>,
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
    system: Quota,
    tenants: BTreeMap<String, Quota>,
    resources: BTreeMap<String, u64>,
    tool_needs: BTreeMap<String, Vec<(String, u64)>>,
    model_needs: BTreeMap<String, Vec<(String, u64)>>,
    keep_warm: bool,
    clock: Arc<dyn Clock>,
    seed: Option<u64>,
    #[cfg_attr(not(feature = "conformance"), expect(dead_code, reason = "set by simulations only"))]
    simulated: bool,
}

impl Default for KernelBuilder {
    fn default() -> Self {
        let mut programs: BTreeMap<String, Arc<dyn ProgramFactory>> = BTreeMap::new();
        programs.insert("react".to_owned(), Arc::new(ReactFactory));
        programs.insert("script".to_owned(), Arc::new(ScriptFactory));
        Self {
            store: None,
            memory: None,
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
            system: Quota::default(),
            tenants: BTreeMap::new(),
            resources: BTreeMap::new(),
            tool_needs: BTreeMap::new(),
            model_needs: BTreeMap::new(),
            keep_warm: true,
            clock: Arc::new(SystemClock::default()),
            seed: None,
            simulated: false,
        }
    }
}

impl KernelBuilder {
    /// Where state lives. What agents remember lies there as well, if it is a [`MemoryStore`] or a `SqliteStore` by itself; with
    /// another store see [`KernelBuilder::memory`].
    #[must_use]
    pub fn store(mut self, store: impl Store + 'static) -> Self {
        self.memory = self.memory.or_else(|| memory_in(&store));
        self.store = Some(Arc::new(store));
        self
    }

    /// Where agents remember what outlives their windows and themselves. Without one, `remember` and `search` are unsupported.
    #[must_use]
    pub fn memory(mut self, memory: impl Vectors + 'static) -> Self {
        self.memory = Some(Arc::new(memory));
        self
    }

    /// A Cpu; the first one's first model is the default. May be called several times.
    #[must_use]
    pub fn cpu(mut self, cpu: impl Cpu + 'static) -> Self {
        self.cpus.push((Arc::new(cpu), CpuLimits::default()));
        self
    }

    /// A Cpu whose provider takes so much: calls are started no sooner than it would take them. May be called several times.
    #[must_use]
    pub fn cpu_within(mut self, cpu: impl Cpu + 'static, limits: CpuLimits) -> Self {
        self.cpus.push((Arc::new(cpu), limits));
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

    /// What all processes together may spend, in all and in time.
    #[must_use]
    pub fn quota(mut self, quota: Quota) -> Self {
        self.system = quota;
        self
    }

    /// What the processes of a tenant together may spend. Those of a tenant that is not named here have the system's limits only.
    #[must_use]
    pub fn tenant(mut self, name: impl Into<String>, quota: Quota) -> Self {
        self.tenants.insert(name.into(), quota);
        self
    }

    /// A countable thing that calls may need, and how much there is of it: memory of a Cpu, bytes of a GPU, licences.
    #[must_use]
    pub fn resource(mut self, name: impl Into<String>, capacity: u64) -> Self {
        self.resources.insert(name.into(), capacity);
        self
    }

    /// What each call of a tool needs of a countable thing while it runs.
    #[must_use]
    pub fn tool_needs(mut self, tool: impl Into<String>, resource: impl Into<String>, amount: u64) -> Self {
        self.tool_needs.entry(tool.into()).or_default().push((resource.into(), amount));
        self
    }

    /// What each call of a model needs of a countable thing, from when it asks for a slot until it is answered.
    #[must_use]
    pub fn model_needs(mut self, model: impl Into<String>, resource: impl Into<String>, amount: u64) -> Self {
        self.model_needs.entry(model.into()).or_default().push((resource.into(), amount));
        self
    }

    /// At most so many calls of a tool at a time.
    #[must_use]
    pub fn tool_slots(self, tool: impl Into<String>, slots: u64) -> Self {
        let tool = tool.into();
        let resource = format!("slots of {tool}");
        self.resource(resource.clone(), slots).tool_needs(tool, resource, 1)
    }

    /// Whether a waiting process's prompt may be sent again, for one token of output, before the provider forgets its prefix:
    /// where the process's own gaps between calls say that this is cheaper. On by default.
    #[must_use]
    pub fn keep_warm(mut self, on: bool) -> Self {
        self.keep_warm = on;
        self
    }

    /// Where time comes from: the machine's clocks unless a test or a simulation brings its own.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Makes pids, salts and `random` repeatable. For tests.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Runs the kernel as a task of the runtime instead of a thread of its own. For simulations: on a runtime of one thread whose
    /// clock is paused, what happens follows from the seeds alone. Nothing ends a program or a device that does not return.
    #[cfg(feature = "conformance")]
    #[must_use]
    pub fn simulated(mut self) -> Self {
        self.simulated = true;
        self
    }

    /// Assembles the kernel: checks the parts against each other, begins a new epoch on the store, starts the engine.
    ///
    /// # Errors
    /// [`KernelError::Build`] for parts that do not fit (two tools of one name, an unknown default model, a Cpu's rate of nothing),
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
        for (cpu, (served, limits)) in self.cpus.iter().enumerate() {
            limits.check().map_err(|error| build(format!("Cpu {cpu}: {error}")))?;
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
        let (store, memory) = match self.store {
            Some(store) => (store, self.memory),
            None => {
                let store = MemoryStore::new();
                (Arc::new(store.clone()) as Arc<dyn Store>, self.memory.or_else(|| Some(Arc::new(store))))
            }
        };
        let epoch = store.claim().await?;
        let schedulers = self.cpus.iter().map(|_| (self.scheduler)()).collect();
        let (cpus, cpu_limits) = self.cpus.into_iter().unzip();
        let tools = self.tool_needs.iter().map(|(tool, needs)| (format!("tool {tool:?}"), needs));
        let needs =
            tools.chain(self.model_needs.iter().map(|(model, needs)| (format!("model {model:?}"), needs)));
        for (device, needs) in needs {
            let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
            for (resource, amount) in needs {
                let sum = sums.entry(resource).or_default();
                *sum = sum.saturating_add(*amount);
            }
            for (resource, amount) in sums {
                let capacity = self.resources.get(resource).copied().unwrap_or(0);
                if amount > capacity {
                    return Err(build(format!(
                        "{device} needs {amount} of {resource:?}, there is {capacity}"
                    )));
                }
            }
        }
        let mut ledger = Ledger::new(&self.system, &self.tenants).map_err(build)?;
        if ledger.has_budgets() {
            spent_before(&*store, &mut ledger).await?;
        }
        let parts = Parts {
            store,
            memory,
            registry,
            cpus,
            cpu_limits,
            resources: self.resources,
            tool_needs: self.tool_needs,
            model_needs: self.model_needs,
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
            clock: self.clock,
        };
        let shared = Shared::new(Core::new(Arc::new(parts), schedulers, ledger, epoch, seed), runtime);
        #[cfg(feature = "conformance")]
        if self.simulated {
            shared.runtime.spawn(engine::drive(Arc::clone(&shared)));
            return Ok(Kernel { shared });
        }
        engine::start(&shared).map_err(|error| build(format!("no thread for the engine: {error}")))?;
        Ok(Kernel { shared })
    }
}

/// The long-term memory that a store of ours has. A contract cannot say of an implementation that it keeps another as well.
fn memory_in(store: &dyn Any) -> Option<Arc<dyn Vectors>> {
    if let Some(store) = store.downcast_ref::<MemoryStore>() {
        return Some(Arc::new(store.clone()));
    }
    #[cfg(feature = "sqlite")]
    if let Some(store) = store.downcast_ref::<kernel_storage::SqliteStore>() {
        return Some(Arc::new(store.clone()));
    }
    #[cfg(feature = "postgres")]
    if let Some(store) = store.downcast_ref::<kernel_storage::PostgresStore>() {
        return Some(Arc::new(store.clone()));
    }
    None
}

/// Charges what all processes of a store spent so far, and the most that was in flight can have cost.
async fn spent_before(store: &dyn Store, ledger: &mut Ledger) -> Result<(), KernelError> {
    let mut last = None;
    loop {
        let rows = store.agents(last, false, 1024).await?;
        let Some(row) = rows.last() else { return Ok(()) };
        last = Some(row.pid);
        for row in &rows {
            match crate::recover::image_of(row) {
                Ok(image) => ledger.spent_before(row.pid, &image),
                // Nobody takes it over any more: no reason for all others to stand still.
                Err(error) if row.exited => {
                    tracing::warn!(pid = %row.pid, %error, "what an ended process spent is not known, and not counted");
                }
                Err(error) => return Err(error),
            }
        }
    }
}
