//! The syscall table as it is promised to programs: a change of it is a visible change of `table.txt`.

use std::collections::BTreeSet;
use std::fmt::Write;

use kernel_types::{ABI_VERSION, SyscallNo};

#[test]
fn the_table_is_the_one_that_was_promised() {
    let mut table = format!("abi {ABI_VERSION}\n");
    for no in SyscallNo::ALL {
        let line =
            writeln!(table, "{:>3} {:<12} {:?} {:?}", no.number(), no.name(), no.class(), no.recovery());
        line.expect("a string takes any text");
    }
    assert_eq!(
        table,
        include_str!("table.txt"),
        "numbers are never reused; a new call is a new line:\n{table}"
    );
}

#[test]
fn numbers_and_names_are_unique() {
    let numbers: BTreeSet<u16> = SyscallNo::ALL.iter().map(|no| no.number()).collect();
    let names: BTreeSet<&str> = SyscallNo::ALL.iter().map(|no| no.name()).collect();
    assert_eq!((numbers.len(), names.len()), (SyscallNo::ALL.len(), SyscallNo::ALL.len()));
    assert_eq!(SyscallNo::Probe.number(), 0);
}

#[test]
fn a_name_is_the_one_in_json() {
    for no in SyscallNo::ALL {
        assert_eq!(serde_json::to_string(no).expect("written"), format!("\"{no}\""));
    }
}
