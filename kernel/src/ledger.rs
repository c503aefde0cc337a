//! Limits above single processes: of the system, of tenants, of a process together with all below it.
//!
//! Budgets of the system and of tenants are held when a call is arranged, like a process's own ([`crate::holds`]). Rates are asked
//! when a slot is there: what comes too early for the system waits at the slot; what comes too early for a tenant or a subtree makes
//! room for others and waits in a line of its own, in order.

use std::collections::{BTreeMap, HashMap};

use kernel_sched::{Allowance, Counted, Micros, Quotas, Rate, Refused};
use kernel_types::{
    Budget, CallKey, LimitName, Pid, RateLimit, RateUnit, Reservation, Seq, SuspendReason, Usage, WaitCause,
};

use crate::core::Core;
use crate::image::Image;
use crate::lines::{Lines, Place};
use crate::process::Process;

/// What a tenant, or the system as a whole, may spend.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Quota {
    /// In all, as far as the store and this kernel know: `calls`, `tokens` and `cost`; the others are not counted here.
    pub budget: Budget,
    /// How much in how much time. Tools take nothing from it.
    pub rates: Vec<RateLimit>,
}

/// The number by which schedulers know a tenant; 0 is the one without a name.
#[must_use]
pub fn tenant_number(name: &str) -> u64 {
    if name.is_empty() {
        return 0;
    }
    let [a, b, c, d, e, f, g, h, ..] = kernel_types::hash_bytes(name.as_bytes()).0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1)
}

/// Whose limits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Account {
    System,
    Tenant(u64),
    /// A process and all below it.
    Subtree(Pid),
}

/// The accounts above processes.
pub(crate) struct Ledger {
    pub(crate) quotas: Quotas<Account>,
    /// Calls that wait for budgets which others hold, in order, by whose budgets.
    pub(crate) short: BTreeMap<Account, BTreeMap<u64, CallKey>>,
    shorts: u64,
    /// Something that was held is not any more, or a limit was raised: those may be looked at.
    pub(crate) freed: bool,
    /// What was charged for processes that had calls in flight when this kernel began, these calls at the most included.
    known: HashMap<Pid, Reservation>,
    /// How many processes spend on an account directly.
    members: HashMap<Account, usize>,
    names: HashMap<u64, String>,
    pub(crate) lines: Lines,
}

impl Ledger {
    /// Fails for a rate that nobody can keep.
    pub(crate) fn new(system: &Quota, tenants: &BTreeMap<String, Quota>) -> Result<Self, String> {
        let mut quotas = Quotas::new();
        quotas.open(Account::System, None, allowance(system)).map_err(|error| error.to_string())?;
        for (name, quota) in tenants {
            let account = Account::Tenant(tenant_number(name));
            quotas
                .open(account, Some(Account::System), allowance(quota))
                .map_err(|error| error.to_string())?;
        }
        let names = tenants.keys().map(|name| (tenant_number(name), name.clone())).collect();
        Ok(Self {
            quotas,
            short: BTreeMap::new(),
            shorts: 0,
            freed: false,
            known: HashMap::new(),
            members: HashMap::new(),
            names,
            lines: Lines::default(),
        })
    }

    /// What a process spent before this kernel began, and the most that its calls in flight can cost.
    pub(crate) fn spent_before(&mut self, pid: Pid, image: &Image) {
        let tenant = Account::Tenant(tenant_number(&image.tenant));
        let account = if self.quotas.contains(tenant) { tenant } else { Account::System };
        let lost = image.in_flight();
        let all = lost.plus(&spent(&image.usage));
        self.charge(account, all);
        if lost != Reservation::default() {
            self.known.insert(pid, all);
        }
    }

    /// Charges what was in flight when the kernel before this one stopped, as far as it was not charged when this one began.
    pub(crate) fn lost(&mut self, process: &Process, lost: Reservation) {
        let all = lost.plus(&spent(&process.image.usage));
        let known = self.known.remove(&process.pid);
        self.charge(process.account, known.map_or(lost, |known| all.minus(&known)));
    }

    /// What a process had in flight that this kernel let go of.
    pub(crate) fn lost_by(&mut self, tenant: &str, lost: Reservation) {
        let account = self.of_tenant(tenant);
        self.charge(account, lost);
    }

