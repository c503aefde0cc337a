//! Laws about streaming, cancellation and calls side by side.

use futures_util::future::join_all;
use kernel_types::{Prompt, Role};

use super::prompts::{question, request, says};
use super::{Subject, Watch};
use crate::Cpu;

/// The deltas of a call, joined, are the text of its answer.
pub async fn deltas_join_to_the_text<C: Cpu>(subject: &Subject<C>) {
    let ask = request(&subject.cpu, question(), 16, 7);
    let key = ask.key;
    let (answer, watch) = subject.answer(ask).await;
    assert!(!answer.text().is_empty(), "a question is answered with text");
    assert_eq!(watch.text(key), answer.text(), "the deltas are not the text");
    assert_eq!(watch.keys(), [key], "deltas carry the key of their call");
}

/// Calls dropped after their first delta, more of them than there are slots, leave no slot taken.
pub async fn a_dropped_call_leaves_the_cpu_working<C: Cpu>(subject: &Subject<C>) {
    for seq in 0..subject.cpu.slots().min(4) * 2 {
        let watch = Watch::default();
        tokio::select! {
            biased;
            () = watch.some_text() => {}
            _ = subject.ask(request(&subject.cpu, question(), 256, seq), &watch) => {}
        }
    }
    subject.answer(request(&subject.cpu, question(), 2, 99)).await;
}

/// As many calls at a time as there are slots all succeed, and no text goes to another call.
pub async fn parallel_calls_do_not_mix<C: Cpu>(subject: &Subject<C>) {
    let watch = Watch::default();
    let calls = (0..subject.cpu.slots().min(8)).map(|seq| {
        let words = format!("Count from {} to {}.", seq * 10, seq * 10 + 9);
        let prompt = Prompt { messages: vec![says(Role::User, &words)], ..Prompt::default() };
        let ask = request(&subject.cpu, prompt, 8, seq);
        let key = ask.key;
        let watch = &watch;
        async move { (key, subject.ask(ask, watch).await) }
    });
    for (key, answer) in join_all(calls).await {
        match answer {
            Ok(answer) => assert_eq!(watch.text(key), answer.text(), "the deltas of {key} are not its text"),
            Err(error) => panic!("one of {} parallel calls failed: {error}", subject.cpu.slots()),
        }
    }
}
