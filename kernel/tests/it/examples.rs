//! The examples' kernels keep the laws too: each swaps one trait, and the gate does not care.

#[allow(dead_code, reason = "its main runs as an example")]
#[path = "../../examples/custom_cpu.rs"]
mod custom_cpu;
#[allow(dead_code, reason = "its main runs as an example")]
#[path = "../../examples/custom_driver.rs"]
mod custom_driver;
#[allow(dead_code, reason = "its main runs as an example")]
#[path = "../../examples/custom_pager.rs"]
mod custom_pager;
#[allow(dead_code, reason = "its main runs as an example")]
#[path = "../../examples/custom_sandbox.rs"]
mod custom_sandbox;
#[allow(dead_code, reason = "its main runs as an example")]
#[path = "../../examples/custom_scheduler.rs"]
mod custom_scheduler;
#[allow(dead_code, reason = "its main runs as an example")]
#[path = "../../examples/custom_store.rs"]
mod custom_store;

use kernel::{KernelBuilder, mediation_suite};

mediation_suite!(with_custom_cpu, async |builder: KernelBuilder| custom_cpu::assemble(builder));
mediation_suite!(with_custom_driver, async |builder: KernelBuilder| custom_driver::assemble(builder));
mediation_suite!(with_custom_pager, async |builder: KernelBuilder| custom_pager::assemble(builder));
mediation_suite!(with_custom_sandbox, async |builder: KernelBuilder| custom_sandbox::assemble(builder));
mediation_suite!(with_custom_scheduler, async |builder: KernelBuilder| custom_scheduler::assemble(builder));
mediation_suite!(with_custom_store, async |builder: KernelBuilder| custom_store::assemble(
    builder,
    custom_store::CountingStore::default()
));
