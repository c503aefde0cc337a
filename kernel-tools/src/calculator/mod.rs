//! The tool `calculator`: models are poor at arithmetic.
//!
//! Whole numbers are exact up to 38 digits; all else is a 64-bit float. Nothing is rounded silently to fit: what is too
//! large is an error.

mod number;
mod parser;

use async_trait::async_trait;
use kernel_types::{JsonText, Recovery, ToolCallRequest, ToolSpec};
use serde::Deserialize;
use serde_json::json;

use crate::arguments::{read, spec};
use crate::{CallContext, Driver, ToolError, ToolOutput};

/// The longest expression, in bytes.
const MAX_EXPRESSION: usize = 1_000;

/// The [`Driver`] of the tool `calculator`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calculator;

impl Calculator {
    /// The driver.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    expression: String,
}

#[async_trait]
impl Driver for Calculator {
    fn tools(&self) -> Vec<ToolSpec> {
        let description = "Evaluates an arithmetic expression, exactly for whole numbers. Operators: + - * / % (remainder) \
            ^ (power) and parentheses. Functions: abs, ceil, cos, exp, floor, ln, log2, log10, max, min, round, sin, sqrt, \
            tan. Constants: pi, e. Example: \"(1234 + 5678) * 0.19\".";
        let expression = json!({"expression": {
            "type": "string", "minLength": 1, "maxLength": MAX_EXPRESSION, "description": "the expression"}});
        vec![spec("calculator", description, expression, &["expression"], Recovery::Reread)]
    }

    async fn call(&self, request: &ToolCallRequest, _context: &CallContext) -> Result<ToolOutput, ToolError> {
        let args: Args = read("calculator", request)?;
        Ok(match evaluate(&args.expression) {
            Ok(value) => ToolOutput::ok(JsonText::from(json!({"value": value})), value),
            Err(reason) => ToolOutput::failed(reason),
        })
    }
}

/// The value of an expression as text, or why it has none.
fn evaluate(expression: &str) -> Result<String, String> {
    if expression.len() > MAX_EXPRESSION {
        return Err(format!(
            "the expression has {} bytes, at most {MAX_EXPRESSION} are taken",
            expression.len()
        ));
    }
    parser::evaluate(expression).map(|number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, expected: &str) {
        assert_eq!(evaluate(expression).as_deref(), Ok(expected), "{expression}");
    }

    fn check_fails(expression: &str, reason: &str) {
        let error = evaluate(expression).expect_err(expression);
        assert!(error.contains(reason), "{expression}: {error}");
    }

    #[test]
    fn operators_bind_as_in_mathematics() {
        check("1 + 2 * 3", "7");
        check("(1 + 2) * 3", "9");
        check("1 - 2 - 3", "-4");
        check("-2^2", "-4");
        check("(-2)^2", "4");
        check("2^3^2", "512");
        check("2^-2", "0.25");
        check("7/-2^2", "-1.75");
        check("2*-3^2", "-18");
        check("--3", "3");
        check("+3", "3");
        check("100 / 10 * 2", "20");
        check("2 ** 10", "1024");
    }

    #[test]
    fn whole_numbers_are_exact() {
        check("12345678901234567890 * 10", "123456789012345678900");
        check("2^100", "1267650600228229401496703205376");
        check("9007199254740993 + 0", "9007199254740993");
        check("6 / 3", "2");
        check("17 % 5", "2");
        check("-17 % 5", "-2");
        check("2 * 0.5", "1");
        check("1e3", "1000");
        check("sqrt(16)", "4");
        check("10^15 + 0.5 - 0.5", "1000000000000000");
        check("1_000 * 3", "3000");
        check("0 * -1.0", "0");
    }

    #[test]
    fn fractions_look_as_they_are_written() {
        check("0.1 + 0.2", "0.3");
        check("10 / 4", "2.5");
        check("1 / 3", "0.333333333333333");
        check("0.19 * 6912", "1313.28");
        check("100 * 1.07^30", "761.225504266204");
        check("sin(pi / 2)", "1");
        check("1.5e-7", "1.5e-7");
        check("exp(100)", "2.68811714181614e43");
    }

    #[test]
    fn functions_take_their_arguments() {
        check("max(1, 2, 3) + min(4, 5)", "7");
        check("round(2.5)", "3");
        check("floor(-2.5)", "-3");
        check("ceil(2.1)", "3");
        check("abs(-4)", "4");
        check("ln(e)", "1");
        check("log10(1000) + log2(8)", "6");
        check_fails("max()", "takes");
        check_fails("sin(1, 2)", "takes 1");
        check_fails("frobnicate(1)", "frobnicate");
    }

    #[test]
    fn what_has_no_value_says_why() {
        check_fails("1 / 0", "division by zero");
        check_fails("1 % 0", "division by zero");
        check_fails("1.0 / 0.0", "division by zero");
        check_fails("0^-1", "division by zero");
        check_fails("2^200", "overflow");
        check_fails("9^9^9^9", "overflow");
        check_fails("2.0^2000", "overflow");
        check_fails("170141183460469231731687303715884105727 + 1", "overflow");
        check_fails("sqrt(-1)", "not a real number");
        check_fails("ln(0)", "not a real number");
        check_fails("(-8)^0.5", "not a real number");
        check_fails("1e999", "overflow");
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        check_fails("", "ends");
        check_fails("3 +", "ends");
        check_fails("(1", "ends");
        check_fails("1)", "at character 2");
        check_fails("2 3", "at character 3");
        check_fails("1 $ 2", "'$' at character 3");
        check_fails("x + 1", "\"x\"");
        check_fails("1..2", "1..2");
        check_fails("é", "'é' at character 1");
    }

    #[test]
    fn a_hostile_expression_is_refused_quickly() {
        check_fails(&"(".repeat(1000), "nested");
        check_fails(&"-".repeat(999), "nested");
        check_fails(&format!("{}1", "2^".repeat(400)), "nested");
        check_fails(&"sqrt(".repeat(200), "nested");
        check_fails(&"1+".repeat(600), "1200 bytes");
        check(&format!("{}1", "1+".repeat(499)), "500");
    }
}
