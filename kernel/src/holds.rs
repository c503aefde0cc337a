//! Budgets above processes: held for a call before it starts, waited for while others hold what is missing, settled at the truth.
//!
//! A call that is refused because of what others only hold is not refused for good: calls mostly use less than they hold. It waits,
//! in order, until one of them has ended. What is refused because of what was spent is refused at once.

use kernel_sched::{Micros, Refused};
use kernel_types::{CallKey, Decision, Reservation, Seq, SyscallNo, WaitCause};

use crate::core::{Core, Spent};
use crate::gate::refusal;
use crate::ledger::{Account, limit_of};
use crate::process::Process;

impl Core {
    /// Holds the budgets above a process for a call, if there are any. `false`: others hold what is missing. It is asked for again
    /// when the call is to start.
    pub(crate) fn hold_above(
        &mut self,
        process: &mut Process,
        seq: Seq,
        most: Reservation,
    ) -> Result<bool, Decision> {
        let (now, ledger) = (self.micros(), &mut self.ledger);
        match ledger.quotas.reserve(process.account, most, Reservation::default(), now) {
            Ok(hold) => drop(process.holds.insert(seq, hold)),
            Err(Refused::Budget { key, limit, needed, .. }) if ledger.has_unspent(key, limit, needed) => {
                return Ok(false);
            }
            Err(refused) => return Err(decision(refused)),
        }
        Ok(true)
    }

    /// Whether so much could be held now.
    pub(crate) fn fits_above(&mut self, process: &Process, most: Reservation) -> Result<(), Decision> {
        let now = self.micros();
        let held = self.ledger.quotas.reserve(process.account, most, Reservation::default(), now);
        held.map(|hold| self.ledger.quotas.refund(hold, now)).map_err(decision)
    }

    /// Whether the rates above would let a call that uses so much start now.
    pub(crate) fn rates_take_now(&mut self, process: &Process, estimate: Reservation) -> bool {
        let now = self.micros();
        let held = self.ledger.quotas.reserve(process.account, Reservation::default(), estimate, now);
        held.map(|hold| self.ledger.quotas.refund(hold, now)).is_ok()
    }

    /// Asks for what a call that is to start does not hold yet. `false`: it waits, or was refused and has ended.
    pub(crate) fn has_budget(&mut self, process: &mut Process, index: usize) -> bool {
        let open = &process.image.open[index];
        let (seq, no) = (open.seq, open.no);
        let Some(most) = open.pending.as_ref().map(|pending| pending.reserved) else { return true };
        if process.holds.contains_key(&seq) {
            return true;
        }
        match self.hold_above(process, seq, most) {
            Ok(true) => true,
            Ok(false) => {
                let now = self.micros();
                if let Some(running) = process.running.get_mut(&seq) {
                    running.needs_since = Some(now);
                }
                self.ledger.short.push(CallKey { pid: process.pid, step: process.image.step, seq });
                false
            }
            Err(decision) => {
                self.refuse(process, index, no, &decision);
                false
            }
        }
    }

    /// Ends a call that was let through before and is refused now. A limit that it hit sets its process aside.
    pub(crate) fn refuse(&mut self, process: &mut Process, index: usize, no: SyscallNo, decision: &Decision) {
        if let Decision::OverQuota { limit, .. } = decision {
            process.quota_hit = Some(*limit);
        }
        self.finish(process, index, Err(refusal(no, decision)), Spent::default());
    }

    /// Starts the calls whose budgets others have let go of, as far as there is enough.
    pub(crate) fn fire_short(&mut self) {
        if !std::mem::take(&mut self.ledger.freed) {
            return;
        }
        for key in std::mem::take(&mut self.ledger.short) {
            let now = self.micros();
            self.with(key.pid, |core, process| {
                let Some(index) = process.pending_index(key.step, key.seq) else { return };
                let Some(running) = process.running.get_mut(&key.seq) else { return };
                let since = running.needs_since.take().unwrap_or(now);
                running.waits.add(WaitCause::Budget, Micros(now.0.saturating_sub(since.0)));
                if core.has_budget(process, index) && core.has_resources(process, index) {
                    core.start_device(process, index);
                }
                core.settle(process);
            });
        }
    }

    /// A call that may hold limits above its process is over. Those of tools count for budgets only: rates are of inferences.
    pub(crate) fn settle_above(&mut self, process: &mut Process, seq: Seq, used: Reservation) {
        let (now, pid) = (self.micros(), process.pid);
        let ledger = &mut self.ledger;
        let Some(hold) = process.holds.remove(&seq) else {
            ledger.short.retain(|key| (key.pid, key.seq) != (pid, seq));
            return;
        };
        ledger.freed = true;
        if used.tool_calls == 0 {
            return ledger.quotas.settle(hold, used, now);
        }
        ledger.quotas.refund(hold, now);
        ledger.charge(process.account, used);
    }

    /// An attempt was lost; the call will start again, if what is left is enough for that beside what this one used, and what budgets
    /// are charged beyond that. Says whether it is: nothing is charged otherwise.
    pub(crate) fn lose_above(
        &mut self,
        process: &mut Process,
        seq: Seq,
        used: Reservation,
        beyond: Reservation,
    ) -> bool {
        if self.fits_above(process, used.plus(&beyond)).is_err() {
            return false;
        }
        let now = self.micros();
        if let Some(hold) = process.holds.get_mut(&seq) {
            self.ledger.quotas.lose(hold, used, now);
            self.ledger.charge(process.account, beyond);
        }
        true
    }
}

/// A refusal as the journal has it.
fn decision(refused: Refused<Account>) -> Decision {
    match refused {
        Refused::Budget { key, limit, left, needed } => {
            Decision::OverQuota { limit: limit_of(key, limit), left, needed }
        }
        other => Decision::Reject { reason: other.to_string() },
    }
}
