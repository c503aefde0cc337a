//! Countable things that devices need: slots of a tool, memory of a Cpu, bytes of a GPU. A call that needs what others hold
//! waits, in order, before it starts.

use kernel_sched::Asked;
use kernel_types::{Call, CallKey, ErrorKind, Seq, SysError, WaitCause};

use crate::core::{Core, Spent};
use crate::process::Process;

impl Core {
    /// Asks for what the device of a call needs. `false`: it waits, or was refused and has ended.
    pub(crate) fn has_resources(&mut self, process: &mut Process, index: usize) -> bool {
        let seq = process.image.open[index].seq;
        let Some(needs) = self.needs_of(process, index) else { return true };
        let key = CallKey { pid: process.pid, step: process.image.step, seq };
        match self.resources.ask(key, &needs) {
            Ok(Asked::Granted) => true,
            Ok(Asked::Waits) => {
                self.wait_for(process, seq, WaitCause::Resource);
                self.pings_give_way();
                false
            }
            Err(error) => {
                let error = SysError::new(ErrorKind::Unavailable, error.to_string());
                self.finish(process, index, Err(error), Spent::default());
                false
            }
        }
    }

    fn needs_of(&self, process: &Process, index: usize) -> Option<Vec<(String, u64)>> {
        let pending = process.image.open[index].pending.as_ref()?;
        let needs = match &pending.call {
            Call::ToolCall(args) => self.parts.tool_needs.get(&args.tool)?,
            Call::Infer(_) => {
                let ready = process.prompts.get(&process.image.open[index].seq)?;
                self.parts.model_needs.get(&ready.view.model)?
            }
            _ => return None,
        };
        Some(needs.clone())
    }

    /// A call is over, or does not wait any more: others may start.
    pub(crate) fn free_resources(&mut self, process: &Process, seq: Seq) {
        if self.parts.tool_needs.is_empty() && self.parts.model_needs.is_empty() {
            return;
        }
        let key = CallKey { pid: process.pid, step: process.image.step, seq };
        let granted = self.resources.give_back(key);
        self.supplied.extend(granted);
    }

    /// Starts the calls that have what they need now.
    pub(crate) fn start_supplied(&mut self) {
        let supplied = std::mem::take(&mut self.supplied);
        if !self.may_send() {
            return;
        }
        for key in supplied {
            self.with(key.pid, |core, process| {
                let Some(index) = process.pending_index(key.step, key.seq) else { return };
                core.end_wait(process, key.seq);
                core.start_device(process, index);
                core.settle(process);
            });
        }
    }
}
