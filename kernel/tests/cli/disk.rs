//! A disk that is full: a small file system of its own, in a mount namespace that ends with the test.

use std::process::Command;

use crate::home::{Ended, Home, end};

const SCRIPT: &str = "[[reply]]\ntext = \"Done.\"\n";

/// Runs a shell script in a mount namespace in which `$DISK` is a file system of this size.
fn on_small_disk(home: &Home, size: &str, script: &str) -> Ended {
    let disk = home.path("disk");
    std::fs::create_dir_all(&disk).unwrap();
    let mount = format!("mount -t tmpfs -o size={size} none \"$DISK\" || exit 99\n{script}");
    let mut command = Command::new("unshare");
    let command = command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount])
        .env("DISK", &disk)
        .env("AGENTOS", env!("CARGO_BIN_EXE_agentos"))
        .env("AGENTOS_DATA_DIR", disk.join("data"))
        .env("CPU", home.scripted(SCRIPT))
        .current_dir(home.path("."));
    let ended = end(command);
    assert_ne!(ended.code, Some(99), "this test needs unprivileged mount namespaces or root: {ended:#?}");
    ended
}

#[test]
fn a_full_disk_is_said_and_the_run_goes_on_once_there_is_space() {
    let home = Home::new();
    let text: String =
        (0..60_000).map(|n| format!("line {n} of a text that is too large for the disk\n")).collect();
    home.file("work/large.txt", text);
    let ended = on_small_disk(
        &home,
        "2m",
        r#"
        "$AGENTOS" run --cpu "$CPU" --workspace work "What is on line 7?" 2>"$DISK.err"; echo "code $?"
        cat "$DISK.err" >&2
        pid=$(sed -n 's/^pid //p' "$DISK.err")
        mount -o remount,size=64m "$DISK"
        "$AGENTOS" resume "$pid"; echo "code $?"
        "$AGENTOS" audit verify; echo "code $?"
        "#,
    );
    let codes: Vec<&str> = ended.stdout.lines().filter(|line| line.starts_with("code ")).collect();
    assert_eq!(codes, ["code 74", "code 0", "code 0"], "{ended:#?}");
    assert!(ended.stderr.contains("no space is left"), "{ended:#?}");
    assert!(ended.stdout.contains("Done."), "{ended:#?}");
}
