//! What the model of the fair policy found.

use kernel_sched::{Charge, Demand, Entry, Fair, Micros, Scheduler, Slot};
use kernel_types::{Pid, Priority, Tokens};

fn pid(number: u64) -> Pid {
    Pid::from_parts(number + 1, 0)
}

/// Families of several processes, some heavier than a slot, while the number of slots changes: all shares change at once, so
/// that deadlines must not depend on the order in which they do.
fn grants() -> Vec<Pid> {
    let mut fair = Fair::new();
    // Six families of one to four processes, of which three are due more than the slots they can use.
    let families = [(0, 4), (5, 3), (10, 4), (40, 2), (60, 3), (80, 1)];
    let mut pids = (0..).map(pid);
    for (root, (level, processes)) in (100..).zip(families) {
        let share = Priority::new(level).unwrap();
        for pid in pids.by_ref().take(processes) {
            fair.admit(Entry::new(pid).below(Pid::from_parts(root, 0), share), Micros(0)).unwrap();
            fair.request(pid, Demand::default(), Micros(0)).unwrap();
        }
    }
    let mut grants = Vec::new();
    for round in 0..400 {
        let slot = Slot { number: 0, of: [2, 12, 3, 9][round % 4], warm: &[] };
        let grant = fair.next(&slot, Micros(0)).unwrap();
        let charge = Charge { uncached: Tokens(round as u64 * 13 % 700), ..Charge::default() };
        fair.settle(grant.pid, charge, Micros(0)).unwrap();
        fair.request(grant.pid, Demand::default(), Micros(0)).unwrap();
        grants.push(grant.pid);
    }
    grants
}

#[test]
fn other_numbers_of_slots_give_one_schedule() {
    let first = grants();
    (0..20).for_each(|_| assert_eq!(grants(), first));
}

/// Of two that are warm the one whose tenant is further behind goes first, whatever their families had within their tenants.
#[test]
fn the_warm_of_different_tenants_go_by_their_tenants() {
    let mut fair = Fair::new();
    let (before, of_busy, of_idle) = (pid(0), pid(1), pid(2));
    // The families of the busy tenant are heavy: little virtual time of theirs for what they had.
    let heavy = |pid| Entry::new(pid).urgent(Priority::new(0).unwrap()).of_tenant(1);
    for entry in [heavy(before), heavy(of_busy), Entry::new(of_idle).of_tenant(2)] {
        fair.admit(entry, Micros(0)).unwrap();
        fair.request(entry.pid, Demand::default(), Micros(0)).unwrap();
    }
    assert_eq!(fair.next(&Slot::default(), Micros(0)).unwrap().pid, before);
    fair.settle(before, Charge { uncached: Tokens(4_000), ..Charge::default() }, Micros(0)).unwrap();
    let slot = Slot { warm: &[of_busy, of_idle], ..Slot::default() };
    assert_eq!(fair.next(&slot, Micros(0)).unwrap().pid, of_idle);
}