    fn of_tenant(&self, tenant: &str) -> Account {
        let tenant = Account::Tenant(tenant_number(tenant));
        if self.quotas.contains(tenant) { tenant } else { Account::System }
    }

    /// What was used outside any hold. No rate counts it.
    pub(crate) fn charge(&mut self, account: Account, used: Reservation) {
        if let Err(error) = self.quotas.charge(account, used) {
            tracing::error!(%error, "an account is lost");
        }
    }

    /// Whether so much was not spent yet, though it may be held.
    pub(crate) fn has_unspent(&self, account: Account, limit: LimitName, needed: u64) -> bool {
        let (Some(limits), Some(spent)) = (self.quotas.limits(account), self.quotas.spent(account)) else {
            return false;
        };
        let (of, spent) = match limit {
            LimitName::Calls => (limits.calls, spent.calls),
            LimitName::Tokens => (limits.tokens.map(|tokens| tokens.0), spent.tokens.0),
            LimitName::Cost => (limits.cost.map(|cost| cost.0), spent.cost.0),
            _ => return false,
        };
        of.is_some_and(|of| spent.saturating_add(needed) <= of)
    }

    /// Whether the system or a tenant has a budget: what the store knows counts then.
    pub(crate) fn has_budgets(&self) -> bool {
        let limits = [Account::System].into_iter().chain(self.tenants());
        limits
            .filter_map(|account| self.quotas.limits(account))
            .any(|limits| limits.calls.is_some() || limits.tokens.is_some() || limits.cost.is_some())
    }

    /// Whether money is limited, in all or in time: a model of unknown price is refused then.
    pub(crate) fn limits_cost(&self, account: Account) -> bool {
        std::iter::successors(Some(account), |account| self.quotas.above(*account))
            .filter_map(|account| self.quotas.limits(account))
            .any(|limits| {
                limits.cost.is_some() || limits.rates.iter().any(|(counted, _)| *counted == Counted::Cost)
            })
    }

    /// Whether money or tokens are limited for life.
    pub(crate) fn limits_spending(&self, account: Account) -> bool {
        std::iter::successors(Some(account), |account| self.quotas.above(*account))
            .filter_map(|account| self.quotas.limits(account))
            .any(|limits| limits.cost.is_some() || limits.tokens.is_some())
    }

    fn tenants(&self) -> impl Iterator<Item = Account> {
        self.quotas.keys().filter(|account| matches!(account, Account::Tenant(_)))
    }

    /// Opens the accounts of a process; answers the one that it spends on.
    pub(crate) fn join(&mut self, tenant: &str, rated: &[(Pid, Vec<RateLimit>)]) -> Account {
        let mut account = self.of_tenant(tenant);
        for (pid, rates) in rated {
            let own = Account::Subtree(*pid);
            let limits = Allowance { rates: rates.iter().map(rate).collect(), ..Allowance::default() };
            if !self.quotas.contains(own)
                && let Err(error) = self.quotas.open(own, Some(account), limits)
            {
                tracing::error!(%error, "a rate is not kept");
                continue;
            }
            account = own;
        }
        *self.members.entry(account).or_default() += 1;
        account
    }

    /// A process has ended: accounts that nobody spends on any more are closed.
    pub(crate) fn leave(&mut self, account: Account, rated: &[(Pid, Vec<RateLimit>)]) {
        if let Some(members) = self.members.get_mut(&account) {
            *members -= 1;
            if *members == 0 {
                self.members.remove(&account);
            }
        }
        for (pid, _) in rated.iter().rev() {
            let own = Account::Subtree(*pid);
            if self.members.contains_key(&own) || self.quotas.close(own).is_err() {
                return;
            }
        }
    }

    /// When the next one in a line may try.
    pub(crate) fn next(&self) -> Option<Micros> {
        let at_once = (self.freed && !self.short.is_empty()).then_some(Micros(0));
        self.lines.next().into_iter().chain(at_once).min()
    }

    pub(crate) fn is_waited_for(&self) -> bool {
        !self.short.is_empty() || !self.lines.is_empty()
    }

    /// A call waits for a budget of an account, behind those that do.
    pub(crate) fn is_short_of(&mut self, account: Account, call: CallKey) -> (Account, u64) {
        self.shorts += 1;
        self.short.entry(account).or_default().insert(self.shorts, call);
        (account, self.shorts)
    }

