//! The gate: the one place that decides whether a call goes on. A function of data; nothing here carries anything out.

use kernel_security::{Relation, Request, decide};
use kernel_tools::ToolPaths;
use kernel_types::{Call, Decision, ErrorKind, Pid, SysError, SyscallNo};

use crate::core::Core;
use crate::process::Process;

/// The calls this kernel carries out. The others of the table answer `Unsupported`.
pub(crate) const BUILT: &[SyscallNo] = &[
    SyscallNo::Probe,
    SyscallNo::Spawn,
    SyscallNo::Fork,
    SyscallNo::Exit,
    SyscallNo::Wait,
    SyscallNo::Signal,
    SyscallNo::SetPriority,
    SyscallNo::Sleep,
    SyscallNo::ProcessInfo,
    SyscallNo::List,
    SyscallNo::PageAlloc,
    SyscallNo::PageRead,
    SyscallNo::PagePin,
    SyscallNo::PageUnpin,
    SyscallNo::PageFree,
    SyscallNo::Recall,
    SyscallNo::Note,
    SyscallNo::Infer,
    SyscallNo::ToolList,
    SyscallNo::ToolCall,
    SyscallNo::Send,
    SyscallNo::Receive,
    SyscallNo::Publish,
    SyscallNo::Subscribe,
    SyscallNo::Lock,
    SyscallNo::Unlock,
    SyscallNo::Checkpoint,
    SyscallNo::Restore,
    SyscallNo::Remember,
    SyscallNo::Search,
    SyscallNo::Put,
    SyscallNo::Get,
    SyscallNo::Now,
    SyscallNo::Random,
];

impl Core {
    /// The calls that it carries out with the parts it has.
    pub(crate) fn built(&self) -> Vec<SyscallNo> {
        let of_memory = |no: SyscallNo| matches!(no, SyscallNo::Remember | SyscallNo::Search);
        BUILT.iter().copied().filter(|no| self.parts.memory.is_some() || !of_memory(*no)).collect()
    }

    /// Support, then policy and capabilities. Arguments and quotas are looked at by the call's own preparation.
    pub(crate) fn decide(&self, process: &Process, call: &Call) -> Decision {
        let no = call.number();
        if !BUILT.contains(&no) {
            return Decision::Reject { reason: format!("{no} is not built in this kernel") };
        }
        let mut request = Request::new(call);
        let paths;
        match call {
            Call::ToolCall(args) => {
                // An unknown tool is judged by the capabilities like any other, so that a refusal tells nothing.
                request.tool = self.parts.registry.spec(&args.tool);
                paths = match request.tool.map(|tool| self.parts.registry.paths(&tool.name, &args.args)) {
                    Some(Ok(found)) => found,
                    Some(Err(error)) => return Decision::Reject { reason: error.to_string() },
                    None => ToolPaths::default(),
                };
                request.reads = &paths.reads;
                request.writes = &paths.writes;
            }
            Call::Infer(args) => {
                request.model = self.parts.model(args.model.as_deref(), process.spec.model.as_deref());
            }
            Call::Signal { pid, .. }
            | Call::SetPriority { pid, .. }
            | Call::ProcessInfo { pid: Some(pid) } => {
                request.relation = Some(self.relation(process, *pid));
            }
            Call::Send(args) => request.relation = Some(self.relation(process, args.to)),
            // A topic reaches, and is heard by, whoever of the tenant knows its name.
            Call::Publish { .. } | Call::Subscribe { .. } => request.relation = Some(Relation::Other),
            _ => {}
        }
        decide(&self.parts.policy, &process.capabilities, &request)
    }

    /// What a process is to the caller.
    pub(crate) fn relation(&self, caller: &Process, target: Pid) -> Relation {
        if target == caller.pid {
            return Relation::Self_;
        }
        if caller.children.contains(&target) {
            return Relation::Child;
        }
        if target == caller.parent {
            return Relation::Parent;
        }
        let above = |start: Pid| {
            std::iter::successors(Some(start), |pid| self.processes.get(pid).map(|process| process.parent))
                .take_while(|pid| *pid != Pid::INIT)
                .take(1 + self.processes.len())
        };
        let target_parent = self.processes.get(&target).map_or(Pid::INIT, |process| process.parent);
        if above(target_parent).any(|pid| pid == caller.pid) {
            return Relation::Descendant;
        }
        let root = above(caller.parent).last().unwrap_or(caller.pid);
        if target == root || above(target_parent).any(|pid| pid == root) {
            Relation::Tree
        } else {
            Relation::Other
        }
    }
}

/// The error a program gets for a refusal.
pub(crate) fn refusal(no: SyscallNo, decision: &Decision) -> SysError {
    match decision {
        Decision::Allow => SysError::new(ErrorKind::Failed, "allowed"),
        Decision::Ask { rule } => SysError::new(
            ErrorKind::Denied,
            format!("{no}: needs approval ({rule}) and nobody is there to give it"),
        ),
        Decision::Deny { missing } => {
            SysError::new(ErrorKind::Denied, format!("{no}: missing capability {missing}"))
        }
        Decision::OverQuota { limit, left, needed } => {
            SysError::new(ErrorKind::QuotaExceeded, format!("{no}: needs {needed} of {limit}, {left} left"))
        }
        Decision::Reject { reason } => {
            let kind = if BUILT.contains(&no) { ErrorKind::InvalidArgument } else { ErrorKind::Unsupported };
            SysError::new(kind, reason.clone())
        }
    }
}
