//! The registry: what can be registered, what a call may look like, which paths it names.

use std::sync::Arc;

use kernel_tools::{
    Behaviour, Calculator, NullHost, Registry, ScriptedDriver, ToolErrorKind, ToolOutput, files_read,
    files_write,
};
use kernel_types::{JsonText, Recovery, ToolSpec};
use serde_json::{Value, json};

use crate::folder::{Folder, request};

fn json(value: Value) -> JsonText {
    JsonText::from(value)
}

fn spec(name: &str, input: Value) -> ToolSpec {
    ToolSpec { input: json(input), ..ScriptedDriver::spec(name, Recovery::Reread) }
}

fn registry_of(spec: ToolSpec) -> Result<Registry, String> {
    let mut registry = Registry::new();
    let driver = ScriptedDriver::new().with_spec(spec, Behaviour::Echo);
    registry.register(Arc::new(driver)).map(|()| registry).map_err(|e| {
        assert_eq!(e.kind(), ToolErrorKind::InvalidSpec);
        e.to_string()
    })
}

fn check_refused(spec: ToolSpec, reason: &str) {
    let error = registry_of(spec).expect_err("a malformed spec");
    assert!(error.contains(reason), "{error}");
}

fn path_spec(property: Value) -> ToolSpec {
    let input = json!({"type": "object", "properties": {"path": property}});
    ToolSpec { reads: vec!["path".into()], ..spec("tool", input) }
}

#[test]
fn names_are_checked() {
    let object = || json!({"type": "object"});
    assert!(registry_of(spec("read_file-2", object())).is_ok());
    assert!(registry_of(spec(&"x".repeat(64), object())).is_ok());
    for name in ["", "read file", "läs", "a/b", "a.b", &"x".repeat(65)] {
        check_refused(spec(name, object()), "1 to 64");
    }
}

#[test]
fn a_schema_must_be_one_of_an_object() {
    for input in
        [json!({}), json!(true), json!([]), json!({"type": "string"}), json!({"type": ["object", "null"]})]
    {
        check_refused(spec("tool", input), "\"type\": \"object\"");
    }
    check_refused(spec("tool", json!({"type": "object", "properties": 5})), "not a JSON Schema");
    check_refused(
        spec("tool", json!({"type": "object", "properties": {"a": {"type": "text"}}})),
        "not a JSON Schema",
    );
}

#[test]
fn a_schema_that_refers_elsewhere_is_refused() {
    for place in ["file:///etc/passwd", "http://127.0.0.1:9/schema.json"] {
        check_refused(
            spec("tool", json!({"type": "object", "properties": {"a": {"$ref": place}}})),
            "not a JSON Schema",
        );
    }
    let within = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}});
    assert!(registry_of(spec("tool", within)).is_ok());
}

#[test]
fn a_path_argument_must_be_a_declared_string() {
    assert!(registry_of(path_spec(json!({"type": "string"}))).is_ok());
    check_refused(path_spec(json!({"type": ["string", "array"]})), "must have \"type\": \"string\"");
    check_refused(path_spec(json!({})), "must have \"type\": \"string\"");
    check_refused(path_spec(json!({"type": "string", "default": 1})), "default");
    check_refused(path_spec(json!({"type": "string", "default": "../up"})), "leaves its folder");
    let undeclared = ToolSpec { writes: vec!["to".into()], ..spec("tool", json!({"type": "object"})) };
    check_refused(undeclared, "not among the schema's properties");
}

#[test]
fn a_name_is_registered_once_and_a_failed_driver_not_at_all() {
    let mut registry = Registry::new();
    registry.register(Arc::new(Calculator::new())).unwrap();
    let both = ScriptedDriver::new().with("abacus", Recovery::Reread, Behaviour::Echo).with(
        "calculator",
        Recovery::Reread,
        Behaviour::Echo,
    );
    let error = registry.register(Arc::new(both)).unwrap_err();
    assert_eq!(error.kind(), ToolErrorKind::InvalidSpec);
    assert_eq!(registry.specs().map(|spec| spec.name.as_str()).collect::<Vec<_>>(), ["calculator"]);
}

#[test]
fn specs_come_in_one_order() {
    let folder = Folder::new();
    let all = || {
        files_read(&folder.open())
            .into_iter()
            .chain([files_write(&folder.open()), Arc::new(Calculator::new())])
    };
    let names = |drivers: Vec<_>| {
        let mut registry = Registry::new();
        drivers.into_iter().for_each(|driver| registry.register(driver).unwrap());
        registry.specs().map(|spec| spec.name.clone()).collect::<Vec<_>>()
    };
    let forth = names(all().collect());
    let back = names(all().collect::<Vec<_>>().into_iter().rev().collect());
    assert_eq!(forth, ["calculator", "import_dir", "list_dir", "read_file", "search_files", "write_file"]);
    assert_eq!(forth, back);
}

