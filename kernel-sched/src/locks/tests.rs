//! Single cases of locks; their laws are in the integration tests.

use kernel_types::{Priority, Retry};

use super::{LockError, Locks, Taken};

fn priority(value: u8) -> Priority {
    Priority::new(value).expect("within 0 to 100")
}

/// Takes locks in this order, all of middling urgency but where it is given.
fn locks(taken: &[(char, &str, u8)]) -> Locks<char> {
    let mut locks = Locks::new();
    for (who, name, urgency) in taken {
        locks.lock(*who, name, priority(*urgency)).expect("no cycle");
    }
    locks
}

#[test]
fn who_waits_is_served_by_urgency_then_by_arrival() {
    let mut locks = locks(&[('h', "x", 50), ('a', "x", 50), ('b', "x", 50), ('c', "x", 20)]);
    assert_eq!(locks.unlock('h', "x"), Ok(Some('c')));
    assert_eq!(locks.unlock('c', "x"), Ok(Some('a')));
    assert_eq!(locks.unlock('a', "x"), Ok(Some('b')));
    assert_eq!(locks.unlock('b', "x"), Ok(None));
    assert_eq!((locks.holder("x"), locks.urgency('b')), (None, None));
}

#[test]
fn a_change_of_hands_counts_ten_levels_for_who_waits() {
    let mut locks = locks(&[('h', "x", 50), ('i', "x", 50), ('a', "x", 59), ('b', "x", 61)]);
    assert_eq!(locks.unlock('h', "x"), Ok(Some('i')));
    locks.lock('c', "x", priority(50)).expect("no cycle");
    assert_eq!(locks.unlock('i', "x"), Ok(Some('a')), "49 after ten levels, against 50");
    assert_eq!(locks.unlock('a', "x"), Ok(Some('c')), "51 against 50");
}

#[test]
fn who_holds_what_the_urgent_wait_for_is_served_as_they_would_be() {
    let mut locks = locks(&[('h', "x", 50), ('a', "x", 40), ('m', "y", 60)]);
    locks.lock('m', "x", priority(60)).expect("no cycle");
    locks.lock('u', "y", priority(1)).expect("no cycle");
    assert_eq!((locks.urgency('m'), locks.urgency('h')), (Some(priority(1)), Some(priority(1))));
    assert_eq!(locks.unlock('h', "x"), Ok(Some('m')));
    assert_eq!(locks.unlock('m', "y"), Ok(Some('u')));
    assert_eq!(locks.urgency('m'), Some(priority(40)), "of its own 60, and 40 of who waits for x");
}

#[test]
fn a_cycle_is_named_and_changes_nothing() {
    let mut locks = locks(&[('a', "x", 50), ('b', "y", 50), ('c', "z", 50), ('a', "y", 50), ('b', "z", 50)]);
    let before = locks.clone();
    let error = locks.lock('c', "x", priority(1)).expect_err("all would wait");
    let cycle = vec![('c', "x".to_owned()), ('a', "y".to_owned()), ('b', "z".to_owned())];
    assert_eq!(error, LockError::Cycle(cycle));
    let said = "deadlock: 'c' would wait for 'a' over \"x\", 'a' waits for 'b' over \"y\", 'b' waits for 'c' over \"z\"";
    assert_eq!((error.to_string().as_str(), error.retry()), (said, Retry::Never));
    assert_eq!(locks, before);
    assert_eq!(
        locks.lock('d', "x", priority(50)),
        Ok(Taken::Waits { holder: 'a' }),
        "a wait without a cycle"
    );
}

#[test]
fn the_dead_give_up_all_they_hold_and_wait_for() {
    let mut locks = locks(&[('a', "x", 50), ('a', "y", 50), ('a', "w", 50), ('b', "z", 50)]);
    for (who, name, urgency) in [('c', "x", 9), ('d', "y", 50), ('a', "z", 50)] {
        locks.lock(who, name, priority(urgency)).expect("no cycle");
    }
    assert_eq!(locks.urgency('b'), Some(priority(9)), "through a");
    assert_eq!(locks.leave('a'), [("x".to_owned(), 'c'), ("y".to_owned(), 'd')]);
    assert_eq!((locks.urgency('b'), locks.urgency('a')), (Some(priority(50)), None));
    assert_eq!((locks.holder("w"), locks.unlock('b', "z")), (None, Ok(None)));
    assert_eq!(locks.leave('a'), []);
}

#[test]
fn misuse_is_an_error() {
    let mut locks = locks(&[('a', "x", 50), ('b', "x", 50)]);
    let name = || "x".to_owned();
    assert_eq!(locks.lock('a', "x", priority(1)), Err(LockError::Held { who: 'a', name: name() }));
    assert_eq!(locks.lock('b', "x", priority(1)), Err(LockError::Waits { who: 'b', name: name() }));
    assert_eq!(locks.lock('b', "y", priority(1)), Err(LockError::Waits { who: 'b', name: name() }));
    assert_eq!(locks.unlock('b', "x"), Err(LockError::NotHeld { who: 'b', name: name() }));
    assert_eq!((locks.cancel('a'), locks.cancel('z')), (None, None));
    assert_eq!((locks.waits_for('b'), locks.waits_for('a')), (Some(("x", 'a')), None));
    assert_eq!(locks.urgency('a'), Some(priority(50)), "what is refused changes no urgency");
    locks.set_urgency('z', priority(1));
    assert_eq!(locks.urgency('z'), None);
}
