//! Limits as a status shows them.

use kernel_sched::{Counted, Rate};
use kernel_types::{Timestamp, WaitCause};

use crate::core::Core;
use crate::ledger::Account;
use crate::status::LimitStatus;

impl Core {
    /// What holds for all calls of a Cpu.
    pub(crate) fn cpu_limits(&self, cpu: usize) -> Vec<LimitStatus> {
        let (slots, now) = (&self.slots[cpu], self.micros());
        let governor = &slots.governor;
        let limits = governor.limits();
        let until = slots.gate.until.map(|at| self.soon(at.0.saturating_sub(now.0)));
        let of = |cause: WaitCause| until.filter(|_| slots.gate.cause() == Some(cause));
        let rated = |name: &str, rate: Rate, left: Option<u64>, until| {
            let left = left.unwrap_or(0);
            let name = format!("{name} at once, {}", a_time(rate));
            LimitStatus { name, used: rate.burst.saturating_sub(left), left, of: rate.burst, until }
        };
        let requests = limits
            .requests
            .map(|rate| rated("requests", rate, governor.requests_left(now), of(WaitCause::Requests)));
        let tokens =
            limits.tokens.map(|rate| rated("tokens", rate, governor.tokens_left(now), of(WaitCause::Tokens)));
        let (window, flying) = (governor.window(), u64::from(governor.in_flight()));
        let window = (window < u64::from(slots.of)).then(|| LimitStatus {
            name: "calls in flight since it refused some".to_owned(),
            used: flying,
            left: window.saturating_sub(flying),
            of: window,
            until: None,
        });
        let paused = |cause, name: &str| {
            of(cause).map(|until| LimitStatus {
                name: name.to_owned(),
                used: 0,
                left: 0,
                of: 0,
                until: Some(until),
            })
        };
        let pauses = [
            paused(WaitCause::RetryAfter, "the pause it asked for"),
            paused(WaitCause::Breaker, "it failed; the pause before it is tried again"),
        ];
        requests.into_iter().chain(tokens).chain(window).chain(pauses.into_iter().flatten()).collect()
    }

    /// What holds for all processes, and for those of each tenant.
    pub(crate) fn limits_above(&self) -> Vec<LimitStatus> {
        let quotas = self.ledger.quotas();
        let mut all = Vec::new();
        for account in quotas.keys() {
            let whose = match account {
                Account::System => "all".to_owned(),
                Account::Tenant(number) => format!("tenant {}", self.ledger.tenant(number)),
                Account::Subtree(pid) => format!("{pid} and below"),
            };
            let (Some(limits), Some(spent)) = (quotas.limits(account), quotas.spent(account)) else {
                continue;
            };
            let held = quotas.held(account).unwrap_or_default();
            let budgets = [
                (Counted::Calls, limits.calls),
                (Counted::Tokens, limits.tokens.map(|tokens| tokens.0)),
                (Counted::Cost, limits.cost.map(|cost| cost.0)),
            ];
            for (counted, of) in budgets {
                let Some(of) = of else { continue };
                let used = counted.of(&spent);
                let left = of.saturating_sub(used).saturating_sub(counted.of(&held));
                let name = format!("{whose}: {}", unit(counted));
                all.push(LimitStatus { name, used, left, of, until: None });
            }
            let left = quotas.available(account, self.micros());
            for ((counted, rate), left) in limits.rates.iter().zip(left) {
                let name = format!("{whose}: {} at once, {}", unit(*counted), a_time(*rate));
                let used = rate.burst.saturating_sub(left);
                all.push(LimitStatus { name, used, left, of: rate.burst, until: None });
            }
        }
        all
    }

    fn soon(&self, micros: u64) -> Timestamp {
        Timestamp(self.now().0.saturating_add(micros.div_ceil(1000)))
    }
}

const fn unit(counted: Counted) -> &'static str {
    match counted {
        Counted::Calls => "calls",
        Counted::Tokens => "tokens",
        Counted::Cost => "millionths of a dollar",
    }
}

fn a_time(rate: Rate) -> String {
    let seconds = rate.per.0 as f64 / 1e6;
    if rate.per.0 == 60_000_000 {
        format!("{} a minute", rate.amount)
    } else {
        format!("{} in {} s", rate.amount, seconds)
    }
}
