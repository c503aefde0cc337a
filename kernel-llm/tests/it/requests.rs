//! Requests and sinks that the tests share.

use std::sync::{Arc, Mutex};

use kernel_llm::{DeltaSink, InferRequest};
use kernel_types::{
    CallKey, JsonText, Message, Millis, Part, Pid, Prompt, Recovery, Role, Seq, StepNo, Tokens, ToolSpec,
};

pub(crate) fn says(role: Role, text: &str) -> Message {
    Message { role, parts: vec![Part::Text(text.into())], breakpoint: false }
}

pub(crate) fn marked(message: Message) -> Message {
    Message { breakpoint: true, ..message }
}

pub(crate) fn request(model: &str, prompt: Prompt) -> InferRequest {
    InferRequest {
        key: CallKey { pid: Pid::from_parts(1, 1), step: StepNo(3), seq: Seq(1) },
        model: model.to_owned(),
        prompt: Arc::new(prompt),
        max_output: Tokens(64),
        temperature: None,
    }
}

pub(crate) fn ask(model: &str, text: &str) -> InferRequest {
    request(model, Prompt::user(text))
}

pub(crate) fn tool(name: &str) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: format!("Does {name}."),
        input: JsonText::parse(r#"{"type":"object","properties":{"path":{"type":"string"}}}"#).unwrap(),
        recovery: Recovery::Reread,
        timeout: Millis(1000),
        reads: Vec::new(),
        writes: Vec::new(),
    }
}

/// A conversation with every role and part, and a breakpoint after the second, third and last message.
pub(crate) fn whole_prompt() -> Prompt {
    let call = |id: &str, path: &str| Part::ToolCall {
        id: id.to_owned(),
        name: "read_file".to_owned(),
        args: JsonText::parse(&format!(r#"{{"path":"{path}","deep":{{"z":1,"a":[true,null]}}}}"#)).unwrap(),
    };
    let result =
        |id: &str, text: &str, is_error| Part::ToolResult { id: id.to_owned(), text: text.into(), is_error };
    let message = |role, parts| Message { role, parts, breakpoint: false };
    Prompt {
        messages: vec![
            says(Role::System, "You read files."),
            marked(message(Role::System, vec![Part::Text("Rules:".into()), Part::Text("be brief".into())])),
            marked(says(Role::User, "Read a and b.")),
            message(Role::Assistant, vec![Part::Text("I read.".into()), call("c1", "a"), call("c2", "b")]),
            marked(message(Role::Tool, vec![result("c1", "text of a", false), result("c2", "no b", true)])),
        ],
        tools: vec![tool("read_file"), tool("list_dir")],
        ..Prompt::default()
    }
}

/// Joins all text.
#[derive(Debug, Default)]
pub(crate) struct Text(Mutex<String>);

impl Text {
    pub(crate) fn all(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl DeltaSink for Text {
    fn delta(&self, _: CallKey, text: &str) {
        self.0.lock().unwrap().push_str(text);
    }
}