    /// It waits no more.
    pub(crate) fn is_short_no_more(&mut self, (account, number): (Account, u64)) {
        if let Some(waiting) = self.short.get_mut(&account) {
            waiting.remove(&number);
            if waiting.is_empty() {
                self.short.remove(&account);
            }
        }
    }

    /// Whether others wait for a rate of an account, or of one above it.
    pub(crate) fn is_lined_up_for(&self, account: Account) -> bool {
        self.line_before(account).is_some()
    }

    /// The account nearest to the process that others wait for already.
    fn line_before(&self, account: Account) -> Option<Account> {
        let mut at = Some(account);
        while let Some(account) = at {
            if self.lines.is_waited_for(account) {
                return Some(account);
            }
            at = self.quotas.above(account);
        }
        None
    }

    /// The name of a tenant with limits.
    pub(crate) fn tenant(&self, number: u64) -> &str {
        self.names.get(&number).map_or("", String::as_str)
    }

    /// The accounts and what was spent on them.
    pub(crate) fn quotas(&self) -> &Quotas<Account> {
        &self.quotas
    }
}

impl Core {
    /// Whether others wait for a rate of the process already; it waits behind them then.
    pub(crate) fn queues_up(&mut self, process: &mut Process, index: usize) -> bool {
        let seq = process.image.open[index].seq;
        let Some(account) = self.ledger.line_before(process.account) else { return false };
        let Some(cpu) = self.cpu_of(process, seq) else { return false };
        let place = self.ledger.lines.join(account, cpu, process.pid, Micros(0));
        self.waits_in_line(process, seq, place);
        true
    }

    fn waits_in_line(&mut self, process: &mut Process, seq: Seq, place: Place) {
        self.end_wait(process, seq);
        self.wait_for(process, seq, WaitCause::Rate);
        if let Some(running) = process.running.get_mut(&seq) {
            running.in_line = Some(place);
        }
    }

    /// Asks the rates for a call that could start now. It starts, or waits: at the slot until then (`Some`), or in a line (`None`).
    pub(crate) fn within_rates(
        &mut self,
        process: &mut Process,
        index: usize,
        estimate: Reservation,
    ) -> Result<(), Option<Micros>> {
        let (now, seq, pid) = (self.micros(), process.image.open[index].seq, process.pid);
        let Some(hold) = process.holds.get_mut(&seq) else {
            self.frees_line(process, seq);
            return Ok(());
        };
        match self.ledger.quotas.start(hold, estimate, now) {
            Ok(()) => {
                self.frees_line(process, seq);
                Ok(())
            }
            Err(Refused::Rate { key: Account::System, at, .. }) => Err(Some(at)),
            Err(Refused::Rate { key, at, .. }) => {
                let tried = process.running.get_mut(&seq).and_then(|running| running.tries_for.take());
                let place = match (tried, self.cpu_of(process, seq)) {
                    (Some(tried), _) if tried.account == key => {
                        self.ledger.lines.come_back(tried, pid, at);
                        tried
                    }
                    (tried, cpu) => {
                        if let Some(tried) = tried {
                            // It goes on to wait elsewhere: the next of the line it left may try.
                            self.ledger.lines.has_tried(tried);
                        }
                        self.ledger.lines.join(key, cpu.unwrap_or_default(), pid, at)
                    }
                };
                self.waits_in_line(process, seq, place);
                Err(None)
            }
            Err(refused) => {
                tracing::error!(%refused, "an account is lost");
                Err(Some(Micros(now.0.saturating_add(1_000_000))))
            }
        }
    }

    /// Lets those try whose turn has come.
    pub(crate) fn fire_lines(&mut self) {
        let now = self.micros();
        while let Some((place, pid)) = self.ledger.lines.fire(now) {
            let asked = self.with(pid, |core, process| core.leaves_line(process, place));
            if asked != Some(true) {
                self.ledger.lines.has_tried(place);
            }
        }
    }

    /// A Cpu takes no call now: who tries for a rate and waits for it holds up nobody who asks another Cpu; nor anybody if it is down.
    pub(crate) fn lines_go_past(&mut self, cpu: usize) {
        let down = self.slots[cpu].is_down();
        self.ledger.lines.pass(cpu, down);
    }

