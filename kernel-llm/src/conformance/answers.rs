//! Laws about what an answer holds.

use std::collections::BTreeSet;

use kernel_types::{JsonText, Message, Part, Prompt, Role, Tokens};

use super::Subject;
use super::prompts::{TOOL_NAME, TOOL_WORDS, question, request, says, tool};
use crate::Cpu;

/// Usage is there, plausible, and never more than the input where it is a part of it.
pub async fn usage_is_reported<C: Cpu>(subject: &Subject<C>) {
    let (answer, _) = subject.answer(request(&subject.cpu, question(), 8, 0)).await;
    let usage = answer.usage;
    assert!(usage.input > Tokens(4), "input of {} tokens for a prompt of some 20 words", usage.input);
    assert!(usage.output > Tokens(0) || answer.parts.is_empty(), "no output tokens for an answer");
    assert!(
        usage.cached.saturating_add(usage.cache_written) <= usage.input,
        "cached {} and written {} are parts of the input of {}",
        usage.cached,
        usage.cache_written,
        usage.input
    );
    assert!(!answer.model.is_empty(), "the answer names its model");
    assert!(!answer.finish.is_empty(), "the answer says why it ended");
}

/// No more output tokens than asked for, and cut off is said to be.
pub async fn max_output_is_respected<C: Cpu>(subject: &Subject<C>) {
    for limit in [1, 4] {
        let (answer, _) = subject.answer(request(&subject.cpu, question(), limit, 0)).await;
        let output = answer.usage.output;
        assert!(output <= Tokens(limit), "{output} output tokens, {limit} asked for");
        let letters = answer.text().chars().count() as u64;
        assert!(letters <= limit * 40, "{letters} characters can hardly be {limit} tokens");
    }
    let (answer, _) = subject.answer(request(&subject.cpu, question(), 1, 1)).await;
    assert_eq!(answer.finish, "length", "an answer cut off by its limit says so");
}

/// Shortening any one message makes the prompt shorter for the model: none is dropped on the way.
pub async fn every_message_counts<C: Cpu>(subject: &Subject<C>) {
    let messages = [
        says(Role::System, "You answer in plain words and you like long walks."),
        says(Role::User, "What is the name of the longest river of the world?"),
        says(Role::Assistant, "It is often said to be the Nile in Africa."),
        says(Role::User, "And the second one, by the same measure?"),
    ];
    let whole = input(subject, messages.to_vec()).await;
    for n in 0..messages.len() {
        let mut shorter = messages.to_vec();
        shorter[n] = says(shorter[n].role, "Hm?");
        let part = input(subject, shorter).await;
        assert!(
            part < whole,
            "message {n} makes no difference: {part} tokens with a short one, {whole} with it"
        );
    }
}

async fn input<C: Cpu>(subject: &Subject<C>, messages: Vec<Message>) -> Tokens {
    let prompt = Prompt { messages, ..Prompt::default() };
    subject.answer(request(&subject.cpu, prompt, 1, 0)).await.0.usage.input
}

/// A prompt may hold tools, calls, results, several parts a message and breakpoints anywhere.
pub async fn prompts_with_all_roles_and_parts_are_taken<C: Cpu>(subject: &Subject<C>) {
    let call = |id: &str, args: &str| Part::ToolCall {
        id: id.to_owned(),
        name: TOOL_NAME.to_owned(),
        args: JsonText::parse(args).expect("a JSON text"),
    };
    let result =
        |id: &str, text: &str, is_error| Part::ToolResult { id: id.to_owned(), text: text.into(), is_error };
    let marked = |role, parts| Message { role, parts, breakpoint: true };
    let prompt = Prompt {
        messages: vec![
            marked(Role::System, vec![Part::Text("You add.".into()), Part::Text("Be brief.".into())]),
            marked(Role::User, vec![Part::Text("Add 1 and 2,".into()), Part::Text("and 3 and 4.".into())]),
            marked(
                Role::Assistant,
                vec![
                    Part::Text("I add.".into()),
                    call("c1", r#"{"a":1,"b":2}"#),
                    call("c2", r#"{"a":3,"b":"vier"}"#),
                ],
            ),
            marked(Role::Tool, vec![result("c1", "3", false), result("c2", "not a number: vier", true)]),
            marked(Role::Assistant, vec![Part::Text("The first sum is 3.".into())]),
            marked(Role::User, vec![Part::Text("Grüße, 你好 and \"quotes\" \\ too.".into())]),
        ],
        tools: vec![tool()],
        ..Prompt::default()
    };
    subject.answer(request(&subject.cpu, prompt, 4, 0)).await;
}

/// Tool calls name a tool, have ids that differ, and arguments that are objects. Only for subjects that call tools.
pub async fn tool_calls_have_unique_ids_and_object_arguments<C: Cpu>(subject: &Subject<C>) {
    if !subject.calls_tools {
        return;
    }
    let prompt =
        Prompt { messages: vec![says(Role::User, TOOL_WORDS)], tools: vec![tool()], ..Prompt::default() };
    let (answer, watch) = subject.answer(request(&subject.cpu, prompt, 256, 0)).await;
    let calls: Vec<_> = answer.tool_calls().collect();
    assert!(!calls.is_empty(), "no tool call where one was asked for");
    assert_eq!(answer.finish, "tool_calls", "an answer that calls tools says so");
    let ids: BTreeSet<&str> = calls.iter().map(|(id, ..)| *id).collect();
    assert_eq!(ids.len(), calls.len(), "tool call ids differ: {ids:?}");
    for (id, name, args) in calls {
        assert!(!id.is_empty(), "a tool call has an id");
        assert_eq!(name, TOOL_NAME, "only tools of the prompt are called");
        assert!(args.value().is_object(), "arguments are an object, not {args}");
    }
    for key in watch.keys() {
        assert_eq!(watch.text(key), answer.text(), "tool calls are not streamed as text");
    }
}

/// Where the model's cache takes prompts of this length, the second identical call reads from it.
pub async fn a_repeated_prompt_is_read_from_the_cache<C: Cpu>(subject: &Subject<C>) {
    let cache = subject.cpu.models().first().map(|model| model.cache).unwrap_or_default();
    if cache.ttl_s == 0 {
        return;
    }
    let mut prompt = question();
    let filler =
        "The river runs to the sea. ".repeat(usize::try_from(cache.min_prefix.0 / 4 + 2).unwrap_or(64));
    prompt.messages[0] = says(Role::System, &filler);
    prompt.messages[0].breakpoint = true;
    let (first, _) = subject.answer(request(&subject.cpu, prompt.clone(), 2, 0)).await;
    let (second, _) = subject.answer(request(&subject.cpu, prompt, 2, 1)).await;
    assert_eq!(first.usage.input, second.usage.input, "the same prompt has the same length");
    let enough = second.usage.input.0 / 2;
    assert!(
        second.usage.cached.0 >= enough,
        "a prompt of {} tokens came again and {} were cached",
        second.usage.input,
        second.usage.cached
    );
}
