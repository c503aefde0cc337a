//! Budgets above processes: held for a call before it starts, waited for while others hold what is missing, settled at the truth.
//!
//! A call that is refused because of what others only hold is not refused for good: calls mostly use less than they hold. It waits,
//! in order, until one of them has ended. What is refused because of what was spent is refused at once.

use kernel_sched::Refused;
use kernel_types::{CallKey, Decision, Reservation, Seq, SyscallNo, WaitCause};

use crate::core::{Core, Spent};
use crate::gate::refusal;
use crate::ledger::{Account, limit_of};
use crate::process::Process;

impl Core {
    /// Holds the budgets above a process for a call, if there are any. `Some`: others hold what is missing of that account's. It is
    /// asked for again when the call is to start.
    pub(crate) fn hold_above(
        &mut self,
        process: &mut Process,
        seq: Seq,
        most: Reservation,
    ) -> Result<Option<Account>, Decision> {
        let (now, ledger) = (self.micros(), &mut self.ledger);
        match ledger.quotas.reserve(process.account, most, Reservation::default(), now) {
            Ok(hold) => drop(process.holds.insert(seq, hold)),
            Err(Refused::Budget { key, limit, needed, .. }) if ledger.has_unspent(key, limit, needed) => {
                return Ok(Some(key));
            }
            Err(refused) => return Err(decision(refused)),
        }
        Ok(None)
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
            Ok(None) => {
                self.stops_being_short(process, seq);
                self.end_wait(process, seq);
                true
            }
            Ok(Some(account)) => {
                self.wait_for(process, seq, WaitCause::Budget);
                let call = CallKey { pid: process.pid, step: process.image.step, seq };
                if let Some(running) = process.running.get_mut(&seq) {
                    // One that waits for the same account already keeps its place.
                    let elsewhere = running.short_of.take_if(|(known, _)| *known != account);
                    elsewhere.into_iter().for_each(|place| self.ledger.is_short_no_more(place));
                    running.short_of.get_or_insert_with(|| self.ledger.is_short_of(account, call));
                }
                false
            }
            Err(decision) => {
                self.refuse(process, index, no, &decision);
                false
            }
        }
    }

    /// A call waits for no budget any more.
    pub(crate) fn stops_being_short(&mut self, process: &mut Process, seq: Seq) {
        let place = process.running.get_mut(&seq).and_then(|running| running.short_of.take());
        place.into_iter().for_each(|place| self.ledger.is_short_no_more(place));
    }

    /// Ends a call that was let through before and is refused now. A limit that it hit sets its process aside.
    pub(crate) fn refuse(&mut self, process: &mut Process, index: usize, no: SyscallNo, decision: &Decision) {
        if let Decision::OverQuota { limit, .. } = decision {
            process.quota_hit = Some(*limit);
        }
        self.finish(process, index, Err(refusal(no, decision)), Spent::default());
    }

    /// Starts the calls whose budgets others have let go of, of each account in order, up to the first for which there is not enough.
    pub(crate) fn fire_short(&mut self) {
        if !std::mem::take(&mut self.ledger.freed) {
            return;
        }
        let accounts: Vec<Account> = self.ledger.short.keys().copied().collect();
        for account in accounts {
            while let Some((number, key)) = self.first_short_of(account) {
                let waits = self.with(key.pid, |core, process| core.asks_again(process, key));
                if waits == Some(true) {
                    break;
                }
                // Whatever became of it: none is looked at twice.
                self.ledger.is_short_no_more((account, number));
            }
        }
    }

    fn first_short_of(&self, account: Account) -> Option<(u64, CallKey)> {
        let (number, key) = self.ledger.short.get(&account)?.first_key_value()?;
        Some((*number, *key))
    }

    /// A call that waited for a budget starts if it fits now. Says whether it still waits for the same account's.
    fn asks_again(&mut self, process: &mut Process, key: CallKey) -> bool {
        let Some(index) = process.pending_index(key.step, key.seq) else { return false };
        let place = |process: &Process| process.running.get(&key.seq).and_then(|running| running.short_of);
        let before = place(process);
        if self.has_budget(process, index) && self.has_resources(process, index) {
            self.start_device(process, index);
        }
        let waits = before.is_some() && place(process) == before;
        if !waits {
            self.settle(process);
        }
        waits
    }

    /// A call that may hold limits above its process is over. Those of tools count for budgets only: rates are of inferences.
    pub(crate) fn settle_above(&mut self, process: &mut Process, seq: Seq, used: Reservation) {
        let now = self.micros();
        let Some(hold) = process.holds.remove(&seq) else { return self.stops_being_short(process, seq) };
        let ledger = &mut self.ledger;
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
