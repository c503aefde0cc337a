//! Identifiers: what is written is read again, and nothing else is.

use kernel_types::{CallKey, Hash, Pid, Seq, StepNo, hash_bytes};
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_pid_comes_back_from_text_and_bytes(unix_ms in 0u64..1 << 48, random: u128) {
        let pid = Pid::from_parts(unix_ms, random);
        prop_assert_eq!(pid.to_string().parse::<Pid>().ok(), Some(pid));
        prop_assert_eq!(Pid::from_bytes(pid.to_bytes()), pid);
        let json = serde_json::to_string(&pid).expect("a pid is written");
        prop_assert_eq!(serde_json::from_str::<Pid>(&json).expect("a pid is read"), pid);
    }

    #[test]
    fn a_later_pid_is_larger(earlier in 0u64..(1 << 48) - 1, first: u128, second: u128) {
        prop_assert!(Pid::from_parts(earlier, first) < Pid::from_parts(earlier + 1, second));
    }

    #[test]
    fn a_hash_comes_back_from_text(bytes: [u8; 32]) {
        let hash = Hash(bytes);
        prop_assert_eq!(hash.to_string().parse::<Hash>(), Ok(hash));
        prop_assert_eq!(Hash::from_slice(&bytes), Some(hash));
    }

    #[test]
    fn a_call_key_comes_back_from_text(unix_ms in 0u64..1 << 48, random: u128, step: u64, seq: u32) {
        let key = CallKey { pid: Pid::from_parts(unix_ms, random), step: StepNo(step), seq: Seq(seq) };
        prop_assert_eq!(key.to_string().parse::<CallKey>(), Ok(key));
    }

    #[test]
    fn hostile_text_is_refused_without_a_panic(text in ".{0,80}") {
        drop((text.parse::<Pid>(), text.parse::<Hash>(), text.parse::<CallKey>()));
    }

    #[test]
    fn text_that_reads_as_a_hash_is_that_hash(text in "[0-9a-fA-F+-]{64}") {
        if let Ok(hash) = text.parse::<Hash>() {
            prop_assert_eq!(hash.to_string(), text.to_lowercase());
        }
    }
}

#[test]
fn a_fresh_pid_is_a_version_7_uuid() {
    let text = Pid::fresh().to_string();
    assert_eq!(text.as_bytes()[14], b'7', "{text}");
    assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{text}");
}

#[test]
fn init_is_the_nil_pid_and_no_other() {
    assert_eq!(Pid::INIT.to_string(), "00000000-0000-0000-0000-000000000000");
    assert_ne!(Pid::from_parts(0, 0), Pid::INIT);
}

#[test]
fn malformed_ids_are_refused() {
    let hash = hash_bytes(b"x").to_string();
    for wrong in
        ["", &hash[1..], &format!("{hash}0"), &format!("g{}", &hash[1..]), &format!("+{}", &hash[1..])]
    {
        assert!(wrong.parse::<Hash>().is_err(), "{wrong:?}");
    }
    let pid = Pid::fresh();
    for wrong in
        [String::new(), pid.to_string(), format!("{pid}/1"), format!("{pid}/1/2/3"), format!("{pid}/x/0")]
    {
        assert!(wrong.parse::<CallKey>().is_err(), "{wrong:?}");
    }
    assert_eq!(Hash::from_slice(&[0; 31]), None);
}
