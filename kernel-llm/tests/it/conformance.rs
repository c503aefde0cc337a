//! Every Cpu against the laws; `Anthropic` and `OpenAi` against a real llama-server, which speaks both protocols.

use std::sync::Arc;
use std::time::Duration;

use kernel_llm::conformance::{Subject, TOOL_NAME, TOOL_WORDS};
use kernel_llm::{
    Anthropic, AnthropicConfig, Canned, Cpu, Exhausted, FnCpu, Local, OpenAi, OpenAiConfig, RetryPolicy,
    Retrying, Script, Scripted, ScriptedReply,
};
use kernel_types::{JsonText, Part};

use crate::served;

kernel_llm::cpu_conformance!(scripted, scripted_subject());
kernel_llm::cpu_conformance!(function, function_subject());
kernel_llm::cpu_conformance!(retrying, async {
    let inner = scripted_subject().await;
    Subject { calls_tools: true, ..Subject::new(Retrying::new(inner.cpu, RetryPolicy::default())) }
});
kernel_llm::cpu_conformance!(shared, async {
    let inner = scripted_subject().await;
    Subject { calls_tools: true, ..Subject::new(Arc::new(inner.cpu) as Arc<dyn Cpu>) }
});
kernel_llm::cpu_conformance!(anthropic, anthropic_subject());
kernel_llm::cpu_conformance!(openai, openai_subject());
kernel_llm::cpu_conformance!(local, local_subject());

fn tools() -> Canned {
    let args = |text: &str| JsonText::parse(text).unwrap();
    Canned::tool(TOOL_NAME, args(r#"{"a":2,"b":3}"#)).and_tool(TOOL_NAME, args(r#"{"a":3,"b":2}"#))
}

pub(crate) async fn scripted_subject() -> Subject<Scripted> {
    let call = ScriptedReply { when: Some(TOOL_WORDS.to_owned()), ..tools().into() };
    let talk = Canned::text("Rivers run to the sea, and the sea is never full. 你好.".repeat(20));
    let script = Script { exhausted: Exhausted::Last, chunk: 7, ..Script::new([call, talk.into()]) };
    Subject {
        calls_tools: true,
        secret: Some("sk-never-shown".to_owned()),
        ..Subject::new(Scripted::new(script))
    }
}

async fn function_subject() -> Subject<FnCpu> {
    let model = Script::new(["unused"]).model;
    let cpu = FnCpu::new(model, |request| {
        let last = request.prompt.messages.last();
        let is_call = last.is_some_and(|message| {
            message.parts.iter().any(|part| matches!(part, Part::Text(text) if &**text == TOOL_WORDS))
        });
        Ok(if is_call { tools() } else { Canned::text("The sea. ".repeat(40)) })
    });
    Subject { calls_tools: true, ..Subject::new(cpu.with_chunk(5)) }
}

/// A client of a real server beside the real server itself, which lives as long.
async fn served_subject<C: Cpu>(client: impl FnOnce(&Local, String, kernel_llm::ApiKey) -> C) -> Subject<C> {
    let server = served::local().await;
    let (address, key) = server.endpoint().await;
    let cpu = client(&server, address, key);
    Subject { patience: Duration::from_secs(120), guard: Some(Box::new(server)), ..Subject::new(cpu) }
}

async fn anthropic_subject() -> Subject<Anthropic> {
    served_subject(|server, address, key| {
        let mut config = AnthropicConfig::new(Some(key), server.models()[0].clone());
        config.base_url = address;
        config.slots = server.slots();
        Anthropic::new(config).unwrap()
    })
    .await
}

async fn openai_subject() -> Subject<OpenAi> {
    served_subject(|server, address, key| {
        let mut config = OpenAiConfig::new(&address, Some(key), server.models()[0].clone());
        config.slots = server.slots();
        config.extra = JsonText::parse(r#"{"cache_prompt":true}"#).unwrap();
        OpenAi::with_config(config).unwrap()
    })
    .await
}

async fn local_subject() -> Subject<Local> {
    Subject { patience: Duration::from_secs(120), ..Subject::new(served::local().await) }
}
