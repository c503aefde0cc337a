//! Single cases of resources; their laws are in the integration tests.

use super::{Asked, ResourceError, Resources};

fn need(name: &str, count: u64) -> (String, u64) {
    (name.to_owned(), count)
}

fn resources() -> Resources<char> {
    Resources::new([need("memory", 10), need("gpu", 2)])
}

#[test]
fn needs_of_one_name_are_summed() {
    let mut resources = resources();
    let too_much = ResourceError::TooMuch { name: "gpu".to_owned(), needed: 3, capacity: 2 };
    assert_eq!(resources.ask('a', &[need("gpu", 2), need("gpu", 1)]), Err(too_much));
    assert_eq!(resources.ask('a', &[need("gpu", 1), need("gpu", 1)]), Ok(Asked::Granted));
    assert_eq!(resources.held("gpu"), Some(2));
    let huge = [need("memory", u64::MAX), need("memory", u64::MAX)];
    assert!(matches!(resources.ask('b', &huge), Err(ResourceError::TooMuch { .. })));
}

#[test]
fn misuse_is_an_error() {
    let mut resources = resources();
    assert_eq!(resources.ask('a', &[need("tape", 0)]), Err(ResourceError::Unknown("tape".to_owned())));
    assert_eq!(resources.ask('a', &[need("gpu", 2)]), Ok(Asked::Granted));
    assert_eq!(resources.ask('a', &[]), Err(ResourceError::AskedAlready));
    assert_eq!(resources.ask('b', &[need("gpu", 1)]), Ok(Asked::Waits));
    assert_eq!(resources.ask('b', &[]), Err(ResourceError::AskedAlready));
    assert_eq!(resources.give_back('z'), []);
    assert_eq!((resources.held("tape"), resources.capacity("tape")), (None, None));
}

#[test]
fn a_request_for_nothing_passes_everyone() {
    let mut resources = resources();
    assert_eq!(resources.ask('a', &[need("gpu", 2)]), Ok(Asked::Granted));
    assert_eq!(resources.ask('b', &[need("gpu", 1)]), Ok(Asked::Waits));
    assert_eq!(resources.ask('c', &[need("gpu", 0)]), Ok(Asked::Granted));
    assert_eq!(resources.ask('d', &[need("memory", 10)]), Ok(Asked::Granted), "it shares nothing with b");
}

#[test]
fn a_request_that_is_taken_back_lets_others_pass() {
    let mut resources = resources();
    assert_eq!(resources.ask('a', &[need("memory", 6)]), Ok(Asked::Granted));
    assert_eq!(resources.ask('b', &[need("memory", 6), need("gpu", 1)]), Ok(Asked::Waits));
    assert_eq!(resources.ask('c', &[need("memory", 4)]), Ok(Asked::Waits));
    assert_eq!(resources.ask('d', &[need("gpu", 2)]), Ok(Asked::Waits));
    assert_eq!(resources.waiting(), 3);
    assert_eq!(resources.give_back('b'), ['c', 'd']);
    assert_eq!(resources.waiting(), 0);
}

#[test]
fn a_cut_grants_nobody_until_it_fits_again() {
    let mut resources = resources();
    assert_eq!(resources.ask('a', &[need("memory", 6)]), Ok(Asked::Granted));
    assert_eq!(resources.ask('b', &[need("memory", 3)]), Ok(Asked::Granted));
    assert_eq!(resources.set_capacity("memory", 4), []);
    assert_eq!(resources.ask('c', &[need("memory", 1)]), Ok(Asked::Waits));
    assert_eq!(resources.give_back('b'), [], "6 of 4 are held");
    assert_eq!(resources.give_back('a'), ['c']);
}

#[test]
fn who_waits_for_more_than_there_is_stands_in_nobodys_way() {
    let mut resources = resources();
    assert_eq!(resources.ask('a', &[need("gpu", 1)]), Ok(Asked::Granted));
    assert_eq!(resources.ask('b', &[need("gpu", 2), need("memory", 1)]), Ok(Asked::Waits));
    assert_eq!(resources.ask('c', &[need("memory", 1)]), Ok(Asked::Waits));
    assert_eq!(resources.set_capacity("gpu", 1), ['c']);
    assert_eq!(resources.give_back('a'), []);
    assert_eq!(resources.set_capacity("gpu", 2), ['b']);
    assert_eq!(resources.set_capacity("tape", 1), [], "a new name");
    assert_eq!(resources.ask('d', &[need("tape", 1)]), Ok(Asked::Granted));
}
