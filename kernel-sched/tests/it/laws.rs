//! Every policy against the laws, plain and boxed.

use kernel_sched::{
    Fair, FeedbackQueue, Fifo, LeastAttained, Micros, PriorityRoundRobin, Scheduler, TokenCounter,
    scheduler_conformance,
};

scheduler_conformance!(fifo, Fifo::new());
scheduler_conformance!(fifo_boxed, Box::new(Fifo::new()) as Box<dyn Scheduler>);
scheduler_conformance!(priority_rr, PriorityRoundRobin::new());
scheduler_conformance!(priority_rr_boxed, Box::new(PriorityRoundRobin::new()) as Box<dyn Scheduler>);
scheduler_conformance!(priority_rr_without_slices, PriorityRoundRobin::new().with_slice(Micros(0)));
scheduler_conformance!(priority_rr_with_no_aging_between_levels, PriorityRoundRobin::new().with_aging(0));
scheduler_conformance!(fair, Fair::new());
scheduler_conformance!(fair_boxed, Box::new(Fair::new()) as Box<dyn Scheduler>);
scheduler_conformance!(fair_without_slack, Fair::new().with_slack(0));
scheduler_conformance!(las, LeastAttained::new());
scheduler_conformance!(vtc, TokenCounter::new());
scheduler_conformance!(mlfq, FeedbackQueue::new());