fn filled() -> Registry {
    let folder = Folder::new();
    let mut registry = Registry::new();
    files_read(&folder.open()).into_iter().for_each(|driver| registry.register(driver).unwrap());
    registry
}

fn check_error(name: &str, args: Value, kind: ToolErrorKind, text: &str) {
    let error = filled().check(name, &json(args)).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
}

#[test]
fn an_unknown_tool_is_answered_with_the_closest() {
    let unknown = ToolErrorKind::Unknown;
    check_error(
        "raed_file",
        json!({}),
        unknown,
        "raed_file: there is no such tool; the closest are read_file, search_files",
    );
    check_error("ListDir", json!({}), unknown, "ListDir: there is no such tool; the closest are list_dir");
    let all = "xyz: there is no such tool; there are import_dir, list_dir, read_file, search_files";
    check_error("xyz", json!({}), unknown, all);
    let error = Registry::new().check("x", &json(json!({}))).unwrap_err();
    assert_eq!(error.to_string(), "x: there is no such tool; none are registered");
}

#[test]
fn an_invalid_argument_is_named() {
    let invalid = ToolErrorKind::InvalidArguments;
    assert!(filled().check("list_dir", &json(json!({"path": "a", "depth": 2}))).is_ok());
    check_error(
        "list_dir",
        json!({"depth": 9}),
        invalid,
        "list_dir: argument /depth: 9 is greater than the maximum of 8",
    );
    check_error("read_file", json!({}), invalid, "read_file: arguments: \"path\" is a required property");
    check_error("read_file", json!([]), invalid, "read_file: arguments: [] is not of type \"object\"");
    check_error(
        "read_file",
        json!({"path": "a", "lines": 3}),
        invalid,
        "read_file: arguments: Additional properties are not allowed ('lines' was unexpected)",
    );
}

#[test]
fn a_long_wrong_value_is_not_quoted_whole() {
    let error = filled().check("list_dir", &json(json!({"depth": "x".repeat(1_000_000)}))).unwrap_err();
    assert!(error.to_string().len() < 500);
}

#[test]
fn paths_are_given_in_normal_form() {
    let registry = filled();
    let reads = |name, args| registry.paths(name, &json(args)).unwrap().reads;
    assert_eq!(reads("read_file", json!({"path": "./a//b/"})), ["a/b"]);
    assert_eq!(reads("list_dir", json!({})), ["."]);
    assert_eq!(reads("search_files", json!({"pattern": "x", "path": ""})), ["."]);
    for path in ["../a", "/etc/passwd", "a/../b", "a\0"] {
        let error = registry.paths("read_file", &json(json!({"path": path}))).unwrap_err();
        assert_eq!(error.kind(), ToolErrorKind::InvalidArguments);
    }
}

#[test]
fn paths_written_are_told_from_paths_read() {
    let folder = Folder::new();
    let mut registry = Registry::new();
    registry.register(files_write(&folder.open())).unwrap();
    let paths = registry.paths("write_file", &json(json!({"path": "./a", "content": ""}))).unwrap();
    assert_eq!((paths.reads.len(), paths.writes), (0, vec!["a".to_owned()]));
}

#[tokio::test]
async fn a_call_is_checked_before_the_driver_sees_it() {
    let driver = ScriptedDriver::new().with_spec(path_spec(json!({"type": "string"})), Behaviour::Echo);
    let mut registry = Registry::new();
    registry.register(Arc::new(driver.clone())).unwrap();
    let call = async |tool: &str, args| registry.call(&request(0, tool, args), &NullHost::context()).await;

    assert_eq!(call("toll", json!({})).await.unwrap_err().kind(), ToolErrorKind::Unknown);
    assert_eq!(call("tool", json!({"path": 1})).await.unwrap_err().kind(), ToolErrorKind::InvalidArguments);
    assert_eq!(
        call("tool", json!({"path": "../x"})).await.unwrap_err().kind(),
        ToolErrorKind::InvalidArguments
    );
    assert_eq!(driver.calls().len(), 0);

    let output = call("tool", json!({"path": "x"})).await.unwrap();
    assert_eq!(output, ToolOutput::ok(json(json!({"path": "x"})), r#"{"path":"x"}"#));
    assert_eq!(driver.calls_of("tool"), 1);
}
