//! What the provider takes, and what all agents of a data folder may use together.

use kernel::Quota;
use kernel_sched::{CpuLimits, Rate};
use kernel_types::{Budget, Tokens};

use crate::args::QuotaArgs;

/// The limits of the model's Cpu.
pub(crate) fn provider(args: &QuotaArgs) -> CpuLimits {
    CpuLimits { requests: args.rpm.map(Rate::a_minute), tokens: args.tpm.map(Rate::a_minute) }
}

/// The limits of all agents together.
pub(crate) fn system(args: &QuotaArgs) -> Quota {
    let budget = Budget {
        tokens: args.system_tokens.map(Tokens),
        cost: args.system_cost,
        calls: args.system_calls,
        ..Budget::default()
    };
    Quota { budget, rates: args.system_rate.clone() }
}
