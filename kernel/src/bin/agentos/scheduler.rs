//! `--scheduler`: who gets the slots of the model.

use clap::ValueEnum;
use kernel_sched::{Fair, FeedbackQueue, Fifo, LeastAttained, PriorityRoundRobin, Scheduler, TokenCounter};

use crate::args::SchedulerArgs;

/// A policy that ships.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum PolicyChoice {
    /// Shares by priority, for a process and all below it together; the warm may go a little ahead.
    #[default]
    Fair,
    /// In the order of the requests.
    Fifo,
    /// By priority, in turns; who waits long becomes more urgent.
    #[value(name = "priority_rr", alias = "priority-rr")]
    PriorityRr,
    /// Who has used little goes before who has used much, in levels.
    Mlfq,
    /// Who was served least so far goes first.
    Las,
    /// Who was served the fewest tokens goes first; who comes back starts with those who wait.
    Vtc,
}

/// One for each Cpu.
pub(crate) fn make(args: SchedulerArgs) -> Box<dyn Scheduler> {
    match args.scheduler {
        PolicyChoice::Fair => match args.slack {
            Some(slack) => Box::new(Fair::new().with_slack(slack)),
            None => Box::new(Fair::new()),
        },
        PolicyChoice::Fifo => Box::new(Fifo::new()),
        PolicyChoice::PriorityRr => Box::new(PriorityRoundRobin::new()),
        PolicyChoice::Mlfq => Box::new(FeedbackQueue::new()),
        PolicyChoice::Las => Box::new(LeastAttained::new()),
        PolicyChoice::Vtc => Box::new(TokenCounter::new()),
    }
}