    fn leaves_line(&mut self, process: &mut Process, place: Place) -> bool {
        let found = process.running.iter_mut().find(|(_, running)| running.in_line == Some(place));
        let Some((seq, running)) = found else { return false };
        let seq = *seq;
        running.in_line = None;
        running.tries_for = Some(place);
        self.end_wait(process, seq);
        self.ask_for_slot(process, seq.0 as usize);
        // The scheduler may have refused it: then it has ended.
        self.settle(process);
        true
    }

    /// A call starts, or is over before it did: it holds up no line.
    pub(crate) fn frees_line(&mut self, process: &mut Process, seq: Seq) {
        let Some(running) = process.running.get_mut(&seq) else { return };
        if let Some(place) = running.tries_for.take() {
            self.ledger.lines.has_tried(place);
        }
        if let Some(place) = running.in_line.take() {
            self.ledger.lines.quit(place);
        }
    }

    /// The Cpu that a call asks.
    fn cpu_of(&self, process: &Process, seq: Seq) -> Option<usize> {
        let model = &process.prompts.get(&seq)?.view.model;
        self.parts.models.get(model).map(|served| served.cpu)
    }

    /// Raises what the system or a tenant may spend; those that its limits suspended go on.
    pub(crate) fn granted_above(&mut self, account: Account, more: &Budget) -> Result<(), String> {
        self.ledger.quotas.grant(account, more).map_err(|error| error.to_string())?;
        self.ledger.freed = true;
        let tenant = match account {
            Account::Tenant(number) => Some(number),
            _ => None,
        };
        let of_account = |limit: LimitName, name: &str| match tenant {
            Some(tenant) => is_of_tenant(limit) && tenant == tenant_number(name),
            None => is_of_system(limit),
        };
        let mut pids: Vec<Pid> = self.processes.keys().copied().collect();
        // Who goes on first is no matter of chance.
        pids.sort_unstable();
        for pid in pids {
            self.with(pid, |core, process| {
                // What it was refused is still on its way to it: it may ask again.
                process.quota_hit.take_if(|limit| of_account(*limit, &process.image.tenant));
                let suspended = match process.image.suspended {
                    Some(SuspendReason::Limit(limit)) => of_account(limit, &process.image.tenant),
                    _ => false,
                };
                if suspended {
                    core.resume(process, "a grant");
                    core.settle(process);
                }
            });
        }
        Ok(())
    }
}

/// A limit of the tenant or the system: another kernel may have set it higher.
pub(crate) const fn is_from_above(limit: LimitName) -> bool {
    is_of_tenant(limit) || is_of_system(limit)
}

const fn is_of_tenant(limit: LimitName) -> bool {
    matches!(limit, LimitName::TenantCalls | LimitName::TenantTokens | LimitName::TenantCost)
}

const fn is_of_system(limit: LimitName) -> bool {
    matches!(limit, LimitName::SystemCalls | LimitName::SystemTokens | LimitName::SystemCost)
}

pub(crate) const fn limit_of(account: Account, limit: LimitName) -> LimitName {
    match (account, limit) {
        (Account::Tenant(_), LimitName::Calls) => LimitName::TenantCalls,
        (Account::Tenant(_), LimitName::Tokens) => LimitName::TenantTokens,
        (Account::Tenant(_), LimitName::Cost) => LimitName::TenantCost,
        (Account::System, LimitName::Calls) => LimitName::SystemCalls,
        (Account::System, LimitName::Tokens) => LimitName::SystemTokens,
        (Account::System, LimitName::Cost) => LimitName::SystemCost,
        (_, limit) => limit,
    }
}

fn spent(usage: &Usage) -> Reservation {
    Reservation { calls: usage.calls, tokens: usage.tokens(), cost: usage.cost, tool_calls: usage.tool_calls }
}

fn allowance(quota: &Quota) -> Allowance {
    Allowance { rates: quota.rates.iter().map(rate).collect(), ..Allowance::from(&quota.budget) }
}

fn rate(limit: &RateLimit) -> (Counted, Rate) {
    let counted = match limit.unit {
        RateUnit::Calls => Counted::Calls,
        RateUnit::Tokens => Counted::Tokens,
        RateUnit::Cost => Counted::Cost,
    };
    let per = Micros(limit.per.0.saturating_mul(1000));
    (counted, Rate { amount: limit.amount, per, burst: limit.burst })
}
